#include "reverie/env/env.h"

#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include "reverie/core/text.h"

namespace reverie {

void CheckSpec(const EnvSpec& spec) {
  const auto fail = [&spec](const std::string& what) { throw std::invalid_argument(spec.id + ": " + what); };
  const auto check_sizes = [&fail](const std::string& what, size_t low, size_t high) {
    if (low == 0 || low != high) {
      fail(
          Text("the ", what, " has ", low, " lower and ", high, " upper bounds; expected as many of both, at least 1"));
    }
  };
  check_sizes("observation", spec.obs_low.size(), spec.obs_high.size());
  check_sizes("action", spec.action_low.size(), spec.action_high.size());
  for (size_t i = 0; i < spec.action_low.size(); ++i) {
    const double low = spec.action_low[i];
    const double high = spec.action_high[i];
    // Policies and models see them in float32.
    const auto finite = [](double x) { return std::isfinite(static_cast<float>(x)); };
    if (!finite(low) || !finite(high) || !finite(high - low) || !(low < high)) {
      fail(Text("the bounds of number ", i, " of the action are ", low, " and ", high,
                "; expected finite ones in float32, the first below the second"));
    }
  }
  if (spec.time_limit < 0) {
    fail(Text("a time limit of ", spec.time_limit, " steps; expected at least 1, or 0 for none"));
  }
}

void Env::Reset(RandomEngine& rng, std::span<double> obs) {
  CheckObsSize(obs.size());
  elapsed_steps_ = 0;
  DoReset(rng, obs);
  if (!start_states_.empty()) {
    DoSetState(start_states_[static_cast<size_t>(rng() % start_states_.size())], obs);
  }
}

void Env::ResetInTurn(size_t episode, RandomEngine& rng, std::span<double> obs) {
  Reset(rng, obs);
  if (!start_states_.empty()) {
    DoSetState(start_states_[episode % start_states_.size()], obs);
  }
}

void Env::SetStartStates(States states) {
  for (const std::vector<double>& state : states) {
    CheckStateSize(state.size());
  }
  start_states_ = std::move(states);
}

StepResult Env::Step(std::span<const double> action, std::span<double> obs) {
  if (action.size() != spec().action_low.size()) {
    throw std::logic_error(spec().id + ": an action of " + std::to_string(action.size()) + " numbers, expected " +
                           std::to_string(spec().act_dim()));
  }
  CheckObsSize(obs.size());
  StepResult result = DoStep(action, obs);
  ++elapsed_steps_;
  bool finite = std::isfinite(result.reward);
  for (const double x : obs) {
    finite = finite && std::isfinite(x);
  }
  if (!finite) {
    throw std::runtime_error(spec().id + ": the observation or reward of step " + std::to_string(elapsed_steps_) +
                             " is not finite");
  }
  result.truncated = result.truncated || (time_limit() > 0 && elapsed_steps_ >= time_limit());
  return result;
}

void Env::SetState(std::span<const double> state, std::span<double> obs) {
  CheckStateSize(state.size());
  CheckObsSize(obs.size());
  elapsed_steps_ = 0;
  DoSetState(state, obs);
}

std::vector<double> Env::GetState() const {
  std::vector<double> state = DoState();
  if (state.size() != spec().state_names.size()) {
    throw std::logic_error(spec().id + ": a state of " + std::to_string(state.size()) + " numbers, expected " +
                           std::to_string(spec().state_names.size()));
  }
  return state;
}

std::vector<double> Env::DoState() const { throw std::logic_error(spec().id + " does not tell its state"); }

void Env::CheckStateSize(size_t size) const {
  if (size != spec().state_names.size()) {
    throw std::invalid_argument(spec().id + ": a state has " + std::to_string(spec().state_names.size()) +
                                " numbers, got " + std::to_string(size));
  }
}

void Env::CheckObsSize(size_t size) const {
  if (size != spec().obs_low.size()) {
    throw std::logic_error(spec().id + ": room for an observation of " + std::to_string(size) + " numbers, expected " +
                           std::to_string(spec().obs_dim()));
  }
}

std::vector<double> Env::Snapshot() const {
  std::vector<double> snapshot = DoSnapshot();
  snapshot.push_back(static_cast<double>(elapsed_steps_));
  return snapshot;
}

void Env::Restore(std::span<const double> snapshot) {
  if (snapshot.empty()) {
    throw std::runtime_error(spec().id + ": an empty snapshot");
  }
  DoRestore(snapshot.first(snapshot.size() - 1));
  elapsed_steps_ = static_cast<int64_t>(snapshot.back());
}

}  // namespace reverie
