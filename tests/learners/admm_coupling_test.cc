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
      const auto [label, sureness] = start.coupling.Labels(Number(start.u), precision);
      weighted += sureness.item<double>() * label.item<double>();
      all += sureness.item<double>();
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
  // A label counts as no more than twice the median weight.
  const auto [labels, precision] =
      coupling.Labels(torch::zeros({2, 6, 1}, torch::kFloat64), torch::ones({6, 1, 1}, torch::kFloat64));
  EXPECT_TRUE(torch::equal(precision.flatten(), torch::tensor({0.5, 1.0, 1.0, 1.0, 1.0, 2.0}, torch::kFloat64)));
  EXPECT_TRUE(torch::equal(labels, torch::zeros({2, 6, 1}, torch::kFloat64)));
}

TEST(AdmmCoupling, EqualDivergencesLeaveTheWeights) {
  AdmmCoupling coupling({.weight = 0.01}, 3, 2);
  coupling.AdaptWeights(torch::full({3}, 0.7, torch::kFloat64));
  EXPECT_TRUE(torch::equal(coupling.PullTowards({}).weights, torch::full({3}, 0.01, torch::kFloat64)));
}

}  // namespace
}  // namespace reverie
