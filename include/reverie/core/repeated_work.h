// Work that is done again and again on the same tensors: on a GPU a captured graph, one launch instead of a hundred.
#ifndef REVERIE_CORE_REPEATED_WORK_H_
#define REVERIE_CORE_REPEATED_WORK_H_

#include <c10/util/FunctionRef.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "reverie/core/tensor.h"

namespace reverie {

// On the CPU, and in a build without CUDA, Run calls its work. On a GPU the first call does too, the second one
// captures the work as a CUDA graph, and from then on graphs are replayed. Work that cannot be captured (it waits for
// the device, say) is called as it is, once a warning in the log has said why.
//
// What is captured must not change on the host: every tensor it reads or writes keeps its address, every number that it
// passes to an operation its value. Whatever might change belongs into `key`. Tensors that the work allocates live as
// long as the graph and are written anew by each replay.
class RepeatedWork {
 public:
  // `name` is for the log. Randomness may come from `generators` alone, which are those of `device`.
  RepeatedWork(std::string name, const torch::Device& device, std::vector<torch::Generator> generators = {});
  ~RepeatedWork();
  RepeatedWork(RepeatedWork&&) noexcept;
  RepeatedWork& operator=(RepeatedWork&&) noexcept;

  // Does the work, queued on the current stream. A key unlike that of the last call begins anew.
  void Run(const std::vector<int64_t>& key, c10::function_ref<void()> work);

 private:
  struct Graph;

  void Capture(c10::function_ref<void()> work);

  std::string name_;
  torch::Device device_;
  std::vector<torch::Generator> generators_;
  std::vector<int64_t> key_;
  int64_t calls_ = 0;  // with this key
  bool capturable_;
  std::unique_ptr<Graph> graph_;
};

// A tensor's address, as a part of a key.
inline int64_t AddressOf(const torch::Tensor& tensor) {
  return static_cast<int64_t>(reinterpret_cast<intptr_t>(tensor.const_data_ptr()));
}

}  // namespace reverie

#endif  // REVERIE_CORE_REPEATED_WORK_H_
