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
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "reverie/core/rng.h"
#include "reverie/core/row_loan.h"
#include "reverie/core/tensor.h"
#include "reverie/core/tensor_file.h"

namespace reverie {

// Rows that are only ever appended, numbered from the first there was; those in [begin, end) are kept. A checkpoint
// that follows another holds what was added since.
struct StoredRows {
  int64_t begin = 0, end = 0;  // when saving
  // Throws std::runtime_error where a row is not there. Empty where a state is loaded to act.
  RowReader read;
  // When saving: the rows from `begin` on, to be read from another thread. Borrows their owner for the call alone.
  std::function<RowLoan(int64_t begin)> lend;
};

class StateTree {
 public:
  StateTree() = default;
  // What a checkpoint's files held.
  StateTree(TensorFile values, std::map<std::string, StoredRows> rows)
      : values_(std::move(values)), rows_(std::move(rows)) {}

  // Names are paths: "learner/actor". Numbers are tensors without dimensions.
  const TensorFile& values() const { return values_; }
  // `read` borrows what was saved from where the tree was filled by a visitor.
  const std::map<std::string, StoredRows>& rows() const { return rows_; }

 private:
  friend class StateVisitor;

  TensorFile values_;
  std::map<std::string, StoredRows> rows_;
};

// Where the random streams of torch::Generator begin that were saved on another kind of device: their state there means
// nothing here.
struct NewStreams {
  Rng rng;            // each begins at the split by its path
  int64_t begun = 0;  // how many did
};

class StateVisitor {
 public:
  // A visitor that fills an empty tree, or one that reads a full one. Borrows the tree, and `new_streams`: without them
  // a stream of another kind of device is refused.
  static StateVisitor Saving(StateTree& tree);
  // One that saves without copying: tensors in the tree are those of the component.
  static StateVisitor Viewing(StateTree& tree);
  static StateVisitor Loading(StateTree& tree, NewStreams* new_streams = nullptr);
  // A visitor that reads what acting takes. It leaves random streams as they are, and stored rows empty where the tree
  // has none.
  static StateVisitor LoadingToAct(StateTree& tree);

  bool loading() const { return mode_ == Mode::kLoad || mode_ == Mode::kLoadToAct; }
  // Whether what acting does not take is left as it is.
  bool to_act() const { return mode_ == Mode::kLoadToAct; }

  // When loading: whether a tensor, number or list of that name is there, which is not where an older version wrote the
  // state. Texts, random engines and stored rows are not looked for.
  bool Has(std::string_view name) const;

  // When loading: what an older version kept at `former` is taken as if it had been at `now`.
  void Moved(std::string_view former, std::string_view now);

  // A tensor of fixed shape: loaded in place.
  void operator()(std::string_view name, torch::Tensor& value);
  // A tensor whose shape may differ between runs: replaced on loading, on the CPU.
  void Resizable(std::string_view name, torch::Tensor& value);
  void operator()(std::string_view name, int64_t& value);
  void operator()(std::string_view name, double& value);
  void operator()(std::string_view name, bool& value);
  void operator()(std::string_view name, std::string& value);
  void operator()(std::string_view name, std::vector<double>& value);
  void operator()(std::string_view name, std::vector<int64_t>& value);
  void operator()(std::string_view name, torch::Generator& value);
  void operator()(std::string_view name, RandomEngine& value);
  // Replaced on loading, to read from.
  void operator()(std::string_view name, StoredRows& value);

  // A subtree: anything with VisitState(StateVisitor&).
  template <class T>
  requires requires(T& value, StateVisitor& visitor) { value.VisitState(visitor); }
  void operator()(std::string_view name, T& value) {
    StateVisitor child = Child(name);
    value.VisitState(child);
  }

 private:
  enum class Mode { kSave, kView, kLoad, kLoadToAct };

  StateVisitor(StateTree& tree, Mode mode, NewStreams* new_streams, std::string path);
  StateVisitor Child(std::string_view name);
  std::string Path(std::string_view name) const;
  const torch::Tensor& Stored(const std::string& path) const;
  template <class T>
  void Number(std::string_view name, T& value, torch::ScalarType type);
  template <class T>
  void List(std::string_view name, std::vector<T>& value, torch::ScalarType type);

  StateTree& tree_;
  Mode mode_;
  NewStreams* new_streams_;
  std::string path_;
};

// The state of anything with VisitState(StateVisitor&), saved and restored. Stored rows in the tree borrow `value`.
template <class T>
StateTree SaveState(T& value) {
  StateTree tree;
  StateVisitor visitor = StateVisitor::Saving(tree);
  value.VisitState(visitor);
  return tree;
}
template <class T>
void LoadState(StateTree& tree, T& value) {
  StateVisitor visitor = StateVisitor::Loading(tree);
  value.VisitState(visitor);
}

// The tensors of anything with VisitState, by their paths: no copies, but of numbers and generators' states.
template <class T>
std::map<std::string, torch::Tensor> StateTensors(T& value) {
  StateTree tree;
  StateVisitor visitor = StateVisitor::Viewing(tree);
  value.VisitState(visitor);
  return tree.values().tensors;
}

// A generator on `device` at the start of the stream `rng`.
torch::Generator MakeGenerator(const Rng& rng, const torch::Device& device);

}  // namespace reverie

#endif  // REVERIE_CORE_STATE_H_
