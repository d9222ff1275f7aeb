#include "reverie/learners/admm_coupling.h"

#include <gtest/gtest.h>

#include <cmath>

#include "reverie/core/state.h"

namespace reverie {
namespace {

torch::Tensor Number(double value) { return torch::full({1, 1, 1}, value, torch::kFloat64); }

// One step, one action, no state: controllers of costs a / 2 (u - b)^2 and a network that can say one number for all.
// Its best is the mean of the b, each weighted by its a.
TEST(AdmmCoupling, BringsControllersAndTheNetworkThatTheyShareToTheBestOfBoth) {
  struct Start {
    double a, b;
    double u = 0;
    AdmmCoupling coupling{{.weight = 0.5, .dual_rate = 1}, 1, 1};
  };
  std::vector<Start> starts{{.a = 1, .b = 1}, {.a = 3, .b = -1}};
  const torch::Tensor precision = Number(2);
  double network = 0;
  for (int i = 0; i < 200; ++i) {
    double weighted = 0;
    double all = 0;
    for (Start& start : starts) {
      const Pull pull = start.coupling.PullTowards({});
      const double nu_p = pull.weights[0].item<double>() * 2;
      // The least of a / 2 (u - b)^2 + lambda u + nu P / 2 (u - network)^2.
      start.u = (start.a * start.b - pull.duals[0][0].item<double>() + nu_p * network) / (start.a + nu_p);
      const double sureness = start.coupling.TargetWeights().item<double>() * 2;
      weighted += sureness * start.coupling.Targets(Number(start.u), precision).item<double>();
      all += sureness;
    }
    network = weighted / all;
    for (Start& start : starts) {
      start.coupling.StepDuals(Number(start.u), Number(network), precision);
    }
  }
  EXPECT_NEAR(network, -0.5, 1e-9);
  for (Start& start : starts) {
    EXPECT_NEAR(start.u, -0.5, 1e-9);
    EXPECT_NEAR(start.coupling.PullTowards({}).duals[0][0].item<double>(), -start.a * (-0.5 - start.b), 1e-9);
  }
}

TEST(AdmmCoupling, WeightsGrowWhereTheyAreApartAndShrinkWhereTheyAreNot) {
  AdmmCoupling coupling({.weight = 1}, 6, 1);
  coupling.AdaptWeights(torch::tensor({0.0, 5.0, 5.0, 5.0, 5.0, 10.0}, torch::kFloat64));
  EXPECT_TRUE(
      torch::equal(coupling.PullTowards({}).weights, torch::tensor({0.5, 1.0, 1.0, 1.0, 1.0, 2.0}, torch::kFloat64)));
  coupling.AdaptWeights(torch::tensor({5.0, 5.0, 5.0, 5.0, 5.0, 10.0}, torch::kFloat64));
  EXPECT_TRUE(
      torch::equal(coupling.PullTowards({}).weights, torch::tensor({0.5, 1.0, 1.0, 1.0, 1.0, 4.0}, torch::kFloat64)));
  // A target counts as no more than twice the median weight.
  EXPECT_TRUE(torch::equal(coupling.TargetWeights(), torch::tensor({0.5, 1.0, 1.0, 1.0, 1.0, 2.0}, torch::kFloat64)));
  for (int i = 0; i < 200; ++i) {
    coupling.AdaptWeights(torch::tensor({0.0, 5.0, 5.0, 5.0, 5.0, 10.0}, torch::kFloat64));
  }
  EXPECT_EQ(coupling.PullTowards({}).weights[0].item<double>(), 1e-4);
  EXPECT_EQ(coupling.PullTowards({}).weights[5].item<double>(), 1e4);
}

TEST(AdmmCoupling, TargetsOfTwoActionsAreShiftedByTheInverseOfTheirPrecision) {
  AdmmCoupling coupling({.weight = 0.5, .dual_rate = 1}, 1, 2);
  const torch::Tensor precision = torch::tensor({{{2.0, 1.0}, {1.0, 3.0}}}, torch::kFloat64);
  const auto row = [](double a, double b) { return torch::tensor({{{a, b}}}, torch::kFloat64); };
  coupling.StepDuals(row(1, 0), row(0, 2), precision);
  // lambda = 0.5 P (1, -2) = (0, -2.5), and (0.5 P)^-1 lambda is (1, -2) again.
  EXPECT_TRUE(torch::allclose(coupling.PullTowards({}).duals, torch::tensor({{0.0, -2.5}}, torch::kFloat64)));
  EXPECT_TRUE(torch::allclose(coupling.Targets(row(0.25, 0.5), precision), row(1.25, -1.5)));
}

TEST(AdmmCoupling, EqualDivergencesLeaveTheWeights) {
  AdmmCoupling coupling({.weight = 0.01}, 3, 2);
  coupling.AdaptWeights(torch::full({3}, 0.7, torch::kFloat64));
  EXPECT_TRUE(torch::equal(coupling.PullTowards({}).weights, torch::full({3}, 0.01, torch::kFloat64)));
}

}  // namespace
}  // namespace reverie
