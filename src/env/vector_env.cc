#include "reverie/env/vector_env.h"

#include <algorithm>
#include <numeric>
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

int64_t CheckedThreads(int64_t count, int64_t threads) {
  if (count < 1 || threads < 1) {
    throw std::invalid_argument("a vector of " + std::to_string(count) + " environments on " + std::to_string(threads) +
                                " threads: expected at least 1 of each");
  }
  return std::min(count, threads);
}

}  // namespace

VectorEnv::VectorEnv(const std::function<std::unique_ptr<Env>()>& make, int64_t count, int64_t threads,
                     const Rng& rng) {
  const int64_t at_once = CheckedThreads(count, threads);
  for (int64_t i = 0; i < count; ++i) {
    envs_.push_back(make());
    engines_.push_back(rng.Split(static_cast<uint64_t>(i)).Engine());
  }
  errors_.resize(envs_.size());
  for (int64_t i = 1; i < at_once; ++i) {
    threads_.emplace_back([this] {
      for (int64_t seen = 0;; ++seen) {
        WaitWhile(jobs_begun_, seen);
        if (job_ == nullptr) {
          return;
        }
        Work();
        if (threads_busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
          threads_busy_.notify_one();
        }
      }
    });
  }
}

void VectorEnv::Begin(int64_t count, const std::function<void(int64_t)>* job) {
  job_ = job;
  job_count_ = count;
  next_.store(0, std::memory_order_relaxed);
  threads_busy_.store(static_cast<int64_t>(threads_.size()), std::memory_order_relaxed);
  jobs_begun_.fetch_add(1, std::memory_order_release);
  jobs_begun_.notify_all();
}

VectorEnv::~VectorEnv() {
  Begin(0, nullptr);
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

void VectorEnv::RunOnAll(int64_t count, const std::function<void(int64_t)>& job) {
  Begin(count, &job);
  Work();
  for (int64_t busy = threads_busy_.load(std::memory_order_acquire); busy > 0;
       busy = threads_busy_.load(std::memory_order_acquire)) {
    WaitWhile(threads_busy_, busy);
  }
  for (std::exception_ptr& error : errors_) {
    if (error) {
      const std::exception_ptr first = error;
      std::fill(errors_.begin(), errors_.end(), nullptr);
      std::rethrow_exception(first);
    }
  }
}

void VectorEnv::Work() {
  for (int64_t i = next_++; i < job_count_; i = next_++) {
    try {
      (*job_)(i);
    } catch (...) {
      errors_[static_cast<size_t>(i)] = std::current_exception();
    }
  }
}

void VectorEnv::Reset(std::span<double> obs) {
  std::vector<int64_t> all(envs_.size());
  std::iota(all.begin(), all.end(), 0);
  Reset(all, obs);
}

void VectorEnv::Reset(std::span<const int64_t> which, std::span<double> obs) {
  CheckSize("observations", obs.size(), spec().obs_low.size());
  std::vector<bool> named(envs_.size(), false);
  for (const int64_t i : which) {
    if (i < 0 || i >= size() || named[static_cast<size_t>(i)]) {
      throw std::logic_error("VectorEnv::Reset: copy " + std::to_string(i) + " of " + std::to_string(size()) +
                             " does not exist or is named twice");
    }
    named[static_cast<size_t>(i)] = true;
  }
  RunOnAll(static_cast<int64_t>(which.size()), [&](int64_t k) {
    const int64_t i = which[static_cast<size_t>(k)];
    env(i).Reset(engines_[static_cast<size_t>(i)], Row(obs, i));
  });
}

void VectorEnv::Step(std::span<const double> actions, std::span<double> obs, std::span<StepResult> results) {
  const size_t act_dim = spec().action_low.size();
  CheckSize("actions", actions.size(), act_dim);
  CheckSize("observations", obs.size(), spec().obs_low.size());
  CheckSize("results", results.size(), 1);
  RunOnAll(size(), [&](int64_t i) {
    const size_t at = static_cast<size_t>(i);
    results[at] = envs_[at]->Step(actions.subspan(at * act_dim, act_dim), Row(obs, i));
  });
}

void VectorEnv::CheckSize(const char* what, size_t got, size_t row) const {
  if (got != row * envs_.size()) {
    throw std::logic_error("VectorEnv: " + std::to_string(got) + " numbers of " + what + ", expected " +
                           std::to_string(row * envs_.size()));
  }
}

std::span<double> VectorEnv::Row(std::span<double> rows, int64_t i) const {
  const size_t width = spec().obs_low.size();
  return rows.subspan(static_cast<size_t>(i) * width, width);
}

void VectorEnv::VisitState(StateVisitor& state) {
  for (size_t i = 0; i < envs_.size(); ++i) {
    state("engine_" + std::to_string(i), engines_[i]);
    std::vector<double> snapshot = envs_[i]->Snapshot();
    state("env_" + std::to_string(i), snapshot);
    if (state.loading()) {
      envs_[i]->Restore(snapshot);
    }
  }
}

}  // namespace reverie
