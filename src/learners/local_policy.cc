#include "reverie/learners/local_policy.h"

#include <algorithm>

#include "reverie/control/local_dynamics.h"

namespace reverie {
namespace {

// The last of those kept and those new, [N, ...].
torch::Tensor LastOf(const torch::Tensor& kept, const torch::Tensor& added, int64_t most) {
  const torch::Tensor all = kept.numel() > 0 ? torch::cat({kept, added}) : added;
  return all.slice(0, std::max<int64_t>(0, all.size(0) - std::max(most, added.size(0)))).clone();
}

}  // namespace

LocalPolicy::LocalPolicy(const LocalModelConfig& config, const Rng& rng)
    : config_(config),
      generator_(MakeGenerator(rng, torch::kCPU)),
      states_(torch::empty({0}, torch::kFloat64)),
      obs_(torch::empty({0}, torch::kFloat32)) {}

void LocalPolicy::Remember(const torch::Tensor& states, const torch::Tensor& obs) {
  const int64_t most = config_.prior == LocalPrior::kNone ? 0 : config_.prior_trajectories;
  newest_ = states.size(0);
  states_ = LastOf(states_, states, most);
  obs_ = LastOf(obs_, obs, most);
}

LinearGaussianController LocalPolicy::Linearise(const Mean& mean, const torch::Tensor& covariance) {
  const int64_t count = states_.size(0);
  const torch::Tensor actions =
      mean(obs_.flatten(0, 1)).to(torch::kCPU, torch::kFloat64).view({count, obs_.size(1), -1});
  PriorOf prior_of;
  if (config_.prior != LocalPrior::kNone) {
    const torch::Tensor rows = ActionRows(states_, actions);
    mixture_.Fit(rows, config_.ClustersOf(rows.size(0)), generator_);
    prior_of = [this](const torch::Tensor& of_step) { return mixture_.PriorOf(of_step, config_.prior_strength); };
  }
  return FitLinearController(states_.slice(0, count - newest_), actions.slice(0, count - newest_), covariance,
                             prior_of);
}

void LocalPolicy::VisitState(StateVisitor& state) {
  state("generator", generator_);
  state("mixture", mixture_);
  state.Resizable("states", states_);
  state.Resizable("obs", obs_);
  state("newest", newest_);
}

}  // namespace reverie
