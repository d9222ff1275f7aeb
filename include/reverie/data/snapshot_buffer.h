// A ring of an environment's snapshots, one for each transition that a replay buffer keeps: the state that the
// transition began in, of which its observation may be a part only.
//
// With the capacity of a replay buffer, which is neither changed nor cleared, and as many rows added, the snapshot at a
// place here belongs to the row at that place there.
#ifndef REVERIE_DATA_SNAPSHOT_BUFFER_H_
#define REVERIE_DATA_SNAPSHOT_BUFFER_H_

#include <algorithm>
#include <cstdint>
#include <span>

#include "reverie/core/row_loan.h"
#include "reverie/core/state.h"

namespace reverie {

class SnapshotBuffer {
 public:
  // On the host. Its memory, capacity * 8 bytes for each number of a snapshot, is set aside with the first one and
  // taken up as the buffer fills.
  explicit SnapshotBuffer(int64_t capacity) : capacity_(capacity) {}

  // Appends one (copied), overwriting the oldest when full. Throws std::logic_error where it has not as many numbers as
  // those before.
  void Add(std::span<const double> snapshot);

  // Those at `places` [n] int64, on the host: [n, numbers of a snapshot] float64, a copy.
  torch::Tensor At(const torch::Tensor& places) const;

  int64_t size() const { return std::min(total_added_, capacity_); }

  // As a replay buffer's (data/replay_buffer.h): what is saved is lent to the thread that writes it.
  void VisitState(StateVisitor& state);

 private:
  void Allocate(int64_t width);

  int64_t capacity_;
  int64_t total_added_ = 0;
  torch::Tensor rows_;  // [capacity, width] float64 on the host; number n at place n mod capacity
  RowLender lender_;
};

}  // namespace reverie

#endif  // REVERIE_DATA_SNAPSHOT_BUFFER_H_
