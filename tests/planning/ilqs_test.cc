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
                  return problem;
                }};
  }

  double sign = 1;  // -1: J is the other way round than the trajectory's cost
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
}

// J has a large draw of its own, equal for equal draws: with others the luckier plan would win, not the better one.
TEST(Ilqs, ComparesPlansWithTheSameDraws) {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    Valleys valleys;
    torch::Generator generator = MakeGenerator(Rng(seed), torch::kCPU);
    SequenceProblem problem = valleys.problem();
    problem.objective = [&generator, exact = problem.objective](const torch::Tensor& actions) {
      return exact(actions) + 100 * torch::randn({}, generator);
    };
    EXPECT_NEAR(Return(valleys, Make(kFew)->Optimize(problem, generator)), -kOptimum, 2e-6) << seed;
  }
}

// A controller of the unstable x' = 1.8 x + u from a start that is another than was planned: along its feedback the
// plan still leads to rest, its controls alone lead away.
TEST(Ilqs, TheLastPlanIsFollowedByItsFeedback) {
  double start = 0.5;
  const SequenceProblem problem{
      .objective =
          [&](const torch::Tensor& actions) {
            torch::Tensor x = torch::full({actions.size(0)}, start);
            torch::Tensor sum = torch::zeros({actions.size(0)});
            for (int64_t t = 0; t < actions.size(1); ++t) {
              x = 1.8 * x + actions.select(1, t).select(1, 0);
              sum = sum - x.square();
            }
            return sum;
          },
      .trajectory =
          [&] {
            ShootingProblem trajectory = ProblemOf(
                {.dynamics = [](const torch::Tensor& x, const torch::Tensor& u) { return 1.8 * x + u; },
                 .cost = [](const torch::Tensor&, const torch::Tensor& u,
                            const torch::Tensor& next) { return next.square().sum(1) + 1e-4 * u.square().sum(1); }},
                torch::full({1}, start, torch::kFloat64), 1);
            trajectory.high = torch::ones({1}, torch::kFloat64);
            trajectory.low = -trajectory.high;
            return trajectory;
          }};
  torch::Generator generator = Generator();
  const auto planner =
      Make("{sampler: {kind: random_shooting, options: {population: 1}}, sample_every: 9, iterations: 20}");
  planner->Optimize(problem, generator);
  start = 0.45;
  SequenceProblem broken = problem;
  broken.trajectory = [&] {
    ShootingProblem trajectory = problem.trajectory();
    trajectory.linearise = [](const torch::Tensor&, const torch::Tensor&, LinearDynamics* dynamics) {
      dynamics->a.fill_(NAN);
    };
    return trajectory;
  };
  const torch::Tensor followed = planner->Optimize(broken, generator);  // nothing is polished
  EXPECT_GT(problem.objective(followed.unsqueeze(0)).item<double>(), -0.2);
}

// J turns a polished plan down again and again: the next ones come with smaller steps.
TEST(Ilqs, APlanTurnedDownMakesTheNextStepSmaller) {
  Valleys contrary;
  contrary.sign = -1;
  torch::Generator generator = Generator();
  const auto planner = Make("{sampler: {kind: random_shooting, options: {population: 1}}, sample_every: 100}");
  std::vector<double> lambdas;
  for (int i = 0; i < 4; ++i) {
    planner->Optimize(contrary.problem(), generator);
    StateTree tree = SaveState(*planner);
    lambdas.push_back(tree.values().tensors.at("damping/lambda").item<double>());
  }
  EXPECT_THAT(lambdas, testing::ElementsAre(1.6, testing::DoubleNear(1.6 * 1.6 * 1.6, 1e-9), testing::Gt(4.2),
                                            testing::Gt(20.0)));
  EXPECT_EQ(planner->DrainMetrics().Find("share_polished"), 0);
  EXPECT_TRUE(planner->DrainMetrics().empty());
}

TEST(Ilqs, SamplesOutOfTurnWhereNoTrajectoryIsFinite) {
  Valleys valleys;
  torch::Generator generator = Generator();
  const auto planner = Make("{sampler: {kind: random_shooting, options: {population: 5000}}, sample_every: 100}");
  planner->Optimize(valleys.problem(), generator);
  SequenceProblem diverging = valleys.problem();
  diverging.trajectory = [&] {
    ShootingProblem trajectory = valleys.problem().trajectory();
    trajectory.step = [](int64_t, const torch::Tensor&, const torch::Tensor&, torch::Tensor& next) { next.fill_(NAN); };
    return trajectory;
  };
  planner->Reset();
  valleys.asked = 0;
  planner->Optimize(diverging, generator);
  EXPECT_EQ(valleys.asked, 3);  // in its turn
  const torch::Tensor plan = planner->Optimize(diverging, generator);
  EXPECT_EQ(valleys.asked, 6);
  EXPECT_TRUE(torch::isfinite(plan).all().item<bool>());
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
  // Two plans are compared at a time: along its feedback or not, as the plan begins elsewhere than the problem; sampled
  // or not; polished or not.
  EXPECT_THAT(asked, testing::ElementsAre(1 + 2 + 2, 2 + 2, 2 + 2, 2 + 1 + 2 + 2, 2 + 2));
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
