// Rows that another thread still reads while their owner goes on: it waits before it overwrites one.
#ifndef REVERIE_CORE_ROW_LOAN_H_
#define REVERIE_CORE_ROW_LOAN_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <utility>

#include "reverie/core/tensor.h"

namespace reverie {

// Rows from `begin` on, at least one and at most up to `end`, by their numbers: [n, width] on the CPU, not to be
// written to.
using RowReader = std::function<torch::Tensor(int64_t begin, int64_t end)>;

// The borrower's side. Rows are given back in their order; all of them at the end of this object.
class RowLoan {
 public:
  // needed_from: null where the owner need not wait.
  RowLoan(RowReader read, std::shared_ptr<std::atomic<int64_t>> needed_from)
      : read_(std::move(read)), needed_from_(std::move(needed_from)) {}
  ~RowLoan() { Return(std::numeric_limits<int64_t>::max()); }
  RowLoan(RowLoan&&) noexcept = default;
  RowLoan& operator=(RowLoan&&) = delete;
  RowLoan(const RowLoan&) = delete;
  RowLoan& operator=(const RowLoan&) = delete;

  // From any thread.
  torch::Tensor Read(int64_t begin, int64_t end) const { return read_(begin, end); }

  // Rows before `number` are no longer read.
  void Return(int64_t number) {
    if (needed_from_) {
      needed_from_->store(number, std::memory_order_release);
      needed_from_->notify_all();
    }
  }

 private:
  RowReader read_;
  std::shared_ptr<std::atomic<int64_t>> needed_from_;
};

// The owner's side. One loan at a time.
class RowLender {
 public:
  // `read` is asked for rows from `begin` on from now on. Waits for the end of the loan before.
  RowLoan Lend(int64_t begin, RowReader read) {
    AwaitAll();
    needed_from_ = std::make_shared<std::atomic<int64_t>>(begin);
    return {std::move(read), needed_from_};
  }

  // Returns when the rows before `number` are no longer read.
  void Await(int64_t number) {
    if (!needed_from_) {
      return;
    }
    for (int64_t from = needed_from_->load(std::memory_order_acquire); from < number;
         from = needed_from_->load(std::memory_order_acquire)) {
      needed_from_->wait(from, std::memory_order_acquire);
    }
  }
  void AwaitAll() { Await(std::numeric_limits<int64_t>::max()); }

 private:
  std::shared_ptr<std::atomic<int64_t>> needed_from_;  // the first row that is; null before the first loan
};

}  // namespace reverie

#endif  // REVERIE_CORE_ROW_LOAN_H_
