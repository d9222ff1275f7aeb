#include "reverie/planning/regulator.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "reverie/core/text.h"
#include "reverie/env/mujoco/simulation.h"

namespace reverie {
namespace {

// As many numbers as expected: one is said for all of them.
torch::Tensor Numbers(const std::string& name, const std::vector<double>& given, int64_t expected) {
  if (given.size() == 1) {
    return torch::full({expected}, given[0], torch::kFloat64);
  }
  if (static_cast<int64_t>(given.size()) != expected) {
    throw std::invalid_argument(Text(name, ": expected ", expected,
                                     expected == 1 ? " number" : " numbers, or one for all", ", got ", given.size()));
  }
  return torch::tensor(given, torch::kFloat64);
}

torch::Tensor Weights(const std::string& name, const std::vector<double>& given, int64_t expected, bool may_be_zero) {
  torch::Tensor weights = Numbers(name, given, expected);
  if (weights.min().item<double>() < 0 || (!may_be_zero && weights.min().item<double>() == 0)) {
    throw std::invalid_argument(name + ": expected numbers " + (may_be_zero ? "at least 0" : "above 0"));
  }
  return torch::diag(weights);
}

// The model's own rest, and what a reset drew for the episode beside it.
std::vector<double> RestOf(const Env& env) {
  std::vector<double> state = env.GetState();
  if (const MujocoSimulation* simulation = env.mujoco()) {
    const auto velocities =
        std::copy(simulation->initial_qpos().begin(), simulation->initial_qpos().end(), state.begin());
    std::fill_n(velocities, simulation->qvel().size(), 0.0);
  } else {
    std::fill(state.begin(), state.end(), 0.0);
  }
  return state;
}

}  // namespace

void RegulatorConfig::Visit(Fields& fields) {
  fields("state", state, "what is regulated to (x*), as `reverie envs ID` names it; none: the model's rest, or zeros");
  fields("action", action, "what holds it there (u*), in [-1, 1]; one number for all, here and below", Between(-1, 1));
  fields("state_weights", state_weights, "diagonal of Q, by the numbers that `reverie control lqr` names", AtLeast(0));
  fields("action_weights", action_weights, "diagonal of R", Above(0));
}

Regulator RegulatorOf(SimulatorDynamics& dynamics, Env& env, const RegulatorConfig& config, bool names_are_flags) {
  const auto name = [names_are_flags](std::string key) {
    if (names_are_flags) {
      std::replace(key.begin(), key.end(), '_', '-');
      key = "--" + key;
    }
    return key;
  };
  const int64_t n = dynamics.tangent_size();
  const int64_t m = dynamics.controls();
  std::vector<double> obs(env.spec().obs_low.size());
  env.SetState(config.state.empty() ? RestOf(env) : config.state, obs);
  Regulator about{.x = dynamics.Follow(env), .u = Numbers(name("action"), config.action, m)};
  if (about.u.abs().max().item<double>() > 1) {
    throw std::invalid_argument(name("action") + ": expected numbers in [-1, 1]");
  }
  const torch::Tensor q = Weights(name("state_weights"), config.state_weights, n, true);
  const torch::Tensor r = Weights(name("action_weights"), config.action_weights, m, false);
  torch::Tensor next = torch::empty({1, about.x.numel()}, torch::kFloat64);
  torch::Tensor drift = torch::empty({1, n}, torch::kFloat64);
  dynamics.Step(about.x.unsqueeze(0), about.u.unsqueeze(0), next);
  dynamics.Difference(next, about.x.unsqueeze(0), drift);
  LinearDynamics linear = LinearDynamics::Of(1, n, m);
  dynamics.Linearise(torch::stack({about.x, about.x}), about.u.unsqueeze(0), &linear);
  about.drift = drift[0];
  about.a = linear.a[0];
  about.solution = SolveDare(linear.a[0], linear.b[0], q, r);
  if (about.solution.status != LqrStatus::kSolved) {
    throw std::invalid_argument(
        env.spec().id + " about that state: " + Text(about.solution.status) +
        (about.solution.status == LqrStatus::kNotStabilisable
             ? " (a direction that no action reaches, or one with weight 0 that moves by itself)"
             : ""));
  }
  about.q_uu = r + linear.b[0].t().mm(about.solution.p).mm(linear.b[0]);
  return about;
}

}  // namespace reverie
