#include "reverie/data/replay_buffer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <stdexcept>
#include <string>

namespace reverie {

ReplayBuffer::ReplayBuffer(const TransitionLayout& layout, int64_t capacity, const torch::Device& device)
    : layout_(layout) {
  if (capacity < 1) {
    throw std::invalid_argument("a replay buffer's capacity must be at least 1, got " + std::to_string(capacity));
  }
  rows_ = torch::empty({capacity, layout.width()}, torch::device(device));
}

void ReplayBuffer::Add(const TransitionBatch& batch) {
  const int64_t count = std::min(batch.size(), capacity());
  const torch::Tensor rows = batch.rows.narrow(0, batch.size() - count, count);
  const int64_t first = std::min(count, capacity() - next_);
  rows_.narrow(0, next_, first).copy_(rows.narrow(0, 0, first));
  if (count > first) {
    rows_.narrow(0, 0, count - first).copy_(rows.narrow(0, first, count - first));
  }
  next_ = (next_ + count) % capacity();
  size_ = std::min(size_ + count, capacity());
  total_added_ += batch.size();
}

void ReplayBuffer::SampleInto(torch::Tensor rows, torch::Tensor index, torch::Generator& generator) const {
  if (size_ == 0) {
    throw std::logic_error("a batch was asked of an empty replay buffer");
  }
  index.random_(0, size_, generator);
  at::index_select_out(rows, rows_, 0, index);
}

TransitionBatch ReplayBuffer::Newest(int64_t n) const {
  const int64_t count = std::min(n, size_);
  const int64_t begin = next_ - count;  // negative where the ring's end is passed
  if (begin >= 0) {
    return {layout_, rows_.narrow(0, begin, count).clone()};
  }
  return {layout_, torch::cat({rows_.narrow(0, capacity() + begin, -begin), rows_.narrow(0, 0, next_)})};
}

void ReplayBuffer::SetCapacity(int64_t capacity) {
  if (capacity == rows_.size(0)) {
    return;
  }
  ReplayBuffer resized(layout_, capacity, device());
  resized.Add(Newest(capacity));
  resized.total_added_ = total_added_;
  *this = std::move(resized);
}

void ReplayBuffer::Clear() {
  size_ = 0;
  next_ = 0;
}

void ReplayBuffer::VisitState(StateVisitor& state) {
  // The ring's layout is kept as it is: a draw after resuming picks the same rows.
  torch::Tensor rows = rows_.narrow(0, 0, size_);
  int64_t saved_capacity = capacity();
  state.Resizable("rows", rows);
  state("capacity", saved_capacity);
  state("next", next_);
  state("total_added", total_added_);
  if (state.loading()) {
    const int64_t count = rows.size(0);
    if (rows.dim() != 2 || rows.size(1) != layout_.width() || count > saved_capacity || next_ < 0 ||
        next_ >= saved_capacity || rows.scalar_type() != torch::kFloat32) {
      throw std::runtime_error("the checkpoint's replay buffer does not fit this environment");
    }
    if (saved_capacity != capacity()) {
      rows_ = torch::empty({saved_capacity, layout_.width()}, rows_.options());
    }
    rows_.narrow(0, 0, count).copy_(rows);
    size_ = count;
  }
}

}  // namespace reverie
