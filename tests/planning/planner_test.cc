// Every planner against optima that are known.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <map>

#include "planning/planners.h"
#include "reverie/planning/coloured_noise.h"
#include "reverie/planning/icem.h"
#include "reverie/planning/registry.h"

namespace reverie {
namespace {

using LQ = LinearQuadratic;

constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

// A planner as a config makes it.
std::unique_ptr<SequenceOptimizer> Make(const std::string& yaml, const SequenceShape& shape) {
  return Planner(yaml).choice.maker().make(shape, torch::kCPU);
}

// The summed reward of the linear-quadratic system from `start`, by its definition.
SequenceObjective Return(const std::vector<double>& start) {
  const torch::Tensor a = TensorOf<4, 4>(LQ::A()).t();
  const torch::Tensor b = TensorOf<4, 2>(LQ::B()).t();
  const torch::Tensor q =
      torch::tensor(std::vector<double>(LQ::QDiagonal().begin(), LQ::QDiagonal().end())).to(torch::kFloat32);
  const torch::Tensor r =
      torch::tensor(std::vector<double>(LQ::RDiagonal().begin(), LQ::RDiagonal().end())).to(torch::kFloat32);
  const torch::Tensor x0 = torch::tensor(start).to(torch::kFloat32);
  return [=](const torch::Tensor& actions) {
    torch::Tensor x = x0.expand({actions.size(0), 4});
    torch::Tensor sum = torch::zeros({actions.size(0)});
    for (int64_t t = 0; t < actions.size(1); ++t) {
      const torch::Tensor u = actions.select(1, t);
      sum = sum - (x.square() * q).sum(1) - (u.square() * r).sum(1);
      x = torch::matmul(x, a) + torch::matmul(u, b);
    }
    return sum;
  };
}

// With a trajectory, for the planners that ask for one, that says nothing of the objective: a state that rests, at the
// cost of its controls.
SequenceProblem Contract(SequenceObjective objective, int64_t act_dim) {
  return {.objective = std::move(objective), .trajectory = [act_dim] {
            return ProblemOf({.dynamics = [](const torch::Tensor& x, const torch::Tensor&) { return x; },
                              .cost = [](const torch::Tensor&, const torch::Tensor& u,
                                         const torch::Tensor&) { return u.square().sum(1); }},
                             torch::zeros({1}, torch::kFloat64), act_dim);
          }};
}

double Value(const SequenceObjective& objective, const torch::Tensor& plan) {
  return objective(plan.unsqueeze(0)).item<double>();
}

std::vector<double> StartOf(uint64_t seed) {
  RandomEngine engine = Rng(seed).Engine();
  std::uniform_real_distribution<double> position(-0.3, 0.3);
  std::uniform_real_distribution<double> velocity(-0.1, 0.1);
  return {position(engine), position(engine), velocity(engine), velocity(engine)};
}

const std::map<std::string, std::string> kPlanners{
    {"random_shooting", "{kind: random_shooting}"},
    {"cem", "{kind: cem, options: {population: 400, elites: 40, iterations: 12}}"},
    {"icem", "{kind: icem, options: {population: 500, elites: 40, iterations: 20, gamma: 1.02, noise_beta: 0.25}}"},
    {"mppi", "{kind: mppi, options: {population: 2000, iterations: 40, sigma: 0.1, lambda: 0.1}}"},
    {"gradient", "{kind: gradient, options: {restarts: 2, iterations: 150, learning_rate: 0.02}}"},
    {"ilqs", "{kind: ilqs, options: {sampler: {kind: cem, options: {population: 400, elites: 40, iterations: 12}}}}"}};

class PlannerTest : public testing::TestWithParam<std::string> {
 protected:
  static std::unique_ptr<SequenceOptimizer> MakeOne(const SequenceShape& shape) {
    return Make(kPlanners.at(GetParam()), shape);
  }
  torch::Generator generator_ = MakeGenerator(Rng(0), torch::kCPU);
};

TEST_P(PlannerTest, StaysInsideTheBounds) {
  const torch::Tensor plan = MakeOne({6, 3})->Optimize(Contract(
                                                           [](const torch::Tensor& actions) {
                                                             EXPECT_LE(actions.abs().max().item<float>(), 1.0F);
                                                             return actions.sum({1, 2});
                                                           },
                                                           3),
                                                       generator_);
  EXPECT_LE(plan.abs().max().item<float>(), 1.0F);
  EXPECT_GT(plan.mean().item<float>(), 0.2F);
}

TEST_P(PlannerTest, ACandidateThatIsNoNumberShapesNothing) {
  // The best would be 0.8; what is above 0.3 in its first action is no number.
  const auto objective = [](const torch::Tensor& actions) {
    const torch::Tensor score = -(actions - 0.8).square().sum({1, 2});
    return torch::where(actions.select(1, 0).select(1, 0) > 0.3, kNone, score);
  };
  const torch::Tensor plan = MakeOne({2, 1})->Optimize(Contract(objective, 1), generator_);
  EXPECT_TRUE(torch::isfinite(plan).all().item<bool>());
  EXPECT_LE(plan[0][0].item<float>(), 0.3F);
  EXPECT_GT(plan[0][0].item<float>(), 0.0F);
}

TEST_P(PlannerTest, WithoutAFiniteCandidateTheShiftedPlanStays) {
  const std::unique_ptr<SequenceOptimizer> planner = MakeOne({3, 1});
  const torch::Tensor goal = torch::tensor({0.2F, -0.4F, 0.6F}).view({3, 1});
  const torch::Tensor first = planner->Optimize(Contract(
                                                    [&](const torch::Tensor& actions) {
                                                      return -(actions - goal).square().sum({1, 2});
                                                    },
                                                    1),
                                                generator_);
  planner->Shift(1);
  const torch::Tensor second = planner->Optimize(Contract(
                                                     [](const torch::Tensor& actions) {
                                                       return actions.sum({1, 2}) * kNone;
                                                     },
                                                     1),
                                                 generator_);
  EXPECT_LT((second.slice(0, 0, 2) - first.slice(0, 1, 3)).abs().max().item<float>(),
            GetParam() == "icem" ? 0.05F : 1e-6F);
  const bool zero_at_the_end = GetParam() == "cem" || GetParam() == "random_shooting";
  EXPECT_NEAR(second[2].item<float>(), zero_at_the_end ? 0 : second[1].item<float>(), 1e-6);
}

TEST_P(PlannerTest, ResetForgetsThePlan) {
  const auto objective = [](const torch::Tensor& actions) { return -(actions - 0.5).square().sum({1, 2}); };
  const std::unique_ptr<SequenceOptimizer> used = MakeOne({4, 2});
  used->Optimize(Contract(objective, 2), generator_);
  used->Shift(1);
  used->Reset();
  torch::Generator one = MakeGenerator(Rng(7), torch::kCPU);
  torch::Generator other = MakeGenerator(Rng(7), torch::kCPU);
  EXPECT_TRUE(torch::equal(used->Optimize(Contract(objective, 2), one),
                           MakeOne({4, 2})->Optimize(Contract(objective, 2), other)));
}

TEST_P(PlannerTest, GoesOnFromItsState) {
  const auto objective = [](const torch::Tensor& actions) { return -(actions - 0.5).square().sum({1, 2}); };
  const std::unique_ptr<SequenceOptimizer> planner = MakeOne({4, 2});
  const std::unique_ptr<SequenceOptimizer> other = MakeOne({4, 2});
  planner->Optimize(Contract(objective, 2), generator_);
  planner->Shift(1);
  StateTree tree = SaveState(*planner);
  LoadState(tree, *other);
  torch::Generator one = MakeGenerator(Rng(7), torch::kCPU);
  torch::Generator two = MakeGenerator(Rng(7), torch::kCPU);
  EXPECT_TRUE(
      torch::equal(planner->Optimize(Contract(objective, 2), one), other->Optimize(Contract(objective, 2), two)));
}

INSTANTIATE_TEST_SUITE_P(All, PlannerTest, testing::ValuesIn([] {
                           std::vector<std::string> names;
                           for (const Kind<PlannerMaker>& entry : Planners()) {
                             names.push_back(entry.name);
                           }
                           return names;
                         }()),
                         [](const auto& one) { return one.param; });

TEST(Planners, ComeNearTheOptimumOfTheLinearQuadraticSystem) {
  constexpr int64_t kHorizon = 15;
  const std::map<std::string, double> allowed{{"cem", 0.02}, {"icem", 0.02}, {"gradient", 0.02}, {"mppi", 0.05}};
  for (const auto& [name, share] : allowed) {
    torch::Generator generator = MakeGenerator(Rng(0), torch::kCPU);
    for (const uint64_t seed : {1, 2, 3}) {
      const std::vector<double> start = StartOf(seed);
      const double best = LQ::OptimalReturn(start, kHorizon);
      const torch::Tensor plan = Make(kPlanners.at(name), {kHorizon, 2})->Optimize({Return(start)}, generator);
      EXPECT_EQ(plan.sizes(), (torch::IntArrayRef{kHorizon, 2}));
      const double reached = Value(Return(start), plan);
      EXPECT_GE(reached, best * (1 + share)) << name << ", seed " << seed;
      EXPECT_LE(reached, best * (1 - 1e-5)) << name << ", seed " << seed;
    }
  }
}

// One mass and two steps: u_1 = 0, u_0 = -(R + B^T Q B)^-1 B^T Q A x.
TEST(RandomShooting, ComesNearTheOptimumInTwoDimensionsAndImprovesWithThePopulation) {
  const auto one_force = [](const SequenceObjective& objective) {
    return [objective](const torch::Tensor& actions) {
      return objective(torch::cat({actions, torch::zeros_like(actions)}, 2));
    };
  };
  const torch::Tensor a = TensorOf<4, 4>(LQ::A());
  const torch::Tensor b = TensorOf<4, 2>(LQ::B()).slice(1, 0, 1);
  const torch::Tensor q = torch::diag(torch::tensor({1.0F, 1.0F, 0.1F, 0.1F}));
  for (const uint64_t seed : {1, 2, 3}) {
    const std::vector<double> start = StartOf(seed);
    const SequenceObjective objective = one_force(Return(start));
    const torch::Tensor x = torch::tensor(start).to(torch::kFloat32).view({4, 1});
    const torch::Tensor u = -b.t().matmul(q).matmul(a).matmul(x) / (1 + b.t().matmul(q).matmul(b));
    const double best = Value(objective, torch::cat({u, torch::zeros({1, 1})}));
    torch::Generator generator = MakeGenerator(Rng(seed), torch::kCPU);
    const torch::Tensor plan =
        Make("{kind: random_shooting, options: {population: 10000}}", {2, 1})->Optimize({objective}, generator);
    EXPECT_GE(Value(objective, plan), best * 1.02);
    EXPECT_LE(Value(objective, plan), best * (1 - 1e-5));
  }
  double last = -std::numeric_limits<double>::infinity();
  for (const std::string population : {"10", "100", "1000", "10000"}) {
    double sum = 0;
    for (uint64_t seed = 0; seed < 10; ++seed) {
      const std::vector<double> start = StartOf(seed);
      torch::Generator generator = MakeGenerator(Rng(seed), torch::kCPU);
      const std::string yaml = "{kind: random_shooting, options: {population: " + population + "}}";
      sum += Value(Return(start), Make(yaml, {5, 2})->Optimize({Return(start)}, generator));
    }
    EXPECT_GT(sum, last);
    last = sum;
  }
}

TEST(PlannerConfig, AnUnknownKindIsAnsweredWithTheKnownOnes) {
  EXPECT_THAT(
      [] {
        Make("{kind: sem}", {2, 1});
      },
      testing::ThrowsMessage<std::invalid_argument>(
          testing::HasSubstr("kind: expected one of random_shooting, cem, icem, mppi, gradient, ilqs, got sem")));
  EXPECT_THROW(Make("{kind: cem, options: {restarts: 3}}", {2, 1}), std::invalid_argument);
  EXPECT_THAT(
      [] {
        Make("{kind: cem, options: {population: 10, elites: 11}}", {2, 1});
      },
      testing::ThrowsMessage<std::invalid_argument>(
          testing::HasSubstr("options.elites: expected at most population, got 11")));
}

TEST(Mppi, TheDeviationOfItsCandidatesIsSigmaAtEveryStep) {
  const std::unique_ptr<SequenceOptimizer> planner =
      Make("{kind: mppi, options: {population: 200000, sigma: 0.15, beta: 0.8}}", {10, 1});
  torch::Generator generator = MakeGenerator(Rng(0), torch::kCPU);
  planner->Optimize({[](const torch::Tensor& actions) {
                      const torch::Tensor std = actions.std(0, /*unbiased=*/false).view({10});
                      EXPECT_LT((std - 0.15).abs().max().item<float>(), 0.002F);
                      const torch::Tensor x = actions.select(2, 0);
                      const torch::Tensor one_step = (x.select(1, 4) * x.select(1, 5)).mean() / (0.15 * 0.15);
                      EXPECT_NEAR(one_step.item<float>(), 0.8, 0.01);
                      return torch::zeros({actions.size(0)});
                    }},
                    generator);
}

// The return of a whole evaluation is off by a large draw, which says nothing of the actions.
TEST(GradientShooting, TheBestSequenceWinsNotTheLuckiestEvaluation) {
  for (const uint64_t seed : {1, 2, 3, 4, 5}) {
    torch::Generator generator = MakeGenerator(Rng(seed), torch::kCPU);
    const auto planner = Make("{kind: gradient, options: {restarts: 1, iterations: 40, learning_rate: 0.05}}", {2, 1});
    std::vector<float> draws;
    const auto objective = [&](const torch::Tensor& actions) {
      const torch::Tensor luck = torch::randn({1}, generator);
      draws.push_back(luck.item<float>());
      return 100 * luck - (actions - 0.5).square().sum({1, 2});
    };
    const torch::Tensor plan = planner->Optimize({objective}, generator);
    EXPECT_LT((plan - 0.5).abs().max().item<float>(), 0.02F) << "seed " << seed;
    planner->Optimize({objective}, generator);
    EXPECT_EQ(draws[0], draws[40]);
    EXPECT_NE(draws[0], draws[41]) << "the next search has draws of its own";
  }
}

TEST(ColouredNoise, HasUnitVarianceAndItsSpectrum) {
  for (const int64_t horizon : {30, 31}) {
    for (const double beta : {0.0, 1.0, 2.5}) {
      torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
      const torch::Tensor noise = ColouredNoise({horizon, 1}, beta, torch::kCPU).Draw(40'000, generator).select(2, 0);
      EXPECT_LT((noise.square().mean(0) - 1).abs().max().item<float>(), 0.03F) << horizon << " " << beta;
      // log power by log frequency is a line of slope -beta.
      const torch::Tensor power = at::fft_rfft(noise).abs().square().mean(0);
      for (int64_t k = 2; k < (horizon + 1) / 2; ++k) {
        const double slope = std::log(power[k].item<double>() / power[1].item<double>()) / std::log(k);
        EXPECT_NEAR(slope, -beta, 0.05) << horizon << " " << beta << " " << k;
      }
    }
  }
}

TEST(ICem, DrawsFewerCandidatesAtEveryIteration) {
  const ICem planner({.population = 100, .elites = 10, .gamma = 2}, {5, 1}, torch::kCPU);
  EXPECT_EQ(planner.PopulationAt(0), 100);
  EXPECT_EQ(planner.PopulationAt(1), 50);
  EXPECT_EQ(planner.PopulationAt(2), 25);
  EXPECT_EQ(planner.PopulationAt(3), 20);
}

// One step further along the optimal path, half the candidates do better from the last plan than from none.
TEST(WarmStart, LowersTheCostReachedWithHalfTheSamples) {
  constexpr int64_t kHorizon = 15;
  const std::map<std::string, std::pair<std::string, std::string>> planners{
      {"cem",
       {"{kind: cem, options: {population: 200, elites: 20, iterations: 6}}",
        "{kind: cem, options: {population: 100, elites: 10, iterations: 2}}"}},
      {"icem",
       {"{kind: icem, options: {population: 200, elites: 10, iterations: 6}}",
        "{kind: icem, options: {population: 100, elites: 10, iterations: 2}}"}},
      {"mppi",
       {"{kind: mppi, options: {population: 400, iterations: 20, sigma: 0.1, lambda: 0.1}}",
        "{kind: mppi, options: {population: 200, iterations: 2, sigma: 0.1, lambda: 0.1}}"}}};
  for (const auto& [name, yaml] : planners) {
    double warm_sum = 0;
    double cold_sum = 0;
    for (uint64_t seed = 0; seed < 10; ++seed) {
      const std::vector<double> start = StartOf(seed);
      torch::Generator generator = MakeGenerator(Rng(seed), torch::kCPU);
      const std::unique_ptr<SequenceOptimizer> whole = Make(yaml.first, {kHorizon, 2});
      const torch::Tensor plan = whole->Optimize({Return(start)}, generator);
      whole->Shift(1);
      StateTree tree = SaveState(*whole);
      const std::unique_ptr<SequenceOptimizer> warm = Make(yaml.second, {kHorizon, 2});
      const std::unique_ptr<SequenceOptimizer> cold = Make(yaml.second, {kHorizon, 2});
      LoadState(tree, *warm);
      LinearQuadratic env("LinearQuadratic-v0", {});
      std::vector<double> next(4);
      env.SetState(start, next);
      const torch::Tensor force = plan[0].to(torch::kFloat64);
      env.Step({force.data_ptr<double>(), 2}, next);
      warm_sum += Value(Return(next), warm->Optimize({Return(next)}, generator));
      cold_sum += Value(Return(next), cold->Optimize({Return(next)}, generator));
    }
    EXPECT_GT(warm_sum, cold_sum) << name;
  }
}

}  // namespace
}  // namespace reverie
