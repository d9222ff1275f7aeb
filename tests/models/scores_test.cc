#include "reverie/models/scores.h"

#include <gtest/gtest.h>

#include <cmath>

#include "oracle.h"
#include "reverie/core/state.h"

namespace reverie {
namespace {

torch::Tensor Normal(torch::IntArrayRef sizes, torch::Generator& generator) {
  return torch::empty(sizes, torch::kFloat64).normal_(0, 1, generator);
}

TEST(Scores, AreThoseOfOtherLibraries) {
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  GaussianMixtures predicted{.mean = Normal({3, 200, 2}, generator), .std = Normal({3, 200, 2}, generator).exp()};
  const torch::Tensor y = 1.5 * Normal({200, 2}, generator) + 0.3;
  const GaussianMixtures one{.mean = predicted.mean.slice(0, 0, 1), .std = predicted.std.slice(0, 0, 1)};
  const GaussianMixtures points{.mean = predicted.mean, .std = torch::zeros_like(predicted.std)};
  GaussianMixtures weighted = predicted;
  weighted.log_weight = torch::log_softmax(Normal({3, 200}, generator), 0);
  const torch::Tensor levels = Cdf(predicted, y);
  // With ties.
  const torch::Tensor a = (4 * Normal({120}, generator)).round() + 1;
  const torch::Tensor b = (4 * Normal({80}, generator)).round();
  const auto number = [](double value) { return torch::tensor(value, torch::kFloat64); };
  const TemporaryFolder folder;
  WriteTensors(folder.path() / "scores.safetensors",
               {{"y", y},
                {"mean", predicted.mean},
                {"std", predicted.std},
                {"log_density", LogDensity(predicted, y)},
                {"log_density_of_rows", LogDensityOfRows(predicted, y)},
                {"cdf", levels},
                {"cdf_of_quantile", Cdf(predicted, Quantile(predicted, 0.3))},
                {"crps", Crps(predicted, y)},
                {"crps_of_one", Crps(one, y)},
                {"crps_of_points", Crps(points, y)},
                {"log_weight", weighted.log_weight},
                {"weighted_log_density", LogDensity(weighted, y)},
                {"weighted_log_density_of_rows", LogDensityOfRows(weighted, y)},
                {"weighted_cdf", Cdf(weighted, y)},
                {"weighted_cdf_of_quantile", Cdf(weighted, Quantile(weighted, 0.3))},
                {"weighted_crps", Crps(weighted, y)},
                {"levels", levels},
                {"distance_from_uniform", number(DistanceFromUniform(levels))},
                {"coverage", number(CentralCoverage(levels, 0.9))},
                {"calibration_error", number(CalibrationError(Cdf(one, y)))},
                {"a", a},
                {"b", b},
                {"auroc", number(Auroc(a, b))},
                {"rank_correlation", number(RankCorrelation(a.slice(0, 0, 80), b))}});
  EXPECT_EQ(RunPython("models/scores_oracle.py", folder.path(), "scores.safetensors"), 0);
}

TEST(Scores, OfPointsAreThoseOfSteps) {
  const GaussianMixtures point{.mean = torch::full({1, 1, 1}, 2.0, torch::kFloat64),
                               .std = torch::zeros({1, 1, 1}, torch::kFloat64)};
  const auto at = [](double y) { return torch::full({1, 1}, y, torch::kFloat64); };
  EXPECT_EQ(Cdf(point, at(1)).item<double>(), 0);
  EXPECT_EQ(Cdf(point, at(2)).item<double>(), 0.5);
  EXPECT_EQ(Cdf(point, at(3)).item<double>(), 1);
  EXPECT_EQ(Crps(point, at(5)).item<double>(), 3);
  EXPECT_EQ(Quantile(point, 0.9).item<double>(), 2);
}

TEST(Scores, ArePerfectWhereTheLevelsAreUniform) {
  const torch::Tensor levels = (torch::arange(100'000, torch::kFloat64) + 0.5) / 100'000;
  EXPECT_LT(CalibrationError(levels), 1e-4);
  EXPECT_LT(DistanceFromUniform(levels), 1e-4);
  EXPECT_NEAR(CentralCoverage(levels, 0.5), 0.5, 1e-4);
  EXPECT_NEAR(CalibrationError(torch::full({10}, 0.5, torch::kFloat64)), 0.5, 1e-12) << "too wide by everything";
}

TEST(Scores, OfRankingsHaveTheirBounds) {
  const torch::Tensor low = torch::arange(5, torch::kFloat64);
  EXPECT_EQ(Auroc(low + 10, low), 1);
  EXPECT_EQ(Auroc(low, low + 10), 0);
  EXPECT_EQ(Auroc(low, low), 0.5);
  EXPECT_TRUE(std::isnan(Auroc(low, low.slice(0, 0, 0))));
  EXPECT_NEAR(RankCorrelation(low, low.exp()), 1, 1e-15);
  EXPECT_TRUE(std::isnan(RankCorrelation(low, torch::ones_like(low))));
  EXPECT_THROW(Auroc(low.to(torch::kFloat32), low), std::logic_error);
}

// Points, which are sorted, against all pairs of them.
TEST(Scores, OfPointsAreThoseOfAllPairs) {
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  const auto options = torch::dtype(torch::kFloat64);
  const torch::Tensor mean = torch::randn({7, 4, 2}, generator, options);
  const torch::Tensor y = torch::randn({4, 2}, generator, options);
  for (const bool weighted : {false, true}) {
    GaussianMixtures points{.mean = mean, .std = torch::zeros_like(mean)};
    torch::Tensor weight = torch::full({7, 4}, 1.0 / 7, options);
    if (weighted) {
      points.log_weight = torch::log_softmax(torch::randn({7, 4}, generator, options), 0);
      weight = points.log_weight.exp();
    }
    torch::Tensor expected = (weight.unsqueeze(-1) * (mean - y).abs()).sum(0);
    for (int64_t i = 0; i < 7; ++i) {
      for (int64_t j = 0; j < 7; ++j) {
        expected -= 0.5 * (weight[i] * weight[j]).unsqueeze(-1) * (mean[i] - mean[j]).abs();
      }
    }
    EXPECT_TRUE(torch::allclose(Crps(points, y), expected, 1e-10, 1e-12)) << weighted;
  }
}

}  // namespace
}  // namespace reverie
