#include "reverie/env/vector_env.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>

namespace reverie {
namespace {

int64_t CheckedThreads(int64_t count, int64_t threads) {
  if (count < 1 || threads < 1) {
    throw std::invalid_argument("a vector of " + std::to_string(count) + " environments on " + std::to_string(threads) +
                                " threads: expected at least 1 of each");
  }
  return std::min(count, threads);
}

}  // namespace

VectorEnv::VectorEnv(const std::function<std::unique_ptr<Env>()>& make, int64_t count, int64_t threads, const Rng& rng)
    : threads_(CheckedThreads(count, threads)) {
  for (int64_t i = 0; i < count; ++i) {
    envs_.push_back(make());
    engines_.push_back(rng.Split(static_cast<uint64_t>(i)).Engine());
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
  threads_.Run(static_cast<int64_t>(which.size()), [&](int64_t k, int64_t) {
    const int64_t i = which[static_cast<size_t>(k)];
    env(i).Reset(engines_[static_cast<size_t>(i)], Row(obs, i));
  });
}

void VectorEnv::Step(std::span<const double> actions, std::span<double> obs, std::span<StepResult> results) {
  const size_t act_dim = spec().action_low.size();
  CheckSize("actions", actions.size(), act_dim);
  CheckSize("observations", obs.size(), spec().obs_low.size());
  CheckSize("results", results.size(), 1);
  threads_.Run(size(), [&](int64_t i, int64_t) {
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
