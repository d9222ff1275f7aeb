// Work that is done again and again on the same tensors: on a GPU a captured graph, one launch instead of a hundred.
#ifndef REVERIE_CORE_REPEATED_WORK_H_
#define REVERIE_CORE_REPEATED_WORK_H_

#include <c10/util/FunctionRef.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "reverie/core/tensor.h"

namespace reverie {

// Work as a Recorder recorded it.
class Recording {
 public:
  virtual ~Recording() = default;
  // Does the work, queued on the current stream.
  virtual void Replay() = 0;
};

// What records work: a CUDA graph's capture, or a stand-in in a test.
class Recorder {
 public:
  virtual ~Recorder() = default;
  // Records the work that `work` queues, without doing it. Throws what `work` throws, or what cannot be recorded;
  // device and generators can then be used as before.
  virtual std::unique_ptr<Recording> Record(c10::function_ref<void()> work) = 0;
};

// On the CPU, and in a build without CUDA, Run calls its work. On a GPU the first call does too, the second one
// captures the work as a CUDA graph, and from then on graphs are replayed. Work that cannot be captured (it waits for
// the device, say) is called as it is, once a warning in the log has said why.
//
// What is captured must not change on the host: every tensor it reads or writes keeps its address, every number that it
// passes to an operation its value. Whatever might change belongs into `key`. Tensors that the work allocates live as
// long as the graph and are written anew by each replay.
//
// With REVERIE_CHECK_GRAPHS=N in the environment every Nth replay is held against the work itself, from the same
// tensors and random numbers: a debugger's mode, which copies all of them.
class RepeatedWork {
 public:
  using NamedTensors = std::map<std::string, torch::Tensor>;

  // `name` is for the log. Randomness may come from `generators` alone, which are those of `device`. Throws
  // std::invalid_argument where REVERIE_CHECK_GRAPHS is no positive integer and the device a GPU.
  RepeatedWork(std::string name, const torch::Device& device, std::vector<torch::Generator> generators = {});
  // With another recorder; null: the work is called each time.
  RepeatedWork(std::string name, std::unique_ptr<Recorder> recorder, std::vector<torch::Generator> generators = {});
  ~RepeatedWork();
  RepeatedWork(RepeatedWork&&) noexcept;
  RepeatedWork& operator=(RepeatedWork&&) noexcept;

  // Does the work, queued on the current stream. A key unlike that of the last call begins anew. `changed` gives the
  // tensors that the work changes, by names for messages, and is called only for a check; without it there is none.
  // Throws std::runtime_error naming the first tensor that a replay left further from what the work leaves than a
  // hundredth of what the work changes in it (Euclidean norms, and 1e-6 of its numbers for their rounding).
  void Run(const std::vector<int64_t>& key, c10::function_ref<void()> work,
           c10::function_ref<NamedTensors()> changed = nullptr);

 private:
  void RecordAndReplay(c10::function_ref<void()> work);
  void CheckedReplay(c10::function_ref<void()> work, const NamedTensors& changed);

  std::string name_;
  std::vector<torch::Generator> generators_;
  std::unique_ptr<Recorder> recorder_;  // null where nothing is recorded
  std::unique_ptr<Recording> recording_;
  std::vector<int64_t> key_;
  int64_t calls_ = 0;        // with this key
  int64_t check_every_ = 0;  // replays; 0: never
  int64_t replays_ = 0;
};

// A tensor's address, as a part of a key.
inline int64_t AddressOf(const torch::Tensor& tensor) {
  return static_cast<int64_t>(reinterpret_cast<intptr_t>(tensor.const_data_ptr()));
}

}  // namespace reverie

#endif  // REVERIE_CORE_REPEATED_WORK_H_
