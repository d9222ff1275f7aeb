#include "reverie/planning/ilqr_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <map>
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

// Speeds up to where a simulation blows up, with random controls: a search ends with a status, and what is to be acted
// on is finite and inside the bounds.
TEST(IlqrInTheSimulator, RandomUnstableStatesNeverThrowAndLeaveNoNan) {
  std::map<bool, int> usable;
  for (const std::string id : {"CartPoleSwingUp-v0", "Reacher-v5", "Pendulum-v1"}) {
    Planned planned(id, {});
    const std::unique_ptr<Env> env = planned.maker.make();
    RandomEngine engine = Rng(5).Engine();
    std::vector<double> obs(env->spec().obs_low.size());
    env->Reset(engine, obs);
    const std::vector<double> rest = env->GetState();
    for (int power = 0; power <= 12; power += 2) {
      std::vector<double> state = rest;
      // Reacher's last two numbers are the speed of a target that does not move.
      for (size_t i = state.size() / 2; i < state.size() - (id == "Reacher-v5" ? 2 : 0); ++i) {
        state[i] = std::pow(10.0, power) * std::normal_distribution<double>()(engine);
      }
      env->SetState(state, obs);
      ShootingProblem problem = FollowedFrom(planned.task, *planned.dynamics, env.get());
      problem.horizon = 20;
      const IlqrResult result =
          SolveIlqr(problem, torch::randn({20, problem.controls}, torch::kFloat64), {.max_iterations = 5});
      ++usable[IsUsable(result.status)];
      if (IsUsable(result.status)) {
        EXPECT_TRUE(torch::isfinite(result.x).all().item<bool>()) << id << ", 1e" << power;
        EXPECT_TRUE(std::isfinite(result.cost)) << id << ", 1e" << power;
        EXPECT_LE(result.u.abs().max().item<double>(), 1) << id << ", 1e" << power;
        if (result.lqr.status == LqrStatus::kSolved) {
          EXPECT_TRUE(torch::isfinite(result.lqr.gains.feedback).all().item<bool>()) << id << ", 1e" << power;
        }
      }
    }
  }
  EXPECT_GT(usable[true], 5);
  EXPECT_GT(usable[false], 1);
}

// A searcher of `controls` steps that stay where they are, or lead nowhere.
class BrokenSearches : public testing::Test {
 protected:
  BrokenSearches()
      : policy_({.horizon = 3, .starts = 0, .grow_by = 0, .first_iterations = 1}, {}, 1,
                [this](const torch::Tensor&, const Env*) {
                  ShootingProblem problem = ProblemOf(
                      {.dynamics = [this](const torch::Tensor& x, const torch::Tensor& u) { return broken_ * x + u; },
                       .cost =
                           [this](const torch::Tensor& x, const torch::Tensor& u, const torch::Tensor&) {
                             const torch::Tensor cost = x.square().sum(1) + u.square().sum(1);
                             return root_ ? cost + u.abs().sqrt().sum(1) : cost;
                           },
                       .terminal_cost = {}},
                      torch::ones({2}, torch::kFloat64), 1);
                  problem.horizon = 3;
                  return problem;
                }),
        memory_(policy_.NewMemory(1)) {}

  // In episodes of 30 steps.
  void Act(int64_t steps, PolicyMemory& memory) {
    const std::array<int64_t, 1> rows{0};
    torch::Generator generator = MakeGenerator(Rng(0), torch::kCPU);
    for (int64_t i = 0; i < steps; ++i) {
      if (step_++ % 30 == 0) {
        memory.Reset(rows);
      }
      policy_.Act({.obs = torch::zeros({1, 2}), .rows = rows}, &memory, ActMode::kMean, generator);
    }
  }
  void Act(int64_t steps) { Act(steps, *memory_); }

  static constexpr const char* kSays =
      "in 100 searches in a row iLQR found no plan: along zero controls, number 0 of the state after step 0 is not "
      "finite";

  double broken_ = 1;
  bool root_ = false;  // in a cost whose derivative at zero controls is infinite
  int64_t step_ = 0;
  IlqrPolicy policy_;
  std::unique_ptr<PolicyMemory> memory_;
};

