// A ring of the newest transitions, resident on one device.
#ifndef REVERIE_DATA_REPLAY_BUFFER_H_
#define REVERIE_DATA_REPLAY_BUFFER_H_

#include <cstdint>

#include "reverie/core/state.h"
#include "reverie/data/transitions.h"

namespace reverie {

class ReplayBuffer {
 public:
  // Throws std::invalid_argument where capacity < 1. Memory: capacity * width * 4 bytes, touched as it fills.
  ReplayBuffer(const TransitionLayout& layout, int64_t capacity, const torch::Device& device);

  // Appends rows (copied), overwriting the oldest when full. Of more rows than fit, the last ones stay.
  void Add(const TransitionBatch& batch);

  // Fills `rows` [n, width] with rows drawn uniformly with replacement, and `index` [n] int64 with their places. Throws
  // std::logic_error on an empty buffer.
  void SampleInto(torch::Tensor rows, torch::Tensor index, torch::Generator& generator) const;

  // The newest n rows (all, where there are fewer), oldest first. A copy.
  TransitionBatch Newest(int64_t n) const;
  TransitionBatch All() const { return Newest(size_); }

  // Keeps the newest rows that fit.
  void SetCapacity(int64_t capacity);

  void Clear();

  const TransitionLayout& layout() const { return layout_; }
  torch::Device device() const { return rows_.device(); }
  int64_t size() const { return size_; }
  int64_t capacity() const { return rows_.size(0); }
  int64_t total_added() const { return total_added_; }  // rows ever added

  void VisitState(StateVisitor& state);

 private:
  TransitionLayout layout_;
  torch::Tensor rows_;  // [capacity, width]
  int64_t size_ = 0;
  int64_t next_ = 0;  // where the next row goes
  int64_t total_added_ = 0;
};

}  // namespace reverie

#endif  // REVERIE_DATA_REPLAY_BUFFER_H_
