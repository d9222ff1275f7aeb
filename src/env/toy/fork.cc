#include "reverie/env/toy/fork.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>
#include <utility>

#include "reverie/core/text.h"

namespace reverie {
namespace {

constexpr double kMostDimensions = 100;
constexpr double kStartRange = 0.5;

}  // namespace

void Fork::Options::Visit(Fields& fields) {
  fields("dimensions", dimensions, "numbers in a state, and in an action", Between(1, kMostDimensions));
  fields("distance", distance, "how far a step throws to either side", AtLeast(0));
}

Fork::Fork(std::string id, const Options& options)
    : options_(options), state_(static_cast<size_t>(options.dimensions)) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const size_t n = state_.size();
  spec_ = {.id = std::move(id),
           .obs_low = std::vector<double>(n, -kInfinity),
           .obs_high = std::vector<double>(n, kInfinity),
           .action_low = std::vector<double>(n, -1.0),
           .action_high = std::vector<double>(n, 1.0),
           .dt = 1,
           .time_limit = 20,
           .state_names = {},
           .random_steps = true};
  for (size_t i = 0; i < n; ++i) {
    spec_.state_names.push_back(Text("s_", i + 1));
  }
}

void Fork::DoReset(RandomEngine& rng, std::span<double> obs) {
  std::uniform_real_distribution<double> start(-kStartRange, kStartRange);
  std::generate(state_.begin(), state_.end(), [&] { return start(rng); });
  noise_.Begin(rng());
  std::copy(state_.begin(), state_.end(), obs.begin());
}

StepResult Fork::DoStep(std::span<const double> action, std::span<double> obs) {
  RandomEngine engine = noise_.Next();
  const double throw_by = std::bernoulli_distribution()(engine) ? options_.distance : -options_.distance;
  std::normal_distribution<double> xi(0, kNoise);
  bool in_pit = true;
  for (size_t i = 0; i < state_.size(); ++i) {
    state_[i] += kGain * action[i] + throw_by + xi(engine);
    in_pit = in_pit && std::abs(state_[i]) < kPit;
  }
  std::copy(state_.begin(), state_.end(), obs.begin());
  return {.reward = in_pit ? -1.0 : 0.0};
}

void Fork::DoSetState(std::span<const double> state, std::span<double> obs) {
  std::copy(state.begin(), state.end(), state_.begin());
  std::copy(state.begin(), state.end(), obs.begin());
}

std::vector<double> Fork::DoSnapshot() const {
  std::vector<double> snapshot = state_;
  noise_.AddTo(snapshot);
  return snapshot;
}

void Fork::DoRestore(std::span<const double> snapshot) {
  if (snapshot.size() != state_.size() + StepNoise::kNumbers) {
    throw std::runtime_error(Text(spec_.id, ": a snapshot of ", snapshot.size(), " numbers, expected ",
                                  state_.size() + StepNoise::kNumbers));
  }
  std::copy_n(snapshot.begin(), state_.size(), state_.begin());
  noise_.Restore(snapshot.subspan(state_.size()));
}

TaskFunctions Fork::MakeTaskFunctions(const Options&) {
  return {.reward = [](const torch::Tensor&, const torch::Tensor&,
                       const torch::Tensor& next_obs) { return -(next_obs.abs() < kPit).all(1).to(next_obs.dtype()); },
          .terminated = NeverTerminated,
          .state_cost = {},
          .features = {}};
}

}  // namespace reverie
