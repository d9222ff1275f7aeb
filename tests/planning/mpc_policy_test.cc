#include "reverie/planning/mpc_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <memory>

#include "planning/planners.h"
#include "reverie/env/registry.h"
#include "reverie/env/toy/cart_pole_swing_up.h"
#include "reverie/planning/simulator_return.h"
#include "reverie/run/evaluator.h"

namespace reverie {
namespace {

// Many candidates for two steps ahead: the best comes near the target.
const char* const kShooting = "{kind: random_shooting, horizon: 4, options: {population: 4000}}";

// The best sequence rises by a tenth of the observation from step to step; counts what it is asked.
class MpcPolicyTest : public testing::Test {
 protected:
  MpcPolicy Make(int64_t replan_every, const std::string& yaml = kShooting) {
    return {Planner(yaml),
            1,
            replan_every,
            {[this](const torch::Tensor& obs, const Env* env, const torch::Tensor& actions, torch::Generator&) {
              ++searches_;
              envs_.push_back(env);
              const torch::Tensor best = obs.item<float>() / 10 *
                                         torch::arange(1, actions.size(1) + 1).mul(rises_ ? 1 : 0).add(rises_ ? 0 : 4);
              torch::Tensor scores = -(actions.squeeze(2) - best).square().sum(1);
              if (broken_ > 0) {
                scores.narrow(0, 0, std::min(broken_, scores.size(0))).fill_(std::nanf(""));
              }
              return scores;
            }},
            torch::kCPU};
  }
  // In the first environment, the memory's row 0, for each of the observations.
  torch::Tensor Act(const MpcPolicy& policy, PolicyMemory& memory, float obs) {
    return ActIn(policy, &memory, {obs}, {0}, {first_.get()});
  }
  torch::Tensor ActIn(const MpcPolicy& policy, PolicyMemory* memory, const std::vector<float>& obs,
                      const std::vector<int64_t>& rows, const std::vector<const Env*>& envs) {
    const ActInput input{.obs = torch::tensor(obs).unsqueeze(1), .rows = rows, .envs = envs};
    return policy.Act(input, memory, ActMode::kMean, generator_).squeeze(1);
  }

