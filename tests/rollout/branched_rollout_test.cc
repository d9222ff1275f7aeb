#include "reverie/rollout/branched_rollout.h"

#include <gtest/gtest.h>

#include <cmath>

#include "fake_model.h"
#include "reverie/policies/uniform_policy.h"

namespace reverie {
namespace {

const TransitionLayout kLayout{.obs_dim = 1, .act_dim = 1};

// Counts: next_obs = obs + 1, reward = 10 obs. Two hypotheses agree on that; the other network, which is none, says obs
// more. From 4 on nothing is a number.
class CountingModel final : public FakeModel {
 public:
  CountingModel() {
    hypotheses_ = torch::tensor({2, 0}, torch::kInt64);
    holdout_ = TransitionBatch::Empty(kLayout, 100, torch::kCPU);
    holdout_.rows.zero_();
    holdout_.obs().select(1, 0).copy_(torch::arange(100) * 0.01);
  }
  void Step(const torch::Tensor& obs, const torch::Tensor&, const StepDraws&, ModelSample& next) const override {
    next.next_obs.copy_((obs + 1).masked_fill_(obs >= 4, std::nan("")));
    next.reward.copy_(10 * obs.select(1, 0));
    next.hypothesis.zero_();
  }
  GaussianPrediction Predict(const torch::Tensor& obs, const torch::Tensor&, Members members) const override {
    const torch::Tensor ones = torch::ones_like(obs.select(1, 0));
    const torch::Tensor agreed = torch::stack({ones, 10 * obs.select(1, 0)}, 1).masked_fill(obs >= 4, std::nan(""));
    const torch::Tensor other =
        torch::stack({ones + obs.masked_fill(obs == unsure_at, std::nan("")).select(1, 0), agreed.select(1, 1)}, 1);
    const torch::Tensor mean =
        members == Members::kAll ? torch::stack({agreed, other, agreed}) : torch::stack({agreed, agreed});
    return {mean, torch::zeros_like(mean)};
  }
  torch::Tensor DecodeObs(const torch::Tensor& target, const torch::Tensor& obs) const override {
    return obs + target.slice(-1, 0, 1);
  }

  float unsure_at = -1;  // obs where how far the other differs is no number
};

class BranchedRolloutTest : public testing::Test {
 protected:
  BranchedRolloutTest() {
    TransitionBatch rows = TransitionBatch::Empty(kLayout, 2, torch::kCPU);
    rows.rows.zero_();
    rows.obs().select(1, 0).copy_(torch::tensor({0.F, 2.F}));
    real_.Add(rows);
  }

  // Rolls `length` steps from `starts` states 0 and 2; obs of 3 or more terminates where the task says so.
  Metrics Run(int64_t length, UncertaintyConfig uncertainty, bool with_end) {
    uncertainty.measure = UncertaintyMeasure::kMaxPairwise;  // = obs
    uncertainty.over = Members::kAll;
    TaskFunctions task;
    if (with_end) {
      task.terminated = [](const torch::Tensor&, const torch::Tensor&, const torch::Tensor& next_obs) {
        return next_obs.select(1, 0) >= 3;
      };
    }
    const EnvSpec spec{.id = "counting", .obs_low = {0}, .obs_high = {9}, .action_low = {-2}, .action_high = {2}};
    const ModelEnv model_env(model_, task, spec, torch::kCPU);
    UniformPolicy policy(1, torch::kCPU);
    const auto k = static_cast<double>(length);
    BranchedRollout rollout({.start_states = 1000, .length = {0, 1, k, k}}, uncertainty, /*rollouts_per_epoch=*/1,
                            Rng(1), torch::kCPU);
    return rollout.Run(/*epoch=*/0, real_, model_env, policy, &imagined_);
  }

  // The rows whose obs is `obs`.
  TransitionBatch RowsAt(float obs) const {
    const TransitionBatch all = imagined_.All();
    return {kLayout, all.rows.index_select(0, torch::nonzero(all.obs().select(1, 0) == obs).squeeze(1))};
  }

