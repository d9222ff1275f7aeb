#include "reverie/models/report_card.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "fake_model.h"

namespace reverie {
namespace {

constexpr TransitionLayout kLayout{.obs_dim = 2, .act_dim = 1};

// s' = s + drift_h + (spread + wide |a|) eps, one drift for each hypothesis, the same for both numbers. The third
// target, the reward, never varies.
class DriftModel final : public FakeModel {
 public:
  explicit DriftModel(torch::Tensor drifts, double spread = 0, double wide = 0)
      : drifts_(std::move(drifts)), spread_(spread), wide_(wide) {
    target_std_ = torch::tensor({2.0F, 2.0F, 0.0F});
    hypotheses_ = torch::arange(drifts_.size(0));
  }

  int64_t noise_dim() const override { return spread_ > 0 || wide_ > 0 ? 2 : 0; }
  GaussianPrediction Predict(const torch::Tensor& obs, const torch::Tensor& action, Members) const override {
    torch::Tensor mean = torch::zeros({drifts_.size(0), obs.size(0), 3});
    mean.slice(2, 0, 2).copy_(drifts_.view({-1, 1, 1}).expand({-1, obs.size(0), 2}));
    torch::Tensor var = torch::zeros_like(mean);
    var.slice(2, 0, 2).copy_((spread_ + wide_ * action.abs()).square().expand({obs.size(0), 2}));
    return {.mean = mean, .var = var};
  }
  void Step(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws,
            ModelSample& next) const override {
    next.hypothesis.copy_(HypothesisOfRows(draws.deal, drifts_.size(0)));
    next.next_obs.copy_(obs + drifts_.index_select(0, next.hypothesis).unsqueeze(1));
    if (draws.noise.defined()) {
      next.next_obs.add_(CollectRows(draws.noise.view({drifts_.size(0), -1, 2}), draws.deal) *
                         (spread_ + wide_ * action.abs()));
    }
    next.reward.zero_();
  }
  torch::Tensor DecodeObs(const torch::Tensor& target, const torch::Tensor& obs) const override {
    return obs + target.slice(-1, 0, 2);
  }