  int64_t searches_ = 0;
  int64_t broken_ = 0;  // candidates without a return
  bool rises_ = true;   // else the best sequence is constant
  std::vector<const Env*> envs_;
  torch::Generator generator_ = MakeGenerator(Rng(1), torch::kCPU);
  std::unique_ptr<Env> first_ = BuiltinEnvs().Find("Pendulum-v1").maker().make();
  std::unique_ptr<Env> second_ = BuiltinEnvs().Find("Pendulum-v1").maker().make();
};

TEST_F(MpcPolicyTest, PlansAnewAtEveryStepOrActsOutItsPlan) {
  for (const int64_t replan_every : {1, 2, 4}) {
    const MpcPolicy policy = Make(replan_every);
    const std::unique_ptr<PolicyMemory> memory = policy.NewMemory(1);
    searches_ = 0;
    for (int64_t step = 0; step < 8; ++step) {
      const float action = Act(policy, *memory, 2).item<float>();
      const auto place = static_cast<float>(step % replan_every + 1);
      EXPECT_NEAR(action, 0.2F * place, 0.25F) << replan_every << " " << step;
      EXPECT_EQ(searches_, step / replan_every + 1);
    }
  }
  EXPECT_THROW(Make(0), std::logic_error);
  EXPECT_THROW(Make(5), std::logic_error);
}

TEST_F(MpcPolicyTest, EveryRowOfTheMemoryHasItsOwnPlan) {
  const MpcPolicy policy = Make(4);
  const std::unique_ptr<PolicyMemory> memory = policy.NewMemory(2);
  const torch::Tensor both = ActIn(policy, memory.get(), {3, -3}, {0, 1}, {first_.get(), second_.get()});
  EXPECT_NEAR(both[0].item<float>(), 0.3F, 0.25F);
  EXPECT_NEAR(both[1].item<float>(), -0.3F, 0.25F);
  EXPECT_THAT(envs_, testing::ElementsAre(first_.get(), second_.get()));
  // The first's episode has ended: the second goes on with its plan.
  const float second = ActIn(policy, memory.get(), {3}, {1}, {second_.get()}).item<float>();
  EXPECT_NEAR(second, -0.6F, 0.25F);
  EXPECT_EQ(searches_, 2);
  // Another's memory is another's.
  const std::unique_ptr<PolicyMemory> other = policy.NewMemory(2);
  ActIn(policy, other.get(), {5}, {1}, {second_.get()});
  EXPECT_EQ(searches_, 3);
  ActIn(policy, memory.get(), {3}, {1}, {second_.get()});
  EXPECT_EQ(searches_, 3);
  memory->Reset(std::vector<int64_t>{1});
  ActIn(policy, memory.get(), {5}, {1}, {second_.get()});
  EXPECT_EQ(searches_, 4);
  ActIn(policy, memory.get(), {5}, {0}, {first_.get()});
  EXPECT_EQ(searches_, 4);
  EXPECT_THROW(ActIn(policy, memory.get(), {5}, {2}, {first_.get()}), std::out_of_range);
}

TEST_F(MpcPolicyTest, WithoutAMemoryEveryRowIsPlannedForFromNothing) {
  const MpcPolicy policy = Make(4);
  for (int64_t step = 1; step <= 3; ++step) {
    EXPECT_NEAR(ActIn(policy, nullptr, {2}, {}, {}).item<float>(), 0.2F, 0.25F);
    EXPECT_EQ(searches_, step);
  }
  EXPECT_THAT(envs_, testing::Each(nullptr));
  const std::unique_ptr<PolicyMemory> memory = policy.NewMemory(3);
  EXPECT_THROW(ActIn(policy, memory.get(), {1, 2, 3}, {0, 1, 2}, {first_.get()}), std::logic_error);
  EXPECT_THROW(ActIn(policy, memory.get(), {1, 2, 3}, {0}, {}), std::logic_error);
}

TEST_F(MpcPolicyTest, SearchesGoOnFromTheLastOnesPlan) {
  // A search that reaches only as far as its small deviation comes to the best sequence, 0.8 at every step, over many.
  rises_ = false;
  const MpcPolicy policy = Make(1, "{kind: mppi, horizon: 4, options: {population: 50, sigma: 0.05, lambda: 0.001}}");
  const std::unique_ptr<PolicyMemory> memory = policy.NewMemory(1);
  EXPECT_LT(Act(policy, *memory, 2).item<float>(), 0.3F);
  for (int64_t step = 0; step < 60; ++step) {
    Act(policy, *memory, 2);
  }
  EXPECT_NEAR(Act(policy, *memory, 2).item<float>(), 0.8F, 0.05F);
  memory->Reset(std::vector<int64_t>{0});
  EXPECT_LT(Act(policy, *memory, 2).item<float>(), 0.3F);
}

TEST_F(MpcPolicyTest, GoesOnFromItsMemorysState) {
  const MpcPolicy policy = Make(3);
  const std::unique_ptr<PolicyMemory> memory = policy.NewMemory(1);
  const std::unique_ptr<PolicyMemory> restored = policy.NewMemory(1);
  Act(policy, *memory, 1);
  StateTree tree = SaveState(*memory);
  LoadState(tree, *restored);
  torch::Generator one = MakeGenerator(Rng(5), torch::kCPU);
  torch::Generator other = MakeGenerator(Rng(5), torch::kCPU);
  for (int64_t step = 0; step < 5; ++step) {
    generator_ = one;
    const torch::Tensor expected = Act(policy, *memory, 1);
    generator_ = other;
    EXPECT_TRUE(torch::equal(Act(policy, *restored, 1), expected)) << step;
  }
  EXPECT_EQ(memory->DrainMetrics().Find("searches"), 2);
  EXPECT_EQ(restored->DrainMetrics().Find("searches"), 2);
}

TEST_F(MpcPolicyTest, CountsCandidatesWithoutAReturn) {
  const MpcPolicy policy = Make(2);
  const std::unique_ptr<PolicyMemory> memory = policy.NewMemory(1);
  broken_ = 1000;
  for (int64_t step = 0; step < 4; ++step) {
    EXPECT_TRUE(torch::isfinite(Act(policy, *memory, 2)).all().item<bool>());
  }
  Metrics metrics = memory->DrainMetrics();
  EXPECT_EQ(metrics.Find("searches"), 2);
  EXPECT_DOUBLE_EQ(*metrics.Find("share_not_finite"), 0.25);
  EXPECT_EQ(metrics.Find("searches_without_finite"), 0);
  // Where none has one, what is left of the plan that was there is acted out.
  Act(policy, *memory, 2);
  Act(policy, *memory, 2);
  memory->DrainMetrics();
  broken_ = std::numeric_limits<int64_t>::max();
  testing::internal::CaptureStderr();
  Act(policy, *memory, 2);
  metrics = memory->DrainMetrics();
  EXPECT_EQ(metrics.Find("searches_without_finite"), 1);
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              testing::HasSubstr("in 1 of 1 searches no candidate's return was finite"));
  EXPECT_EQ(memory->DrainMetrics().Find("searches"), 0);
}

TEST_F(MpcPolicyTest, AHundredSearchesInARowWithoutAReturnEndIt) {
  const MpcPolicy policy(Planner("{kind: random_shooting, horizon: 2, options: {population: 3}}"), 1, 1,
                         {[this](const torch::Tensor&, const Env*, const torch::Tensor& actions, torch::Generator&) {
                            return torch::full({actions.size(0)}, broken_ > 0 ? std::nanf("") : 1.0F);
                          },
                          [](const torch::Tensor& obs, const torch::Tensor& candidate, torch::Generator&) {
                            return "number " + std::to_string(obs.item<int64_t>() + candidate.size(0)) + " of it";
                          }},
                         torch::kCPU);
  const std::unique_ptr<PolicyMemory> memory = policy.NewMemory(1);
  const auto act = [&](int64_t searches) {
    for (int64_t i = 0; i < searches; ++i) {
      Act(policy, *memory, 40);
    }
  };
  broken_ = 1;
  act(99);
  broken_ = 0;
  act(1);
  broken_ = 1;
  act(99);
  EXPECT_THAT([&] { act(1); }, testing::ThrowsMessage<std::runtime_error>(testing::StrEq(
                                   "in 100 searches in a row no candidate's return was finite: number 42 of it is not "
                                   "finite")));
}

// The task's return where it is solved, on the true simulator: the pole is up for most of the 200 steps.
constexpr double kSolved = 160;

double ReturnOnTheTrueCartPole(const std::string& planner) {
  const EnvMaker maker = BuiltinEnvs().Find("CartPoleSwingUp-v0").maker();
  SimulatorReturn simulator(maker, 2);
  const MpcPolicy policy(
      Planner(planner), 1, 1,
      {[&](const torch::Tensor&, const Env* env, const torch::Tensor& actions, torch::Generator& generator) {
        return simulator.Score(env->Snapshot(), actions, generator);
      }},
      torch::kCPU);
  return Evaluate(policy, maker, Rng(3), 2).return_min();
}

TEST(OnTheTrueCartPole, AllButRandomShootingSwingItUp) {
  EXPECT_GT(ReturnOnTheTrueCartPole("{kind: cem, horizon: 25, options: {population: 100, elites: 10}}"), kSolved);
  EXPECT_GT(ReturnOnTheTrueCartPole("{kind: icem, horizon: 25, options: {population: 60, elites: 8}}"), kSolved);
  EXPECT_GT(ReturnOnTheTrueCartPole("{kind: mppi, horizon: 25, options: {population: 300, iterations: 2}}"), kSolved);
  EXPECT_LT(ReturnOnTheTrueCartPole("{kind: random_shooting, horizon: 25, options: {population: 500}}"), kSolved);
}

// The cart-pole's motion as its header has it, differentiable: state [P, 4], force [P].
torch::Tensor Derivative(const torch::Tensor& state, const torch::Tensor& force) {
  constexpr double kM = CartPoleSwingUp::kPoleMass;
  constexpr double kL = CartPoleSwingUp::kPoleLength;
  constexpr double kG = CartPoleSwingUp::kGravity;
  const torch::Tensor theta = state.select(1, 1);
  const torch::Tensor x_dot = state.select(1, 2);
  const torch::Tensor theta_dot = state.select(1, 3);
  const torch::Tensor sin = theta.sin();
  const torch::Tensor cos = theta.cos();
  const torch::Tensor x_acc = (force - CartPoleSwingUp::Options().friction * x_dot +
                               0.5 * kM * kL * sin * theta_dot.square() + 0.75 * kM * kG * sin * cos) /
                              (CartPoleSwingUp::kCartMass + kM - 0.75 * kM * cos.square());
  return torch::stack({x_dot, theta_dot, x_acc, -1.5 / kL * (cos * x_acc + kG * sin)}, 1);
}

TEST(OnTheTrueCartPole, GradientShootingSwingsItUp) {
  const EnvMaker maker = BuiltinEnvs().Find("CartPoleSwingUp-v0").maker();
  const TaskFunctions task = maker.task_functions();
  const MpcPolicy policy(
      Planner("{kind: gradient, horizon: 25, options: {restarts: 16, iterations: 4, learning_rate: 0.3}}"), 1, 1,
      {[&](const torch::Tensor& obs, const Env*, const torch::Tensor& actions, torch::Generator&) {
        torch::Tensor state = obs.expand({actions.size(0), 4});
        torch::Tensor sum = torch::zeros({actions.size(0)});
        constexpr double kDt = 0.04;  // one step of the midpoint rule
        for (int64_t t = 0; t < actions.size(1); ++t) {
          const torch::Tensor action = actions.select(1, t);
          const torch::Tensor force = CartPoleSwingUp::kMaxForce * action.select(1, 0);
          const torch::Tensor middle = state + kDt / 2 * Derivative(state, force);
          const torch::Tensor next = state + kDt * Derivative(middle, force);
          sum = sum + task.reward(state, action, next);
          state = next;
        }
        return sum;
      }},
      torch::kCPU);
  EXPECT_GT(Evaluate(policy, maker, Rng(3), 1).return_min(), kSolved);
}

}  // namespace
}  // namespace reverie
