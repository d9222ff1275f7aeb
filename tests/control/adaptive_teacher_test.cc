#include "reverie/control/adaptive_teacher.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "reverie/control/lqr.h"

namespace reverie {
namespace {

const auto kDouble = torch::TensorOptions(torch::kFloat64);

struct Case {
  torch::Tensor expert = torch::tensor({0.3, -0.2}, kDouble);
  torch::Tensor curvature = torch::tensor({{2.0, 0.4}, {0.4, 1.0}}, kDouble);
  torch::Tensor pupil = torch::tensor({-0.5, 0.6}, kDouble);
  torch::Tensor precision = torch::tensor({{1.0, -0.3}, {-0.3, 3.0}}, kDouble);

  torch::Tensor At(double lambda) const { return AdaptedAction(expert, curvature, pupil, precision, lambda); }
};

TEST(AdaptedAction, GoesFromTheExpertToThePupil) {
  const Case here;
  EXPECT_TRUE(torch::allclose(here.At(0), here.expert, 0, 1e-12));
  EXPECT_TRUE(torch::allclose(here.At(1e9), here.pupil, 0, 1e-8));
}

TEST(AdaptedAction, OfAPupilAsSureAsTheExpertIsTheWeightedMean) {
  Case here;
  here.precision = here.curvature;
  for (const double lambda : {0.5, 1.0, 4.0}) {
    EXPECT_TRUE(torch::allclose(here.At(lambda), (here.expert + lambda * here.pupil) / (1 + lambda), 0, 1e-12));
  }
}

// The divergence's part in u, lambda/2 (u - mu)^T S^-1 (u - mu), as a term of the cost of a backward pass of one step.
TEST(AdaptedAction, IsTheBackwardPassOfOneStepWithTheDivergenceInItsCost) {
  const Case here;
  const double lambda = 0.7;
  LinearDynamics still = LinearDynamics::Of(1, 1, 2);
  QuadraticCost cost = QuadraticCost::Of(1, 1, 2);
  cost.uu[0].copy_(here.curvature + lambda * here.precision);
  cost.u[0].copy_(-torch::mv(here.curvature, here.expert) - lambda * torch::mv(here.precision, here.pupil));
  const LqrResult solved = SolveLqr(still, cost);
  ASSERT_EQ(solved.status, LqrStatus::kSolved);
  EXPECT_TRUE(torch::allclose(here.At(lambda), solved.gains.feedforward[0], 0, 1e-12));
}

// max(-1, min(1, .)) of the mean is not the least inside the bounds where the controls are coupled.
TEST(AdaptedAction, IsTheLeastInsideTheBounds) {
  Case here;
  here.expert = torch::tensor({1.0, 0.0}, kDouble);
  here.pupil = torch::tensor({3.0, 0.0}, kDouble);
  const torch::Tensor hessian = here.curvature + here.precision;
  const torch::Tensor gradient = -(torch::mv(here.curvature, here.expert) + torch::mv(here.precision, here.pupil));
  const torch::Tensor found = here.At(1);
  EXPECT_EQ(found[0].item<double>(), 1);
  // By hand, with the first clamped at 1: H_22 u_2 = -(g_2 + H_21).
  EXPECT_NEAR(found[1].item<double>(), -(gradient[1] + hessian[1][0]).item<double>() / hessian[1][1].item<double>(),
              1e-12);
  const torch::Tensor free = -torch::mv(torch::inverse(hessian), gradient);
  EXPECT_GT(std::abs((free.clamp(-1, 1) - found)[1].item<double>()), 0.01);
}

// An expert that would do more than it can yields the less: (3 - 1) / 2, not (1 - 1) / 2.
TEST(AdaptedAction, OfAnExpertBeyondTheBoundsIsTheLeastOfItsCost) {
  const torch::Tensor one = torch::ones({1, 1}, kDouble);
  EXPECT_NEAR(AdaptedAction(torch::tensor({3.0}, kDouble), one, torch::tensor({-1.0}, kDouble), one, 1).item<double>(),
              1, 1e-12);
}

TEST(AdaptedAction, IsTheExpertsWhereNothingCanBeWeighed) {
  Case here;
  here.curvature = -here.curvature;
  EXPECT_TRUE(torch::equal(here.At(0.1), here.expert));
  here = {};
  here.pupil[0] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(torch::equal(here.At(1), here.expert));
  EXPECT_THROW(here.At(-1), std::invalid_argument);
  EXPECT_THROW(AdaptedAction(here.expert, here.curvature[0], here.pupil, here.precision, 1), std::invalid_argument);
}

}  // namespace
}  // namespace reverie
