#include "reverie/learners/local_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "control/problems.h"
#include "reverie/core/state.h"
#include "reverie/env/state_cost.h"

namespace reverie {
namespace {

constexpr int64_t kT = 50;

// LinearQuadratic-v0 for 50 steps from one state, whose optimum without noise is 3.163247395773828 (by CasADi).
class LocalModelTest : public testing::Test {
 protected:
  static constexpr double kOptimum = 3.163247395773828;

  LocalModelTest() {
    problem_ = LinearQuadraticProblem();
    cost_ = StateCostOf(BuiltinEnvs().Find("LinearQuadratic-v0").maker());
  }

  // N trajectories under the controller, or with `noise` false its mean's.
  std::pair<torch::Tensor, torch::Tensor> Roll(const LinearGaussianController& controller, int64_t count, bool noise) {
    torch::Tensor states = torch::zeros({count, kT + 1, 4}, torch::kFloat64);
    torch::Tensor controls = torch::zeros({count, kT, 2}, torch::kFloat64);
    states.select(1, 0).copy_(problem_.start.expand({count, 4}));
    for (int64_t t = 0; t < kT; ++t) {
      const torch::Tensor x = states.select(1, t).contiguous();
      torch::Tensor u = x.mm(controller.gains.feedback[t].t()) + controller.gains.feedforward[t];
      if (noise) {
        u = u + torch::randn({count, 2}, generator_, torch::kFloat64).mm(controller.factor[t].t());
      }
      u = u.clamp(-1, 1);
      torch::Tensor next = torch::empty_like(x);
      problem_.step(t, x, u, next);
      states.select(1, t + 1).copy_(next);
      controls.select(1, t).copy_(u);
    }
    return {states, controls};
  }
  double CostOf(const LinearGaussianController& controller) {
    const auto [states, controls] = Roll(controller, 1, false);
    return cost_(states.slice(1, 0, kT).flatten(0, 1), controls.flatten(0, 1), states.slice(1, 1).flatten(0, 1))
        .sum()
        .item<double>();
  }
  LocalModel Make(const LocalModelConfig& config, uint64_t seed = 0) { return {config, kT, 4, 2, cost_, Rng(seed)}; }

  // The cost after so many updates of so many trajectories.
  double Learn(LocalModel& model, int64_t updates, int64_t count) {
    for (int64_t i = 0; i < updates; ++i) {
      const auto [states, controls] = Roll(model.controller(), count, true);
      last_ = model.Update(states, controls);
    }
    return CostOf(model.controller());
  }

