#include "reverie/planning/ilqs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "planning/planners.h"
#include "reverie/core/state.h"

namespace reverie {
namespace {

constexpr int64_t kHorizon = 6;

// A point in a valley at -0.9, beside a deeper one beyond a ridge:
//
//   x' = x + 0.6 u,   l = (x'^2 - 1)^2 - 0.3 x' + 0.01 u^2
//
// What SciPy's L-BFGS-B comes to, with bounds, from zeros and from (1, 1, 1, 0 ...), is kNear and kOptimum.
struct Valleys {
  SequenceProblem problem() {
    return {.objective =
                [this](const torch::Tensor& actions) {
                  ++asked;
                  torch::Tensor x = torch::full({actions.size(0)}, -0.9);
                  torch::Tensor sum = torch::zeros({actions.size(0)});
                  for (int64_t t = 0; t < actions.size(1); ++t) {
                    const torch::Tensor u = actions.select(1, t).select(1, 0);
                    x = x + 0.6 * u;
                    sum = sum - (x.square() - 1).square() + 0.3 * x - 0.01 * u.square();
                  }
                  return sum * sign;
                },
            .trajectory =
                [this] {
                  ShootingProblem problem =
                      ProblemOf({.dynamics = [](const torch::Tensor& x, const torch::Tensor& u) { return x + 0.6 * u; },
                                 .cost =
                                     [](const torch::Tensor&, const torch::Tensor& u, const torch::Tensor& next) {
                                       const torch::Tensor x = next.select(1, 0);
                                       return (x.square() - 1).square() - 0.3 * x + 0.01 * u.select(1, 0).square();
                                     }},
                                torch::full({1}, -0.9, torch::kFloat64), 1);
                  problem.high = torch::ones({1}, torch::kFloat64);
                  problem.low = -problem.high;
                  if (broken) {
                    problem.linearise = [](const torch::Tensor&, const torch::Tensor&, LinearDynamics* dynamics) {
                      dynamics->a.fill_(NAN);
                    };
                  }
                  return problem;
                }};
  }

  double sign = 1;      // -1: J is the other way round than the trajectory's cost
  bool broken = false;  // the trajectory has no derivatives
  int asked = 0;
};

double Return(Valleys valleys, const torch::Tensor& plan) {
  return valleys.problem().objective(plan.unsqueeze(0)).item<double>();
}

std::unique_ptr<SequenceOptimizer> Make(const std::string& options) {
  return Planner("{kind: ilqs, options: " + options + "}")
      .choice.maker()
      .make({.horizon = kHorizon, .act_dim = 1}, torch::kCPU);
}

torch::Generator Generator() { return MakeGenerator(Rng(0), torch::kCPU); }

constexpr double kNear = 1.7649786065809;
constexpr double kOptimum = 0.5365219870553;
const char* const kFew = "{sampler: {kind: random_shooting, options: {population: 5000}}, iterations: 30}";

TEST(Ilqs, PolishesWhatSamplesFind) {
  Valleys valleys;
  torch::Generator generator = Generator();
  EXPECT_NEAR(Return(valleys, Make(kFew)->Optimize(valleys.problem(), generator)), -kOptimum, 2e-6);
  // Neither does it alone: what samples find is coarse, and from zeros iLQR ends in the near valley.
  const torch::Tensor sampled = Planner("{kind: random_shooting, options: {population: 5000}}")
                                    .choice.maker()
                                    .make({.horizon = kHorizon, .act_dim = 1}, torch::kCPU)
                                    ->Optimize(valleys.problem(), generator);
  EXPECT_LT(Return(valleys, sampled), -kOptimum - 0.01);
  ShootingProblem trajectory = valleys.problem().trajectory();
  trajectory.horizon = kHorizon;
  EXPECT_NEAR(SolveIlqr(trajectory, torch::zeros({kHorizon, 1}, torch::kFloat64)).cost, kNear, 1e-6);
}

TEST(Ilqs, KeepsWhatPolishingMakesNoBetter) {
  const auto sampled_alone = [](Valleys valleys, const std::unique_ptr<SequenceOptimizer>& planner) {
    torch::Generator generator = Generator();
    return planner->Optimize(valleys.problem(), generator);
  };
  const auto sampler = Planner("{kind: random_shooting, options: {population: 5000}}")
                           .choice.maker()
                           .make({.horizon = kHorizon, .act_dim = 1}, torch::kCPU);
  // The trajectory's cost is the other way round than J: iLQR goes downhill in J.
  Valleys contrary;
  contrary.sign = -1;
  EXPECT_TRUE(torch::equal(sampled_alone(contrary, Make(kFew)), sampled_alone(contrary, sampler)));
  sampler->Reset();
  Valleys broken;
  broken.broken = true;
  EXPECT_TRUE(torch::equal(sampled_alone(broken, Make(kFew)), sampled_alone(broken, sampler)));
}

TEST(Ilqs, WhereNoReturnIsFiniteThePlanStays) {
  Valleys valleys;
  torch::Generator generator = Generator();
  const auto planner = Make(kFew);
  const torch::Tensor first = planner->Optimize(valleys.problem(), generator);
  planner->Shift(1);
  valleys.sign = NAN;
  const torch::Tensor second = planner->Optimize(valleys.problem(), generator);
  EXPECT_TRUE(torch::equal(second.slice(0, 0, kHorizon - 1), first.slice(0, 1)));
}

TEST(Ilqs, SamplesAtEverySoManyDecisions) {
  Valleys valleys;
  torch::Generator generator = Generator();
  const auto planner = Make("{sampler: {kind: random_shooting}, sample_every: 3}");
  std::vector<int> asked;
  for (int i = 0; i < 5; ++i) {
    valleys.asked = 0;
    planner->Optimize(valleys.problem(), generator);
    asked.push_back(valleys.asked);
    planner->Shift(1);
  }
  // The sampler once, two plans compared twice; without it, once.
  EXPECT_THAT(asked, testing::ElementsAre(5, 2, 2, 5, 2));
  planner->Reset();
  valleys.asked = 0;
  planner->Optimize(valleys.problem(), generator);
  EXPECT_EQ(valleys.asked, 5);
}

TEST(Ilqs, GoesOnFromItsState) {
  Valleys valleys;
  const char* const options = "{sampler: {kind: icem}, sample_every: 2, iterations: 2}";
  torch::Generator generator = Generator();
  const auto planner = Make(options);
  for (int i = 0; i < 3; ++i) {
    planner->Optimize(valleys.problem(), generator);
    planner->Shift(2);
  }
  StateTree tree;
  StateVisitor saving = StateVisitor::Saving(tree);
  planner->VisitState(saving);
  const auto other = Make(options);
  StateVisitor loading = StateVisitor::Loading(tree);
  other->VisitState(loading);
  for (int i = 0; i < 3; ++i) {
    torch::Generator one = Generator();
    torch::Generator two = Generator();
    EXPECT_TRUE(torch::equal(planner->Optimize(valleys.problem(), one), other->Optimize(valleys.problem(), two)));
    planner->Shift(1);
    other->Shift(1);
  }
}

TEST(Ilqs, NeedsATrajectory) {
  Valleys valleys;
  torch::Generator generator = Generator();
  EXPECT_TRUE(Planner("{kind: ilqs}").choice.maker().needs.trajectory);
  EXPECT_THROW(Make("{}")->Optimize({valleys.problem().objective}, generator), std::logic_error);
}

}  // namespace
}  // namespace reverie
