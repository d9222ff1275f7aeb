#include "reverie/core/worker_threads.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace reverie {
namespace {

// Waits until `value` is no longer `old`. Steps follow each other within microseconds, which is less than a thread
// takes to fall asleep and wake up, so it looks for a while before it sleeps.
void WaitWhile(const std::atomic<int64_t>& value, int64_t old) {
  constexpr int kLooks = 20'000;
  for (int i = 0; i < kLooks; ++i) {
    if (value.load(std::memory_order_acquire) != old) {
      return;
    }
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

WorkerThreads::WorkerThreads(int64_t threads) {
  threads_.reserve(static_cast<size_t>(threads));
  try {
    for (int64_t worker = 1; worker < threads; ++worker) {
      threads_.emplace_back([this, worker] { WaitAndWork(worker); });
    }
  } catch (const std::exception& error) {
    const size_t started = threads_.size();
    End();
    throw std::runtime_error("only " + std::to_string(started + 1) + " of " + std::to_string(threads) +
                             " threads could be started: " + error.what() +
                             "; ask for fewer, or raise the limit on processes or memory");
  }
}

void WorkerThreads::WaitAndWork(int64_t worker) {
  for (int64_t seen = 0;; ++seen) {
    WaitWhile(jobs_begun_, seen);
    if (job_ == nullptr) {
      return;
    }
    Work(worker);
    if (threads_busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      threads_busy_.notify_one();
    }
  }
}

void WorkerThreads::Begin(int64_t count, const Job* job) {
  job_ = job;
  job_count_ = count;
  errors_.assign(static_cast<size_t>(count), nullptr);
  next_.store(0, std::memory_order_relaxed);
  threads_busy_.store(static_cast<int64_t>(threads_.size()), std::memory_order_relaxed);
  jobs_begun_.fetch_add(1, std::memory_order_release);
  jobs_begun_.notify_all();
}

WorkerThreads::~WorkerThreads() { End(); }

void WorkerThreads::End() {
  Begin(0, nullptr);
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

void WorkerThreads::Run(int64_t count, const Job& job) {
  Begin(count, &job);
  Work(0);
  for (int64_t busy = threads_busy_.load(std::memory_order_acquire); busy > 0;
       busy = threads_busy_.load(std::memory_order_acquire)) {
    WaitWhile(threads_busy_, busy);
  }
  const auto error = std::find_if(errors_.begin(), errors_.end(), [](const auto& one) { return one != nullptr; });
  if (error != errors_.end()) {
    std::rethrow_exception(*error);
  }
}

void WorkerThreads::Work(int64_t worker) {
  for (int64_t i = next_++; i < job_count_; i = next_++) {
    try {
      (*job_)(i, worker);
    } catch (...) {
      errors_[static_cast<size_t>(i)] = std::current_exception();
    }
  }
}

}  // namespace reverie
