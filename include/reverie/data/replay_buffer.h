// A ring of the newest transitions, resident on one device.
#ifndef REVERIE_DATA_REPLAY_BUFFER_H_
#define REVERIE_DATA_REPLAY_BUFFER_H_

#include <cstdint>
#include <string>

#include "reverie/core/state.h"
#include "reverie/data/transitions.h"

namespace reverie {

class ReplayBuffer {
 public:
  // Memory is set aside once, for the largest capacity to come: rows * width * 4 bytes, which a CPU's pages take up
  // only as the buffer fills. Throws std::invalid_argument where capacity < 1, std::runtime_error where there is not
  // that much memory; `lower` is what it then tells the user to lower.
  ReplayBuffer(const TransitionLayout& layout, int64_t capacity, const torch::Device& device,
               int64_t largest_capacity = 0, std::string lower = "its capacity");

  // Appends rows (copied), overwriting the oldest when full. Of more rows than fit, the last ones stay.
  void Add(const TransitionBatch& batch);

  // Fills `rows` [n, width] with rows drawn uniformly with replacement, and `index` [n] int64 with their places. Throws
  // std::logic_error on an empty buffer. On a GPU the number of rows is read there, so that a captured graph draws from
  // those there are when it is replayed.
  void SampleInto(torch::Tensor rows, torch::Tensor index, torch::Generator& generator) const;

  // The newest n rows (all, where there are fewer), oldest first. A copy.
  TransitionBatch Newest(int64_t n) const;
  TransitionBatch All() const { return Newest(size_); }

  // Keeps the newest rows that fit. In place, but beyond the largest capacity foreseen. Cost: at most two passes over
  // the rows.
  void SetCapacity(int64_t capacity);

  void Clear();

  const TransitionLayout& layout() const { return layout_; }
  torch::Device device() const { return rows_.device(); }
  int64_t size() const { return size_; }
  int64_t capacity() const { return capacity_; }
  int64_t total_added() const { return total_added_; }    // rows ever added
  const torch::Tensor& storage() const { return rows_; }  // [largest capacity, width]

  // What a saved state lends of the rows is read by another thread while this one goes on; whoever would overwrite a
  // row that is still to be read waits.
  void VisitState(StateVisitor& state);

 private:
  void SetSize(int64_t size);
  // The place of a row that is there, by its number among all ever added.
  int64_t PlaceOf(int64_t number) const { return (next_ - (total_added_ - number) + capacity_) % capacity_; }
  StoredRows Rows();

  TransitionLayout layout_;
  std::string lower_;
  torch::Tensor rows_;            // [largest capacity, width]; the first size_ hold transitions
  torch::Tensor size_on_device_;  // [] int64, size_; undefined on the CPU
  int64_t capacity_;
  int64_t size_ = 0;
  int64_t next_ = 0;  // where the next row goes: size_ until the buffer is full
  int64_t total_added_ = 0;
  RowLender lender_;
};

}  // namespace reverie

#endif  // REVERIE_DATA_REPLAY_BUFFER_H_
