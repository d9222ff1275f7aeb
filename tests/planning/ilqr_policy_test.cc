#include "reverie/planning/ilqr_policy.h"

#include <gtest/gtest.h>

#include <array>
#include <random>

#include "reverie/core/state.h"
#include "reverie/env/registry.h"
#include "reverie/planning/simulator_problem.h"
#include "reverie/run/evaluator.h"

namespace reverie {
namespace {

// iLQR in the simulator of a task.
struct Planned {
  Planned(const std::string& id, const IlqrConfig& config, int64_t replan_every = 1)
      : maker(BuiltinEnvs().Find(id).maker()),
        dynamics(std::make_shared<SimulatorDynamics>(maker, 1)),
        task(SimulatorProblem(dynamics, maker)),
        policy(config, {.replan_every = replan_every}, dynamics->controls(),
               [this](const torch::Tensor&, const Env* env) { return FollowedFrom(task, *dynamics, env); }) {}

  EnvMaker maker;
  std::shared_ptr<SimulatorDynamics> dynamics;
  ShootingProblem task;
  IlqrPolicy policy;
};

TEST(StateCost, IsTheNegativeReward) {
  for (const std::string id : {"CartPoleSwingUp-v0", "LinearQuadratic-v0", "Pendulum-v1"}) {
    const EnvMaker maker = BuiltinEnvs().Find(id).maker();
    const std::unique_ptr<Env> env = maker.make();
    std::vector<double> obs(env->spec().obs_low.size());
    RandomEngine rng(3);
    env->Reset(rng, obs);
    const auto row = [](const std::vector<double>& values) {
      return torch::tensor(values, torch::kFloat64).unsqueeze(0);
    };
    for (int i = 0; i < 50; ++i) {
      std::vector<double> action;
      for (size_t j = 0; j < env->spec().action_low.size(); ++j) {
        action.push_back(
            std::uniform_real_distribution<double>(env->spec().action_low[j], env->spec().action_high[j])(rng));
      }
      const std::vector<double> state = env->GetState();
      const double reward = env->Step(action, obs).reward;
      const torch::Tensor cost = maker.task_functions().state_cost(row(state), row(action), row(env->GetState()));
      EXPECT_NEAR(cost.item<double>(), -reward, 1e-12) << id;
    }
  }
}

TEST(StateCost, OfReacherIsItsRewardWithARoundTip) {
  const EnvMaker maker = BuiltinEnvs().Find("Reacher-v5").maker();
  const std::unique_ptr<Env> env = maker.make();
  std::vector<double> obs(env->spec().obs_low.size());
  const std::vector<double> still(2, 0.0);
  for (const double angle : {-1.0, 0.3, 2.0}) {
    env->SetState(std::vector<double>{angle, 0.7, 0.1, -0.05, 0, 0, 0, 0}, obs);
    const double distance = -env->Step(still, obs).reward;  // at rest nothing lags
    const torch::Tensor state = torch::tensor(env->GetState(), torch::kFloat64).unsqueeze(0);
    const torch::Tensor cost = maker.task_functions().state_cost(state, torch::zeros({1, 2}, torch::kFloat64), state);
    EXPECT_NEAR(cost.item<double>(), std::hypot(distance, 0.01) - 0.01, 1e-9);
  }
}

TEST(IlqrPolicy, SwingsUpTheCartPole) {
  // CEM in the simulator: 178.9 (results/pets-cartpole_swingup).
  Planned planned("CartPoleSwingUp-v0", {});
  EXPECT_GE(Evaluate(planned.policy, planned.maker, Rng(1), 2).return_mean(), 183);
}

TEST(IlqrPolicy, ReachesTheTarget) {
  Planned planned("Reacher-v5", {.horizon = 25});
  EXPECT_GE(Evaluate(planned.policy, planned.maker, Rng(1), 4).return_mean(), -4.5);
}

TEST(IlqrPolicy, AGrowingHorizonSwingsUpThePendulum) {
  // Starts of Gymnasium's seeds 1000, 1002 and 1005; the optimum there by value iteration is -0.2, -122.0 and -232.2.
  Planned planned("Pendulum-v1", {.horizon = 120, .starts = 0, .grow_by = 5, .first_iterations = 60, .iterations = 3});
  const std::unique_ptr<Env> env = planned.maker.make();
  torch::Generator generator = MakeGenerator(Rng(0), torch::kCPU);
  const std::array<const Env*, 1> envs{env.get()};
  const std::array<int64_t, 1> rows{0};
  for (const auto& [theta, speed, best] : {std::tuple(0.13437055462810665, 0.20768369401265918, -0.2),
                                           {-0.7488227396623852, -0.2856213246581061, -122.1},
                                           {-2.6249943534011475, 0.8611240847772073, -232.2}}) {
    std::vector<double> obs(3);
    env->SetState(std::vector<double>{theta, speed}, obs);
    const std::unique_ptr<PolicyMemory> memory = planned.policy.NewMemory(1);
    double sum = 0;
    for (int t = 0; t < 200; ++t) {
      const torch::Tensor action = planned.policy.Act({.obs = torch::zeros({1, 3}), .rows = rows, .envs = envs},
                                                      memory.get(), ActMode::kMean, generator);
      sum += env->Step(std::vector<double>{2 * action.item<double>()}, obs).reward;
    }
    EXPECT_GE(sum, 1.01 * best - 0.1);
  }
}

TEST(IlqrPolicy, GoesOnFromItsMemory) {
  for (const int64_t replan_every : {1, 3}) {
    Planned planned("CartPoleSwingUp-v0", {.horizon = 30, .starts = 2}, replan_every);
    const std::unique_ptr<Env> env = planned.maker.make();
    std::vector<double> obs(4);
    RandomEngine rng(5);
    env->Reset(rng, obs);
    const std::array<const Env*, 1> envs{env.get()};
    const std::array<int64_t, 1> rows{0};
    torch::Generator generator = MakeGenerator(Rng(0), torch::kCPU);
    const auto act = [&](PolicyMemory& memory) {
      const ActInput input{.obs = torch::zeros({1, 4}), .rows = rows, .envs = envs};
      return planned.policy.Act(input, &memory, ActMode::kMean, generator).item<double>();
    };
    const std::unique_ptr<PolicyMemory> memory = planned.policy.NewMemory(1);
    for (int t = 0; t < 7; ++t) {
      env->Step(std::vector<double>{act(*memory)}, obs);
    }
    StateTree tree = SaveState(*memory);
    const std::unique_ptr<PolicyMemory> other = planned.policy.NewMemory(1);
    LoadState(tree, *other);
    for (int t = 0; t < 6; ++t) {
      const double action = act(*memory);
      EXPECT_EQ(action, act(*other)) << t;
      env->Step(std::vector<double>{action}, obs);
    }
    memory->Reset(rows);
    const Metrics metrics = memory->DrainMetrics();
    EXPECT_EQ(metrics.Find("plans"), replan_every == 1 ? 13 : 5);
    EXPECT_GT(metrics.Find("iterations").value(), 0.3);
  }
}

TEST(IlqrPolicy, AfterAWholePlanItSearchesAsAtTheBeginning) {
  constexpr int64_t kHorizon = 12;
  Planned planned("CartPoleSwingUp-v0", {.horizon = kHorizon, .starts = 0, .grow_by = 3}, kHorizon);
  const std::unique_ptr<Env> env = planned.maker.make();
  std::vector<double> obs(4);
  env->SetState(std::vector<double>{0.1, 0.5, 0, 1}, obs);
  const std::array<const Env*, 1> envs{env.get()};
  const std::array<int64_t, 1> rows{0};
  torch::Generator generator = MakeGenerator(Rng(0), torch::kCPU);
  const ActInput input{.obs = torch::zeros({1, 4}), .rows = rows, .envs = envs};
  const std::unique_ptr<PolicyMemory> memory = planned.policy.NewMemory(1);
  for (int64_t t = 0; t < 3 * kHorizon; ++t) {
    const auto first =
        planned.policy.Act({.obs = input.obs, .envs = envs}, nullptr, ActMode::kMean, generator).item<double>();
    const auto action = planned.policy.Act(input, memory.get(), ActMode::kMean, generator).item<double>();
    if (t % kHorizon == 0) {
      EXPECT_EQ(action, first) << t;
    }
    env->Step(std::vector<double>{action}, obs);
  }
}

TEST(IlqrPolicy, WhatCannotBePlannedIsRefused) {
  EXPECT_THROW(Planned("HalfCheetah-v5", {}), std::invalid_argument);
  Planned planned("CartPoleSwingUp-v0", {});
  torch::Generator generator = MakeGenerator(Rng(0), torch::kCPU);
  EXPECT_THROW(planned.policy.Act({.obs = torch::zeros({1, 4})}, nullptr, ActMode::kMean, generator),
               std::invalid_argument);
}

}  // namespace
}  // namespace reverie