 private:
  torch::Tensor drifts_;
  double spread_, wide_;
};

torch::Tensor OneDrift(float drift) { return torch::tensor({drift}); }

// Rows of s' = s + drift + (spread + wide |a|) eps, one after the other in episodes of 50 steps; actions in [-1, 1].
TransitionBatch RowsOf(int64_t count, double drift, double spread, double wide, uint64_t seed) {
  torch::Generator generator = MakeGenerator(Rng(seed), torch::kCPU);
  TransitionBatch rows = TransitionBatch::Empty(kLayout, count, torch::kCPU);
  rows.rows.zero_();
  rows.action().uniform_(-1, 1, generator);
  const torch::Tensor noise = torch::empty({count, 2}).normal_(0, 1, generator) * (spread + wide * rows.action().abs());
  torch::Tensor obs = torch::zeros({2});
  for (int64_t i = 0; i < count; ++i) {
    rows.obs()[i] = obs;
    obs = obs + drift + noise[i];
    rows.next_obs()[i] = obs;
    rows.truncated()[i] = (i + 1) % 50 == 0;
    if ((i + 1) % 50 == 0) {
      obs = torch::empty({2}).normal_(0, 1, generator);
    }
  }
  return rows;
}

double Of(const Metrics& metrics, const std::string& name) {
  const std::optional<double> value = metrics.Find(name);
  EXPECT_TRUE(value.has_value()) << name;
  return value.value_or(NAN);
}

TEST(ReportCard, OfTheTruthIsPerfectAndOfAnotherIsNot) {
  const TransitionBatch rows = RowsOf(2000, 0.5, 0.3, 0, 1);
  const StepScores truth = ScoreSteps(DriftModel(OneDrift(0.5F), 0.3), rows, rows);
  const double unit = 2;  // of the targets
  EXPECT_NEAR(Of(truth.overall, "nll"), 0.5 + 0.5 * std::log(2 * std::numbers::pi) + std::log(0.3 / unit), 0.03);
  // One Gaussian of deviation 1 has -log p = 0.5 log 2 pi + 0.15^2 / 2.
  EXPECT_NEAR(Of(truth.overall, "log_likelihood_ratio"), 0.15 * 0.15 / 2 - std::log(0.15) - 0.5, 0.03);
  EXPECT_NEAR(truth.nll[1].item<double>(), Of(truth.overall, "nll"), 0.1);
  EXPECT_NEAR(Of(truth.overall, "crps"), 0.3 / unit / std::sqrt(std::numbers::pi), 0.003);
  EXPECT_NEAR(Of(truth.overall, "rmse"), 0.3 / unit, 0.005);
  EXPECT_NEAR(Of(truth.overall, "aleatoric"), 0.3 / unit, 1e-6);
  EXPECT_FALSE(truth.overall.Find("epistemic")) << "one hypothesis does not disagree";
  EXPECT_LT(Of(truth.overall, "calibration_error"), 0.02);
  EXPECT_LT(Of(truth.overall, "level_distance"), 0.03);
  const Metrics widths = IntervalWidths(DriftModel(OneDrift(0.5F), 0.3), rows);
  for (const auto& [name, share, deviations] :
       {std::tuple("50", 0.5, 0.6745), {"90", 0.9, 1.6449}, {"95", 0.95, 1.9600}}) {
    EXPECT_NEAR(Of(truth.overall, std::string("coverage_") + name), share, 0.02);
    EXPECT_NEAR(Of(widths, std::string("width_") + name), 2 * deviations * 0.3 / unit, 1e-3);
  }
  EXPECT_EQ(Of(truth.overall, "outliers"), 0);
  EXPECT_TRUE(std::isnan(truth.crps[2].item<double>())) << "what does not vary has no score";
  EXPECT_NEAR(truth.coverage_90[1].item<double>(), 0.9, 0.03);

  const StepScores sure = ScoreSteps(DriftModel(OneDrift(0.5F), 0.05), rows, rows);
  EXPECT_LT(Of(sure.overall, "coverage_90"), 0.4);
  // Below 1.5e-6 where |z| > 5.69 of its deviations of 0.025, each a sixth of the truth's: |z| > 0.948.
  EXPECT_NEAR(Of(sure.overall, "outliers"), 0.343, 0.03);
  EXPECT_GT(Of(sure.overall, "nll"), Of(truth.overall, "nll"));
  EXPECT_LT(Of(sure.overall, "log_likelihood_ratio"), -4);
  const StepScores biased = ScoreSteps(DriftModel(OneDrift(0.8F), 0.3), rows, rows);
  EXPECT_GT(Of(biased.overall, "crps"), Of(truth.overall, "crps"));
  EXPECT_GT(Of(biased.overall, "level_distance"), 0.3);
}

TEST(ReportCard, PointsHaveNoDensity) {
  const TransitionBatch rows = RowsOf(200, 0.5, 0.3, 0, 1);
  const StepScores scores = ScoreSteps(DriftModel(torch::tensor({0.4F, 0.6F})), rows, {});
  for (const char* name :
       {"nll", "log_likelihood_ratio", "outliers", "aleatoric", "error_auroc_aleatoric", "error_auroc_total"}) {
    EXPECT_FALSE(scores.overall.Find(name)) << name;
  }
  EXPECT_FALSE(scores.nll.defined());
  EXPECT_NEAR(Of(scores.overall, "epistemic"), 0.1 / 2, 1e-6);
  EXPECT_GT(Of(scores.overall, "crps"), 0);
}

// Hypotheses that are sure and disagree have no density in between, where a truth would be inside all intervals.
TEST(ReportCard, WhatLiesBetweenSureHypothesesIsAnOutlier) {
  const TransitionBatch rows = RowsOf(200, 0, 0.01, 0, 1);
  const Metrics scores = ScoreSteps(DriftModel(torch::tensor({-1.0F, 1.0F}), 0.05), rows, {}).overall;
  EXPECT_EQ(Of(scores, "outliers"), 1);
  EXPECT_EQ(Of(scores, "coverage_90"), 1);
}

class Resting final : public FakeModel {
 public:
  explicit Resting(float prediction = 0, float std = 0) : prediction_(prediction) {
    target_std_ = torch::full({3}, std);
  }
  GaussianPrediction Predict(const torch::Tensor& obs, const torch::Tensor&, Members) const override {
    return {.mean = torch::full({1, obs.size(0), 3}, prediction_), .var = torch::zeros({1, obs.size(0), 3})};
  }
  torch::Tensor DecodeObs(const torch::Tensor& target, const torch::Tensor& obs) const override {
    return obs + target.slice(-1, 0, 2);
  }

