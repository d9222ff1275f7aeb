#include "reverie/data/replay_buffer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "reverie/core/text.h"

namespace reverie {
namespace {

torch::Tensor AllocateRows(int64_t count, const TransitionLayout& layout, const torch::Device& device,
                           const std::string& lower) {
  try {
    return torch::empty({count, layout.width()}, torch::device(device));
  } catch (const c10::Error&) {
    const double mib = static_cast<double>(count) * static_cast<double>(layout.width() * sizeof(float)) / (1024 * 1024);
    throw std::runtime_error("a replay buffer of " + std::to_string(count) + " rows needs " + FixedText(mib, 0) +
                             " MiB on " + device.str() + ", which are not to be had; lower " + lower);
  }
}

// Turns the order of the rows round, in place but for two chunks.
void Reverse(const torch::Tensor& rows) {
  constexpr int64_t kChunk = 2048;
  int64_t begin = 0;
  int64_t end = rows.size(0);
  while (end - begin > 1) {
    const int64_t count = std::min(kChunk, (end - begin) / 2);
    torch::Tensor low = rows.narrow(0, begin, count);
    torch::Tensor high = rows.narrow(0, end - count, count);
    const torch::Tensor was_low = low.flip(0);
    low.copy_(high.flip(0));
    high.copy_(was_low);
    begin += count;
    end -= count;
  }
}

// Row `first` becomes the first, those before it the last, in their order.
void Rotate(const torch::Tensor& rows, int64_t first) {
  if (first > 0) {
    Reverse(rows.narrow(0, 0, first));
    Reverse(rows.narrow(0, first, rows.size(0) - first));
    Reverse(rows);
  }
}

}  // namespace

ReplayBuffer::ReplayBuffer(const TransitionLayout& layout, int64_t capacity, const torch::Device& device,
                           int64_t largest_capacity, std::string lower)
    : layout_(layout), lower_(std::move(lower)), capacity_(capacity) {
  if (capacity < 1) {
    throw std::invalid_argument("a replay buffer's capacity must be at least 1, got " + std::to_string(capacity));
  }
  rows_ = AllocateRows(std::max(capacity, largest_capacity), layout, device, lower_);
  if (!device.is_cpu()) {
    size_on_device_ = torch::zeros({}, torch::dtype(torch::kInt64).device(device));
  }
}

void ReplayBuffer::SetSize(int64_t size) {
  size_ = size;
  if (size_on_device_.defined()) {
    size_on_device_.fill_(size);
  }
}

void ReplayBuffer::Add(const TransitionBatch& batch) {
  lender_.Await(total_added_ + batch.size() - capacity());
  const int64_t count = std::min(batch.size(), capacity());
  const torch::Tensor rows = batch.rows.narrow(0, batch.size() - count, count);
  const int64_t first = std::min(count, capacity() - next_);
  rows_.narrow(0, next_, first).copy_(rows.narrow(0, 0, first));
  if (count > first) {
    rows_.narrow(0, 0, count - first).copy_(rows.narrow(0, first, count - first));
  }
  next_ = (next_ + count) % capacity();
  SetSize(std::min(size_ + count, capacity()));
  total_added_ += batch.size();
}

void ReplayBuffer::SampleInto(torch::Tensor rows, torch::Tensor index, torch::Generator& generator) const {
  if (size_ == 0) {
    throw std::logic_error("a batch was asked of an empty replay buffer");
  }
  if (size_on_device_.defined()) {
    index.random_(generator);
    at::remainder_out(index, index, size_on_device_);
  } else {
    index.random_(0, size_, generator);
  }
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
  if (capacity == capacity_) {
    return;
  }
  lender_.AwaitAll();
  // The newest rows that stay, in their order from the first place on.
  const int64_t kept = std::min(size_, capacity);
  const int64_t oldest = size_ == capacity_ ? next_ : 0;
  Rotate(rows_.narrow(0, 0, size_), kept == 0 ? 0 : (oldest + size_ - kept) % size_);
  if (capacity > rows_.size(0)) {
    torch::Tensor larger = AllocateRows(capacity, layout_, device(), lower_);
    larger.narrow(0, 0, kept).copy_(rows_.narrow(0, 0, kept));
    rows_ = larger;
  }
  capacity_ = capacity;
  SetSize(kept);
  next_ = kept % capacity;
}

void ReplayBuffer::Clear() {
  lender_.AwaitAll();
  SetSize(0);
  next_ = 0;
}

StoredRows ReplayBuffer::Rows() {
  const int64_t oldest = total_added_ - size_;
  const RowReader read = [rows = rows_, capacity = capacity_, oldest, place_of_oldest = PlaceOf(oldest)](int64_t begin,
                                                                                                         int64_t end) {
    const int64_t place = (place_of_oldest + begin - oldest) % capacity;
    return rows.narrow(0, place, std::min(end - begin, capacity - place)).to(torch::kCPU);
  };
  const auto lend = [this, read, end = total_added_](int64_t begin) -> RowLoan {
    if (device().is_cpu()) {
      return lender_.Lend(begin, read);
    }
    // A GPU is this thread's alone: what another does there would break into the capture of a graph.
    std::vector<torch::Tensor> parts;
    for (int64_t at = begin; at < end; at += parts.back().size(0)) {
      parts.push_back(read(at, end));
    }
    return {
        [rows = torch::cat(parts), begin](int64_t from, int64_t to) { return rows.narrow(0, from - begin, to - from); },
        nullptr};
  };
  return {.begin = oldest, .end = total_added_, .read = read, .lend = lend};
}

void ReplayBuffer::VisitState(StateVisitor& state) {
  StoredRows stored = Rows();
  int64_t saved_capacity = capacity();
  int64_t count = size_;
  state("rows", stored);
  state("size", count);
  state("capacity", saved_capacity);
  state("next", next_);
  state("total_added", total_added_);
  if (!state.loading()) {
    return;
  }
  if (!stored.read) {
    Clear();
    return;
  }
  const auto require = [](bool fits) {
    if (!fits) {
      throw std::runtime_error("the checkpoint's replay buffer does not fit this environment");
    }
  };
  require(count >= 0 && count <= saved_capacity && count <= total_added_ && next_ >= 0 && next_ < saved_capacity &&
          (count == saved_capacity || next_ == count));
  if (saved_capacity > rows_.size(0)) {
    rows_ = AllocateRows(saved_capacity, layout_, device(), lower_);
  }
  lender_.AwaitAll();
  capacity_ = saved_capacity;
  // Every row at the place it had: a draw after resuming picks the same ones.
  for (int64_t number = total_added_ - count; number < total_added_;) {
    const torch::Tensor rows = stored.read(number, total_added_);
    require(rows.dim() == 2 && rows.size(0) > 0 && rows.size(1) == layout_.width() &&
            rows.scalar_type() == torch::kFloat32);
    const int64_t place = PlaceOf(number);
    const int64_t first = std::min(rows.size(0), capacity_ - place);
    rows_.narrow(0, place, first).copy_(rows.narrow(0, 0, first));
    rows_.narrow(0, 0, rows.size(0) - first).copy_(rows.narrow(0, first, rows.size(0) - first));
    number += rows.size(0);
  }
  SetSize(count);
}

}  // namespace reverie