TEST_F(BrokenSearches, AHundredInARowEndIt) {
  broken_ = std::numeric_limits<double>::quiet_NaN();
  Act(99);
  broken_ = 1;
  Act(1);
  broken_ = std::numeric_limits<double>::quiet_NaN();
  Act(99);
  EXPECT_THAT([&] { Act(1); }, testing::ThrowsMessage<std::runtime_error>(testing::StrEq(kSays)));
}

TEST_F(BrokenSearches, AreThoseWithoutDerivativesToo) {
  root_ = true;
  Act(99);
  EXPECT_THAT([&] { Act(1); }, testing::ThrowsMessage<std::runtime_error>(testing::StrEq(
                                   "in 100 searches in a row iLQR found no plan: a derivative along its trajectory is "
                                   "not finite")));
}

TEST_F(BrokenSearches, AreCountedOnFromACheckpoint) {
  broken_ = std::numeric_limits<double>::quiet_NaN();
  Act(60);
  StateTree tree = SaveState(*memory_);
  const std::unique_ptr<PolicyMemory> other = policy_.NewMemory(1);
  LoadState(tree, *other);
  Act(39, *other);
  EXPECT_THAT([&] { Act(1, *other); }, testing::ThrowsMessage<std::runtime_error>(testing::StrEq(kSays)));
}

TEST(IlqrPlan, GoesOnBeyondItsEndWithTheLastControl) {
  const auto rows = [](std::vector<double> values) { return torch::tensor(values, torch::kFloat64).unsqueeze(1); };
  IlqrPlan plan{.x = rows({0, 1, 2, 3}), .u = rows({10, 20, 30}), .feedback = rows({5, 6, 7}).unsqueeze(2)};
  plan.Shift(2);
  EXPECT_TRUE(torch::equal(plan.x, rows({2, 3, 3, 3})));
  EXPECT_TRUE(torch::equal(plan.u, rows({30, 30, 30})));
  EXPECT_TRUE(torch::equal(plan.feedback.squeeze(2), rows({7, 0, 0})));
  IlqrPlan alone{.u = rows({10, 20, 30})};
  alone.Shift(3);
  EXPECT_TRUE(torch::equal(alone.u, rows({30, 30, 30})));
}

// A plan from another start is followed by its feedback: about an unstable rest, where the controls alone lead away.
TEST(Ilqr, BeginsAlongThePlanThatItIsGiven) {
  ShootingProblem problem =
      ProblemOf({.dynamics = [](const torch::Tensor& x, const torch::Tensor& u) { return 1.8 * x + u; },
                 .cost = [](const torch::Tensor& x, const torch::Tensor& u,
                            const torch::Tensor&) { return x.square().sum(1) + 0.1 * u.square().sum(1); },
                 .terminal_cost = {}},
                torch::zeros({1}, torch::kFloat64), 1);
  problem.horizon = 20;
  IlqrResult about_zero;
  Ilqr({.max_iterations = 1}).Solve(problem, torch::zeros({20, 1}, torch::kFloat64), {.lambda = 0}, &about_zero);
  const IlqrPlan plan{.x = about_zero.x, .u = about_zero.u, .feedback = about_zero.lqr.gains.feedback};
  problem.start = torch::full({1}, 0.01, torch::kFloat64);
  Ilqr ilqr({.max_iterations = 0});
  IlqrResult followed;
  IlqrResult left;
  ilqr.Solve(problem, plan, {}, &followed);
  ilqr.Solve(problem, plan.u, {}, &left);
  // 0.01^2 times the value of the regulator, P of P = 1 + 1.8^2 P - (1.8 P)^2 / (0.1 + P), which is linear: exact.
  double p = 1;
  for (int i = 0; i < 200; ++i) {
    p = 1 + 3.24 * p - 3.24 * p * p / (0.1 + p);
  }
  EXPECT_NEAR(followed.cost, 1e-4 * p, 1e-8);
  EXPECT_GT(left.cost, 1);
}

}  // namespace
}  // namespace reverie