 private:
  float prediction_;
};

TEST(ReportCard, OfWhatRestedNothingIsSaidButThatItMoves) {
  TransitionBatch rows = RowsOf(200, 0.5, 0.3, 0, 1);
  const StepScores scores = ScoreSteps(Resting(), rows, rows);
  EXPECT_EQ(Of(scores.overall, "unforeseen"), 2);
  EXPECT_FALSE(scores.overall.Find("crps"));
  EXPECT_TRUE(torch::isnan(scores.crps).all().item<bool>());
  EXPECT_TRUE(IntervalWidths(Resting(), rows).empty());
  EXPECT_TRUE(ScoreNovelty(Resting(), rows, rows).empty());
  rows.next_obs().copy_(rows.obs());
  EXPECT_TRUE(ScoreSteps(Resting(), rows, rows).overall.empty());
  // One row.
  EXPECT_TRUE(ScoreSteps(Resting(0, 1), {kLayout, rows.rows.slice(0, 0, 1)}, {}).overall.Find("crps"));
}

TEST(ReportCard, WhatIsNotANumberIsNotCovered) {
  const TransitionBatch rows = RowsOf(50, 0.5, 0.3, 0, 1);
  const Metrics scores = ScoreSteps(Resting(NAN, 1), rows, rows).overall;
  EXPECT_EQ(Of(scores, "coverage_95"), 0);
  EXPECT_FALSE(scores.Find("crps"));
  const Metrics along = ScoreTrajectories(DriftModel(OneDrift(NAN)), rows, {1, 5}, Rng(1));
  EXPECT_EQ(Of(along, "trajectory_coverage_5"), 0);
  EXPECT_FALSE(along.Find("r2_5"));
}

TEST(ReportCard, SaysWhetherUncertaintyTellsErrors) {
  const TransitionBatch rows = RowsOf(3000, 0, 0.01, 1, 2);
  const Metrics knows = ScoreSteps(DriftModel(OneDrift(0), 0.01, 1), rows, {}).overall;
  EXPECT_GT(Of(knows, "error_auroc_aleatoric"), 0.8);
  EXPECT_GT(Of(knows, "error_correlation_aleatoric"), 0.5);
  const Metrics does_not = ScoreSteps(DriftModel(OneDrift(0), 0.5), rows, {}).overall;
  EXPECT_EQ(Of(does_not, "error_auroc_aleatoric"), 0.5);
  EXPECT_FALSE(does_not.Find("error_correlation_aleatoric")) << "a constant ranks nothing";
}

// Drifts that a model does not know add up along a trajectory; noise grows with the root of its length alone.
TEST(ReportCard, WhatIsUnknownLastsForATrajectory) {
  torch::Generator generator = MakeGenerator(Rng(4), torch::kCPU);
  double coverage = 0;
  double coverage_of_noise = 0;
  constexpr int kTasks = 60;
  for (int task = 0; task < kTasks; ++task) {
    const double drift = torch::empty({1}).normal_(0, 1, generator).item<double>();
    const TransitionBatch rows = RowsOf(60, drift, 0.1, 0, 10 + task);
    const torch::Tensor beliefs = torch::empty({40}).normal_(0, 1, generator);
    const Metrics believes = ScoreTrajectories(DriftModel(beliefs, 0.1), rows, {20}, Rng(task));
    const Metrics takes_it_for_noise = ScoreTrajectories(DriftModel(OneDrift(0), 1), rows, {20}, Rng(task));
    coverage += Of(believes, "trajectory_coverage_20") / kTasks;
    coverage_of_noise += Of(takes_it_for_noise, "trajectory_coverage_20") / kTasks;
  }
  EXPECT_NEAR(coverage, 0.9, 0.08);
  EXPECT_LT(coverage_of_noise, 0.45);
}

TEST(ReportCard, TrajectoriesStayInTheirEpisodes) {
  const TransitionBatch rows = RowsOf(100, 0.5, 1e-4, 0, 1);
  const Metrics scores = ScoreTrajectories(DriftModel(OneDrift(0.5F), 1e-4), rows, {1, 10, 50, 51}, Rng(1));
  for (const char* name : {"r2_1", "r2_10", "r2_50"}) {
    EXPECT_GT(Of(scores, name), 0.9999) << name;
  }
  EXPECT_TRUE(scores.Find("trajectory_coverage_50"));
  EXPECT_EQ(Of(scores, "r2_10"), 1 - std::pow(Of(scores, "open_loop_error_10"), 2));
  EXPECT_FALSE(scores.Find("r2_51")) << "no episode is that long";
  EXPECT_FALSE(scores.Find("trajectory_coverage_51"));
  // Two episodes of 50 steps.
  EXPECT_EQ(Of(scores, "trajectory_starts_1"), 100);
  EXPECT_EQ(Of(scores, "trajectory_starts_10"), 82);
  EXPECT_EQ(Of(scores, "trajectory_starts_50"), 2);
}

TEST(ReportCard, NoveltyIsWhereUncertaintyIsLarger) {
  torch::Generator generator = MakeGenerator(Rng(5), torch::kCPU);
  const TransitionBatch rows = RowsOf(300, 0, 0.1, 0, 1);
  TransitionBatch calm{kLayout, rows.rows.clone()};
  calm.action().mul_(0.1);
  const DriftModel model(OneDrift(0), 0.1, 1);
  EXPECT_GT(Of(ScoreNovelty(model, calm, WithUniformActions(calm, generator)), "novelty_auroc_aleatoric"), 0.9);
  EXPECT_EQ(Of(ScoreNovelty(model, calm, calm), "novelty_auroc_aleatoric"), 0.5);
  const TransitionBatch pushed = WithPushedStates(rows, 3, generator);
  const torch::Tensor by = (pushed.obs() - rows.obs()).abs() / rows.obs().std(0, /*unbiased=*/false);
  EXPECT_TRUE(torch::allclose(by, torch::full_like(by, 3), 1e-3));
  EXPECT_TRUE(torch::equal(pushed.action(), rows.action()));
}

}  // namespace
}  // namespace reverie
