#include "reverie/models/gp_regression.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "oracle.h"
#include "reverie/core/rng.h"
#include "reverie/core/state.h"

namespace reverie {
namespace {

const auto kDouble = torch::TensorOptions(torch::kFloat64);

// 40 rows of two inputs, of which the second does little.
struct Rows {
  torch::Generator generator = MakeGenerator(Rng(4), torch::kCPU);
  torch::Tensor x = torch::randn({40, 2}, generator, kDouble);
  torch::Tensor y =
      torch::sin(2 * x.select(1, 0)) + 0.2 * x.select(1, 1) + 0.1 * torch::randn({40}, generator, kDouble);
  torch::Tensor theta = torch::tensor({std::log(0.6), std::log(1.7), std::log(0.9), std::log(0.2)}, kDouble);
};

FourierFeatures Features(int64_t count, int64_t inputs, torch::Generator& generator) {
  return {.frequencies = torch::randn({count, inputs}, generator, kDouble),
          .phases = torch::rand({count}, generator, kDouble) * 2 * std::numbers::pi};
}

TEST(GpRegression, IsScikitLearns) {
  Rows rows;
  const torch::Tensor z = rows.x.narrow(0, 0, 12).contiguous();
  const torch::Tensor at =
      torch::cat({rows.x.narrow(0, 30, 2) + 0.05, torch::tensor({{3.0, 0.0}, {-0.4, 1.0}}, kDouble)});
  const GpLikelihood exact = GpNegativeLogLikelihood(rows.x, rows.y, rows.theta).value();
  const GpLikelihood bound = SparseGpNegativeBound(rows.x, rows.y, z, rows.theta).value();
  const torch::Tensor mean_weights = ConditionDraws(rows.x, rows.y, rows.theta, Features(8, 2, rows.generator),
                                                    torch::zeros({8, 1}, kDouble), torch::zeros({40, 1}, kDouble));
  constexpr int64_t kBlocks = 300, kDraws = 30, kFeatures = 256;
  std::vector<torch::Tensor> draws, sparse_draws;
  for (int64_t block = 0; block < kBlocks; ++block) {
    const FourierFeatures features = Features(kFeatures, 2, rows.generator);
    const torch::Tensor w = torch::randn({kFeatures, kDraws}, rows.generator, kDouble);
    const torch::Tensor prior = features.Of(at, rows.theta).mm(w);
    const torch::Tensor v =
        ConditionDraws(rows.x, rows.y, rows.theta, features, w, torch::randn({40, kDraws}, rows.generator, kDouble));
    const torch::Tensor sparse_v = ConditionSparseDraws(rows.x, rows.y, z, rows.theta, features, w,
                                                        torch::randn({12, kDraws}, rows.generator, kDouble));
    draws.push_back((prior + RbfKernel(at, rows.x, rows.theta).mm(v)).t());
    sparse_draws.push_back((prior + RbfKernel(at, z, rows.theta).mm(sparse_v)).t());
  }
  const GpFit fit = FitGp([&](const torch::Tensor& theta) { return GpNegativeLogLikelihood(rows.x, rows.y, theta); },
                          torch::tensor({0.0, 0.0, 0.0, std::log(0.1)}, kDouble), 60, [] { return false; })
                        .value();
  EXPECT_NEAR(fit.value, GpNegativeLogLikelihood(rows.x, rows.y, fit.theta)->value, 1e-9);
  const auto number = [](double value) { return torch::tensor(value, kDouble); };
  const TemporaryFolder folder;
  WriteTensors(folder.path() / "case.safetensors",
               {{"x", rows.x},
                {"y", rows.y},
                {"z", z},
                {"at", at},
                {"theta", rows.theta},
                {"value", number(exact.value)},
                {"gradient", exact.gradient},
                {"bound", number(bound.value)},
                {"bound_gradient", bound.gradient},
                {"mean", RbfKernel(at, rows.x, rows.theta).mm(mean_weights).flatten()},
                {"draws", torch::stack(draws)},
                {"sparse_draws", torch::stack(sparse_draws)},
                {"fitted_value", number(fit.value)}});
  EXPECT_EQ(RunPython("models/gp_oracle.py", folder.path(), "case.safetensors"), 0);
}

// With every row an inducing point nothing is lost but the jitter's 1e-6.
TEST(GpRegression, TheBoundOfAllRowsIsTheLikelihood) {
  Rows rows;
  const GpLikelihood exact = GpNegativeLogLikelihood(rows.x, rows.y, rows.theta).value();
  const GpLikelihood bound = SparseGpNegativeBound(rows.x, rows.y, rows.x, rows.theta).value();
  EXPECT_NEAR(bound.value, exact.value, 1e-3);
  EXPECT_GT(SparseGpNegativeBound(rows.x, rows.y, rows.x.narrow(0, 0, 10), rows.theta)->value, exact.value + 1);
}

TEST(GpRegression, InducingRowsSayMoreThanRandomOnes) {
  torch::Generator generator = MakeGenerator(Rng(5), torch::kCPU);
  const torch::Tensor x = torch::randn({400, 2}, generator, kDouble);
  const torch::Tensor theta = torch::tensor({0.0, 0.0, 0.0, std::log(0.1)}, kDouble);
  const auto left = [&](const torch::Tensor& chosen) {
    const torch::Tensor z = x.index_select(0, chosen);
    const torch::Tensor kzz = RbfKernel(z, z, theta) + 1e-9 * torch::eye(z.size(0), kDouble);
    const torch::Tensor kzx = RbfKernel(z, x, theta);
    return (1 - (kzx * torch::linalg_solve(kzz, kzx)).sum(0))
        .max()
        .item<double>();  // the most that a row is unknown by
  };
  const torch::Tensor greedy = GreedyInducingRows(x, 20, theta);
  EXPECT_EQ(std::get<0>(torch::_unique(greedy)).size(0), 20);
  EXPECT_LT(left(greedy), 0.5 * left(torch::arange(20)));
  EXPECT_GT(left(greedy), 1e-3) << "few enough to leave some";
  // Rows that stand there twice are not taken again.
  const torch::Tensor twice = x.narrow(0, 0, 5).repeat({4, 1});
  EXPECT_EQ(GreedyInducingRows(twice, 20, theta).size(0), 5);
}

// Targets that are the inputs themselves: no noise, for which the likelihood has no end.
TEST(GpRegression, WallsKeepParametersWhereTheMatrixIsWellConditioned) {
  torch::Generator generator = MakeGenerator(Rng(5), torch::kCPU);
  const torch::Tensor x = torch::randn({80, 2}, generator, kDouble);
  const GpFit fit = FitGp([&](const torch::Tensor& theta) { return GpNegativeLogLikelihood(x, x.select(1, 0), theta); },
                          torch::tensor({0.0, 0.0, 0.0, std::log(0.1)}, kDouble), 100, [] { return false; })
                        .value();
  EXPECT_LT((fit.theta[2] - fit.theta[3]).item<double>(), 1.3 * std::log(1000));
  EXPECT_GT((fit.theta[2] - fit.theta[3]).item<double>(), std::log(100)) << "less noise than at the start";
  EXPECT_LT(fit.theta.slice(0, 0, 2).max().item<double>(), 1.3 * std::log(100));
  EXPECT_TRUE(torch::isfinite(fit.theta).all().item<bool>());
}

TEST(GpRegression, AFitThatIsStoppedGivesNothing) {
  Rows rows;
  int evaluations = 0;
  EXPECT_FALSE(FitGp([&](const torch::Tensor& theta) { return GpNegativeLogLikelihood(rows.x, rows.y, theta); },
                     rows.theta, 60, [&] { return ++evaluations == 3; })
                   .has_value());
  EXPECT_EQ(evaluations, 3);
}

}  // namespace
}  // namespace reverie
