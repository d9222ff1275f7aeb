#include "reverie/data/snapshot_buffer.h"

#include <stdexcept>

#include "reverie/core/text.h"

namespace reverie {

void SnapshotBuffer::Allocate(int64_t width) { rows_ = torch::empty({capacity_, width}, torch::kFloat64); }

void SnapshotBuffer::Add(std::span<const double> snapshot) {
  const auto width = static_cast<int64_t>(snapshot.size());
  if (!rows_.defined()) {
    Allocate(width);
  }
  if (width != rows_.size(1)) {
    throw std::logic_error(Text("a snapshot of ", width, " numbers after some of ", rows_.size(1)));
  }
  lender_.Await(total_added_ + 1 - capacity_);
  std::copy(snapshot.begin(), snapshot.end(), rows_.data_ptr<double>() + total_added_ % capacity_ * width);
  ++total_added_;
}

torch::Tensor SnapshotBuffer::At(const torch::Tensor& places) const { return rows_.index_select(0, places); }

void SnapshotBuffer::VisitState(StateVisitor& state) {
  const RowReader read = [rows = rows_, capacity = capacity_](int64_t begin, int64_t end) {
    const int64_t place = begin % capacity;
    return rows.narrow(0, place, std::min(end - begin, capacity - place));
  };
  const auto lend = [this, read](int64_t begin) { return lender_.Lend(begin, read); };
  StoredRows stored{.begin = total_added_ - size(), .end = total_added_, .read = read, .lend = lend};
  int64_t count = size();
  state("rows", stored);
  state("size", count);
  state("total_added", total_added_);
  if (!state.loading()) {
    return;
  }
  if (!stored.read) {
    total_added_ = 0;
    return;
  }
  lender_.AwaitAll();
  const auto require = [](bool fits) {
    if (!fits) {
      throw std::runtime_error("the checkpoint's snapshots do not fit this environment and replay_capacity");
    }
  };
  require(total_added_ >= 0 && count == size());
  for (int64_t number = total_added_ - count; number < total_added_;) {
    const torch::Tensor rows = stored.read(number, total_added_);
    require(rows.dim() == 2 && rows.size(0) > 0 && rows.scalar_type() == torch::kFloat64);
    if (!rows_.defined()) {
      Allocate(rows.size(1));
    }
    require(rows.size(1) == rows_.size(1));
    const int64_t place = number % capacity_;
    const int64_t first = std::min(rows.size(0), capacity_ - place);
    rows_.narrow(0, place, first).copy_(rows.narrow(0, 0, first));
    rows_.narrow(0, 0, rows.size(0) - first).copy_(rows.narrow(0, first, rows.size(0) - first));
    number += rows.size(0);
  }
}

}  // namespace reverie
