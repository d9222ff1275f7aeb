// What a checkpoint holds: a tree of named tensors, numbers and texts, and the one list that both saves and loads.
//
//   void SacLearner::VisitState(StateVisitor& state) {
//     state("log_alpha", log_alpha_);
//     state("actor", actor_);              // anything with VisitState: a subtree
//     state("noise", noise_generator_);
//   }
//
// Saving copies values into the tree (tensors to the CPU); loading copies them back in place, onto the device where
// they live. A name that is missing, or whose shape or type differs, throws std::runtime_error with its path.
#ifndef REVERIE_CORE_STATE_H_
#define REVERIE_CORE_STATE_H_

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "reverie/core/rng.h"
#include "reverie/core/tensor.h"

namespace reverie {

class StateTree {
 public:
  StateTree();
  ~StateTree();
  StateTree(StateTree&&) noexcept;
  StateTree& operator=(StateTree&&) noexcept;

  // Writes to `path`, replacing it whole or not at all. The file is a pickle of plain tensors, numbers, texts and
  // dictionaries, which PyTorch's torch.load reads. Throws std::runtime_error where it cannot be written.
  void SaveFile(const std::filesystem::path& path) const;

  // Throws std::runtime_error naming the file where it cannot be read. Runs no code from the file.
  static StateTree LoadFile(const std::filesystem::path& path);

 private:
  friend class StateVisitor;
  struct Node;
  std::unique_ptr<Node> root_;
};

class StateVisitor {
 public:
  // A visitor that fills an empty tree, or one that reads a full one. Borrows the tree.
  static StateVisitor Saving(StateTree& tree);
  static StateVisitor Loading(StateTree& tree);

  bool loading() const { return loading_; }

  // A tensor of fixed shape: loaded in place.
  void operator()(std::string_view name, torch::Tensor& value);
  // A tensor whose shape may differ between runs (the filled part of a buffer): replaced on loading, on the CPU.
  void Resizable(std::string_view name, torch::Tensor& value);
  void operator()(std::string_view name, int64_t& value);
  void operator()(std::string_view name, double& value);
  void operator()(std::string_view name, bool& value);
  void operator()(std::string_view name, std::string& value);
  void operator()(std::string_view name, std::vector<double>& value);
  void operator()(std::string_view name, std::vector<int64_t>& value);
  void operator()(std::string_view name, torch::Generator& value);
  void operator()(std::string_view name, RandomEngine& value);

  // A subtree: anything with VisitState(StateVisitor&).
  template <class T>
  requires requires(T& value, StateVisitor& visitor) { value.VisitState(visitor); }
  void operator()(std::string_view name, T& value) {
    StateVisitor child = Child(name);
    value.VisitState(child);
  }

 private:
  StateVisitor(StateTree::Node& node, bool loading, std::string path);
  StateVisitor Child(std::string_view name);

  StateTree::Node& node_;
  bool loading_;
  std::string path_;
};

// A generator on `device` at the start of the stream `rng`.
torch::Generator MakeGenerator(const Rng& rng, const torch::Device& device);

}  // namespace reverie

#endif  // REVERIE_CORE_STATE_H_