  CountingModel model_;
  ReplayBuffer real_{kLayout, 10, torch::kCPU};
  ReplayBuffer imagined_{kLayout, 100'000, torch::kCPU};
};

TEST_F(BranchedRolloutTest, TrajectoriesAreChainsOfTheModelsSteps) {
  const Metrics report = Run(2, {}, false);
  EXPECT_EQ(imagined_.size(), 2000);
  EXPECT_EQ(report.Find("rows"), 2000);
  EXPECT_EQ(report.Find("share_ended"), 0);
  const TransitionBatch all = imagined_.All();
  EXPECT_TRUE(torch::equal(all.next_obs(), all.obs() + 1));
  EXPECT_TRUE(torch::equal(all.reward(), 10 * all.obs().select(1, 0)));
  EXPECT_EQ(all.terminated().sum().item<double>(), 0);
  EXPECT_EQ(all.log_weight().abs().max().item<double>(), 0);
  EXPECT_LE(all.action().abs().max().item<double>(), 1);
  EXPECT_GT(all.action().std().item<double>(), 0.5);
  // Every start at 0 goes through 1, every start at 2 through 3.
  EXPECT_EQ(RowsAt(0).size(), RowsAt(1).size());
  EXPECT_EQ(RowsAt(2).size(), RowsAt(3).size());
  EXPECT_NEAR(static_cast<double>(RowsAt(0).size()), 500, 80);
}

TEST_F(BranchedRolloutTest, TheEpochSaysHowLongTheyAreAndWhatIsKept) {
  const ModelEnv model_env(model_, {}, {.id = "counting", .action_low = {-2}, .action_high = {2}}, torch::kCPU);
  UniformPolicy policy(1, torch::kCPU);
  BranchedRollout rollout({.start_states = 100, .length = {1, 3, 1, 2}, .retain_epochs = 2}, {},
                          /*rollouts_per_epoch=*/4, Rng(1), torch::kCPU);
  for (const auto& [epoch, length] : {std::pair(0, 1), std::pair(1, 1), std::pair(2, 1), std::pair(9, 2)}) {
    const Metrics report = rollout.Run(epoch, real_, model_env, policy, &imagined_);
    EXPECT_EQ(report.Find("length"), length);
    EXPECT_EQ(report.Find("rows"), 100 * length);
    EXPECT_EQ(imagined_.capacity(), length * 100 * 4 * 2);
  }
}

TEST_F(BranchedRolloutTest, TheTasksEndIsStoredAndOnlyLiveRowsGoOn) {
  const Metrics report = Run(4, {}, true);
  const int64_t from_zero = RowsAt(0).size();
  EXPECT_EQ(RowsAt(1).size(), from_zero);
  EXPECT_EQ(RowsAt(2).size(), 1000);  // 500 that started there and 500 that came there
  EXPECT_EQ(RowsAt(3).size(), 0);
  EXPECT_EQ(RowsAt(2).terminated().min().item<double>(), 1);
  EXPECT_EQ(RowsAt(1).terminated().max().item<double>(), 0);
  EXPECT_NEAR(*report.Find("share_ended"), 1000.0 / static_cast<double>(imagined_.size()), 1e-9);
}

TEST_F(BranchedRolloutTest, ARowWhoseUncertaintyIsNoNumberIsDropped) {
  model_.unsure_at = 1;
  const Metrics report = Run(2, {.use = UncertaintyUse::kTruncate, .threshold = "5"}, false);
  EXPECT_EQ(RowsAt(1).size(), 0);
  EXPECT_GT(RowsAt(0).size(), 0);
  EXPECT_EQ(report.Find("dropped_rows"), RowsAt(0).size());
}

TEST_F(BranchedRolloutTest, RowsThatAreNotFiniteAreDroppedCountedAndEnd) {
  const Metrics report = Run(6, {}, false);
  const TransitionBatch all = imagined_.All();
  EXPECT_TRUE(torch::isfinite(all.rows).all().item<bool>());
  EXPECT_EQ(RowsAt(4).size(), 0);
  EXPECT_EQ(report.Find("dropped_rows"), 1000);  // every trajectory, once
  EXPECT_EQ(report.Find("rows"), all.size());
}

TEST_F(BranchedRolloutTest, APenaltyIsSubtracted) {
  Run(2, {.use = UncertaintyUse::kPenalty, .coefficient = 3}, false);
  const TransitionBatch all = imagined_.All();
  EXPECT_TRUE(torch::allclose(all.reward(), (10 - 3) * all.obs().select(1, 0)));
}

TEST_F(BranchedRolloutTest, TerminateStoresThePenaltyOnceAndEnds) {
  const Metrics report = Run(4, {.use = UncertaintyUse::kTerminate, .threshold = "1.5", .terminal_penalty = 70}, false);
  EXPECT_EQ(RowsAt(2).size(), 1000);
  EXPECT_EQ(RowsAt(3).size(), 0);
  EXPECT_EQ(RowsAt(2).reward().max().item<double>(), -70);
  EXPECT_EQ(RowsAt(2).terminated().min().item<double>(), 1);
  EXPECT_EQ(RowsAt(1).reward().min().item<double>(), 10);
  EXPECT_EQ(RowsAt(1).terminated().max().item<double>(), 0);
  EXPECT_EQ(report.Find("uncertainty_threshold"), 1.5);
  EXPECT_NEAR(*report.Find("share_over_threshold"), 1000.0 / static_cast<double>(imagined_.size()), 1e-9);
}

TEST_F(BranchedRolloutTest, TruncateEndsWithoutTerminating) {
  Run(4, {.use = UncertaintyUse::kTruncate, .threshold = "1.5"}, false);
  EXPECT_EQ(RowsAt(2).size(), 1000);
  EXPECT_EQ(RowsAt(3).size(), 0);
  EXPECT_EQ(RowsAt(2).terminated().max().item<double>(), 0);
  EXPECT_EQ(RowsAt(2).truncated().min().item<double>(), 1);
  EXPECT_EQ(RowsAt(2).reward().min().item<double>(), 20);
}

// u is obs, and 0 and 2 begin equally often.
TEST_F(BranchedRolloutTest, AMaskKeepsTheSurestAndAllGoOn) {
  const Metrics report = Run(2, {.use = UncertaintyUse::kMask, .coefficient = 3}, false);
  // A third of step 0 and a sixth of step 1, rounded up.
  EXPECT_EQ(imagined_.size(), 334 + 167);
  EXPECT_EQ(report.Find("rows"), 334 + 167);
  EXPECT_EQ(report.Find("dropped_rows"), 0);
  EXPECT_EQ(report.Find("share_ended"), 0);
  EXPECT_EQ(RowsAt(0).size(), 334);
  EXPECT_EQ(RowsAt(1).size(), 167);
  EXPECT_EQ(RowsAt(1).reward().max().item<double>(), 10 - 3);
}

// Where rows end at 3, masked or not.
TEST_F(BranchedRolloutTest, AMaskLetsRowsEnd) {
  const Metrics report = Run(4, {.use = UncertaintyUse::kMask, .coefficient = 0}, true);
  const TransitionBatch all = imagined_.All();
  EXPECT_TRUE(torch::equal(all.next_obs(), all.obs() + 1));
  EXPECT_TRUE(torch::equal(all.terminated() > 0, all.next_obs().select(1, 0) >= 3));
  // Half of the starts, at 2, end in step 0; the other half goes through 0, 1, 2: 2/5 of all, 3/10 and 1/5 of those.
  EXPECT_EQ(RowsAt(0).size(), 400);
  EXPECT_EQ(report.Find("rows"), static_cast<double>(all.size()));
  const auto half = static_cast<double>(RowsAt(1).size()) / 0.3;
  EXPECT_NEAR(half, 500, 80);
  EXPECT_NEAR(static_cast<double>(RowsAt(2).size()), 0.2 * half, 1);
  EXPECT_GT(*report.Find("share_ended"), 0.3);
}

TEST_F(BranchedRolloutTest, WeightsFallWithUncertainty) {
  Run(1, {.use = UncertaintyUse::kWeight, .temperature = 4}, false);
  EXPECT_NEAR(RowsAt(2).log_weight().max().item<double>(), -0.5, 1e-6);
  EXPECT_NEAR(RowsAt(0).log_weight().min().item<double>(), 0, 1e-6);
}

TEST_F(BranchedRolloutTest, AQuantileThresholdIsTakenOverTheHoldoutRows) {
  const Metrics report = Run(1, {.use = UncertaintyUse::kTruncate, .threshold = "q0.5"}, false);
  EXPECT_NEAR(*report.Find("uncertainty_threshold"), 0.495, 1e-6);  // the hold-out's obs are 0 ... 0.99
}

TEST(OpenLoopError, CountsOnlyStartsThatStayInOneEpisode) {
  const CountingModel model;
  TransitionBatch rows = TransitionBatch::Empty(kLayout, 6, torch::kCPU);
  rows.rows.zero_();
  // Two episodes that the model predicts exactly; between them obs jumps back.
  rows.obs().select(1, 0).copy_(torch::tensor({0.F, 1.F, 2.F, 0.F, 1.F, 2.F}));
  rows.next_obs().copy_(rows.obs() + 1);
  rows.truncated().copy_(torch::tensor({0.F, 0.F, 1.F, 0.F, 0.F, 0.F}));
  Metrics error = OpenLoopError(model, rows, {1, 3, 4});
  EXPECT_NEAR(*error.Find("open_loop_error_1"), 0, 1e-6);
  EXPECT_NEAR(*error.Find("open_loop_error_3"), 0, 1e-6);
  EXPECT_FALSE(error.Find("open_loop_error_4").has_value());
  // One transition is off by 0.5 at its end: of the two whole 3-step starts, one.
  rows.next_obs()[5][0] = 3.5;
  error = OpenLoopError(model, rows, {1, 3});
  const double std = rows.obs().std(0, /*unbiased=*/false).item<double>();
  EXPECT_NEAR(*error.Find("open_loop_error_1"), 0.5 / std / std::sqrt(6.0), 1e-5);
  EXPECT_NEAR(*error.Find("open_loop_error_3"), 0.5 / std / std::sqrt(2.0), 1e-5);
}

}  // namespace
}  // namespace reverie