  ShootingProblem problem_;
  TaskFunctions::Batched cost_;
  torch::Generator generator_ = MakeGenerator(Rng(3), torch::kCPU);
  Metrics last_;
};

TEST_F(LocalModelTest, FiveTrajectoriesAndAMixtureReachTheOptimum) {
  for (const uint64_t seed : {0U, 1U, 2U}) {
    LocalModel model = Make({.kl_step = 1, .min_std = 0.1}, seed);
    EXPECT_LE(Learn(model, 14, 5), 1.001 * kOptimum) << seed;
    EXPECT_EQ(last_.Find("failed"), 0);
  }
}

TEST_F(LocalModelTest, ManyTrajectoriesNeedNoPrior) {
  LocalModel model = Make({.prior = LocalPrior::kNone, .kl_step = 1, .min_std = 0.1});
  EXPECT_LE(Learn(model, 6, 20), 1.001 * kOptimum);
}

TEST_F(LocalModelTest, AGaussianPriorIsOneCluster) {
  LocalModel gaussian = Make({.prior = LocalPrior::kGaussian, .kl_step = 1, .min_std = 0.1});
  LocalModel mixture = Make({.prior_clusters = 1, .kl_step = 1, .min_std = 0.1});
  const auto [states, controls] = Roll(gaussian.controller(), 5, true);
  gaussian.Update(states, controls);
  mixture.Update(states, controls);
  EXPECT_TRUE(torch::equal(gaussian.controller().gains.feedback, mixture.controller().gains.feedback));
}

TEST_F(LocalModelTest, OneFarStepIsTheOptimumOfALinearSystem) {
  LocalModel model = Make({.prior = LocalPrior::kNone, .kl_step = 1e9});
  EXPECT_NEAR(Learn(model, 1, 20), kOptimum, 1e-6);
}

TEST_F(LocalModelTest, ACostThatIsNotFiniteLeavesTheControllerAndShortensTheStep) {
  bool broken = false;
  const TaskFunctions::Batched cost = [&](const torch::Tensor& x, const torch::Tensor& u, const torch::Tensor& next) {
    return broken ? cost_(x, u, next) * std::numeric_limits<double>::quiet_NaN() : cost_(x, u, next);
  };
  LocalModel model({.kl_step = 1}, kT, 4, 2, cost, Rng(0));
  auto [states, controls] = Roll(model.controller(), 5, true);
  broken = true;
  const Metrics failed = model.Update(states, controls);
  EXPECT_EQ(failed.Find("failed"), 1);
  EXPECT_EQ(failed.Find("growth"), 0.1);
  EXPECT_EQ(model.controller().gains.feedback.abs().max().item<double>(), 0);
  broken = false;
  const Metrics mended = model.Update(states, controls);
  EXPECT_EQ(mended.Find("failed"), 0);
  EXPECT_NEAR(mended.Find("kl").value(), 0.1 * kT, 0.1 * 0.1 * kT);
  states[2][7][1] = std::numeric_limits<double>::infinity();
  EXPECT_THROW(model.Update(states, controls), std::runtime_error);
}

TEST_F(LocalModelTest, GoesOnFromItsState) {
  LocalModel model = Make({.kl_step = 1});
  Learn(model, 3, 5);
  StateTree tree = SaveState(model);
  LocalModel other = Make({.kl_step = 1}, 9);
  LoadState(tree, other);
  const auto [states, controls] = Roll(model.controller(), 5, true);
  const Metrics one = model.Update(states, controls);
  const Metrics same = other.Update(states, controls);
  EXPECT_TRUE(torch::equal(model.controller().gains.feedback, other.controller().gains.feedback));
  EXPECT_TRUE(torch::equal(model.controller().covariance, other.controller().covariance));
  for (const std::string name : {"cost", "kl", "eta", "growth"}) {
    EXPECT_EQ(one.Find(name), same.Find(name)) << name;
  }
}

TEST_F(LocalModelTest, APullDrawsTheControllerTowardsTheNetworkAndAgainstTheMultipliers) {
  LocalModel model = Make({.kl_step = 1, .min_std = 0.05});
  const auto [states, controls] = Roll(model.controller(), 20, true);
  const LinearGaussianController network =
      LinearGaussianController::Of({.feedback = torch::zeros({kT, 2, 4}, torch::kFloat64),
                                    .feedforward = torch::full({kT, 2}, 0.1, torch::kFloat64)},
                                   (0.01 * torch::eye(2, torch::kFloat64)).expand({kT, 2, 2}).contiguous());
  model.Learn(states, controls);
  const auto improved = [&](double weight, double dual) {
    const Pull pull{.network = network,
                    .weights = torch::full({kT}, weight, torch::kFloat64),
                    .duals = torch::full({kT, 2}, dual, torch::kFloat64)};
    EXPECT_EQ(model.Improve(&pull).Find("failed"), 0);
    return std::pair(model.DivergenceFrom(network).sum().item<double>(),
                     model.controller().gains.feedforward.mean().item<double>());
  };
  const auto [loose, loose_action] = improved(1e-6, 0);
  const auto [tight, tight_action] = improved(1, 0);
  EXPECT_LT(tight, 0.5 * loose);
  const auto [unused, pushed] = improved(1e-6, 0.1);  // a positive multiplier makes actions cost more
  EXPECT_LT(pushed, loose_action);
  // Each was made anew from the same.
  EXPECT_NEAR(improved(1e-6, 0).first, loose, 0.05 * loose);
}

TEST_F(LocalModelTest, TheStepIsScaledByWhoeverKnowsTheGain) {
  LocalModel model = Make({.kl_step = 1, .growth_range = {0.2, 3}, .min_std = 0.05});
  EXPECT_FALSE(model.LastGain());
  const auto [states, controls] = Roll(model.controller(), 20, true);
  model.Learn(states, controls);
  model.ScaleStep(0.5);
  EXPECT_EQ(model.Improve().Find("growth"), 0.5);
  const auto [again, acted] = Roll(model.controller(), 20, true);
  model.Learn(again, acted);
  ASSERT_TRUE(model.LastGain());
  EXPECT_GT(model.LastGain()->promised, 0);
  EXPECT_NEAR(model.LastGain()->actual, model.LastGain()->promised, 0.2 * model.LastGain()->promised);
  model.ScaleStep(1e-3);
  EXPECT_EQ(model.Improve().Find("growth"), 0.2);
  model.ScaleStep(1e3);
  EXPECT_EQ(model.Improve().Find("growth"), 3);
}

}  // namespace
}  // namespace reverie
