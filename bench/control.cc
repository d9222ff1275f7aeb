// Optimal control: the backward recursion of LQR, derivatives of the simulator, iLQR at every step, local models.
// scripts/peers/crocoddyl_lqr.py times Crocoddyl's recursion on as large problems.
#include <benchmark/benchmark.h>

#include <cmath>
#include <memory>
#include <vector>

#include "reverie/control/lqr.h"
#include "reverie/env/registry.h"
#include "reverie/env/state_cost.h"
#include "reverie/learners/local_model.h"
#include "reverie/planning/ilqr_policy.h"
#include "reverie/planning/simulator_dynamics.h"
#include "reverie/planning/simulator_problem.h"
#include "reverie/run/evaluator.h"

namespace reverie {
namespace {

void BackwardPass(benchmark::State& state) {
  const int64_t n = state.range(0);
  const int64_t m = state.range(1);
  const int64_t horizon = state.range(2);
  LinearDynamics dynamics = LinearDynamics::Of(horizon, n, m);
  dynamics.a = torch::randn({horizon, n, n}, torch::kFloat64) / std::sqrt(static_cast<double>(n));
  dynamics.b = torch::randn({horizon, n, m}, torch::kFloat64);
  QuadraticCost cost = QuadraticCost::Of(horizon, n, m);
  cost.xx.copy_(torch::eye(n, torch::kFloat64).expand({horizon + 1, n, n}));
  cost.uu.copy_(torch::eye(m, torch::kFloat64).expand({horizon, m, m}));
  cost.x = torch::randn({horizon + 1, n}, torch::kFloat64);
  cost.u = torch::randn({horizon, m}, torch::kFloat64);
  LqrSolver solver;
  LqrResult result;
  for (auto _ : state) {
    solver.Solve(dynamics, cost, {.control_regularisation = 1e-9}, &result);
    if (result.status != LqrStatus::kSolved) {
      state.SkipWithError(Text(result.status));
    }
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BackwardPass)
    ->ArgNames({"n", "m", "T"})
    ->Args({4, 1, 50})
    ->Args({8, 2, 50})
    ->Args({18, 6, 30})
    ->Args({37, 12, 100})
    ->UseRealTime();

// HalfCheetah-v5 about thirty steps of random actions, on its feet.
void Linearisation(benchmark::State& state) {
  constexpr int64_t kHorizon = 30;
  const EnvMaker maker = BuiltinEnvs().Find("HalfCheetah-v5").maker();
  const std::unique_ptr<Env> env = maker.make();
  std::vector<double> obs(env->spec().obs_low.size());
  RandomEngine rng = Rng(0).Engine();
  env->Reset(rng, obs);
  SimulatorDynamics dynamics(maker, state.range(0));
  const torch::Tensor u = 2 * torch::rand({kHorizon, dynamics.controls()}, torch::kFloat64) - 1;
  torch::Tensor x = torch::zeros({kHorizon + 1, dynamics.state_size()}, torch::kFloat64);
  x[0] = dynamics.Follow(*env);
  for (int64_t t = 0; t < kHorizon; ++t) {
    torch::Tensor next = x.slice(0, t + 1, t + 2);
    dynamics.Step(x.slice(0, t, t + 1), u.slice(0, t, t + 1), next);
  }
  LinearDynamics linear = LinearDynamics::Of(kHorizon, dynamics.tangent_size(), dynamics.controls());
  for (auto _ : state) {
    dynamics.Linearise(x, u, &linear);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(Linearisation)->ArgName("threads")->Arg(1)->Arg(2)->Unit(benchmark::kMillisecond)->UseRealTime();

// CartPoleSwingUp-v0 under iLQR in the simulator, a plan at every step, on one thread. Items are episodes of 200 steps.
void SwingUpEpisode(benchmark::State& state) {
  const EnvMaker maker = BuiltinEnvs().Find("CartPoleSwingUp-v0").maker();
  const IlqrPolicy policy({}, {}, 1, SimulatorProblemFrom(maker, 1));
  for (auto _ : state) {
    if (Evaluate(policy, maker, Rng(1), 1).return_mean() < 170) {
      state.SkipWithError("the pole is not swung up");
    }
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(SwingUpEpisode)->Unit(benchmark::kMillisecond)->UseRealTime();

// What a local model learns from five episodes of Reacher-v5's sizes: a mixture as the prior, dynamics, the cost's
// expansion, the constrained update. Items are updates.
void LocalUpdate(benchmark::State& state) {
  constexpr int64_t kEpisodes = 5;
  constexpr int64_t kHorizon = 50;
  constexpr int64_t kStates = 8;
  constexpr int64_t kControls = 2;
  torch::manual_seed(0);
  const torch::Tensor controls = 0.3 * torch::randn({kEpisodes, kHorizon, kControls}, torch::kFloat64);
  const torch::Tensor b = 0.1 * torch::randn({kControls, kStates}, torch::kFloat64);
  torch::Tensor states = torch::full({kEpisodes, kHorizon + 1, kStates}, 0.1, torch::kFloat64);
  for (int64_t t = 0; t < kHorizon; ++t) {
    const torch::Tensor noise = 0.01 * torch::randn({kEpisodes, kStates}, torch::kFloat64);
    states.select(1, t + 1).copy_(0.95 * states.select(1, t) + controls.select(1, t).mm(b) + noise);
  }
  const auto cost = StateCostOf(BuiltinEnvs().Find("Reacher-v5").maker());
  for (auto _ : state) {
    LocalModel local({}, kHorizon, kStates, kControls, cost, Rng(0));
    if (local.Update(states, controls).Find("failed") != 0.0) {
      state.SkipWithError("the update failed");
    }
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(LocalUpdate)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace reverie
