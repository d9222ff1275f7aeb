#include "reverie/control/ilqr.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>

#include "problems.h"

namespace {
std::atomic<int64_t> allocations{0};
}  // namespace

// Counts what everything in the process asks for, Eigen's and LibTorch's memory too. Sanitizers have their own.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && defined(__GLIBC__)
#define REVERIE_COUNTS_ALLOCATIONS 1
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_memalign(size_t alignment, size_t size);
void* malloc(size_t size) {
  ++allocations;
  return __libc_malloc(size);
}
int posix_memalign(void** memory, size_t alignment, size_t size) {
  ++allocations;
  *memory = __libc_memalign(alignment, size);
  return *memory == nullptr ? 12 : 0;
}
}
#endif

namespace reverie {
namespace {

using testing::AnyOf;

torch::Tensor Zeros(at::IntArrayRef shape) { return torch::zeros(shape, torch::kFloat64); }

torch::Tensor NormalControls(const ShootingProblem& problem, uint64_t seed, double scale) {
  auto rng = torch::make_generator<at::CPUGeneratorImpl>(seed);
  return scale * torch::randn({problem.horizon, problem.controls}, rng, torch::kFloat64);
}

ShootingProblem Bounded(ShootingProblem problem, double bound) {
  problem.high = torch::full({problem.controls}, bound, torch::kFloat64);
  problem.low = -problem.high;
  return problem;
}

double Distance(const torch::Tensor& a, const torch::Tensor& b) { return (a - b).abs().max().item<double>(); }

// The cost of the controls, step by step.
double CostOf(const ShootingProblem& problem, const torch::Tensor& controls) {
  torch::Tensor x = problem.start.unsqueeze(0);
  torch::Tensor next = torch::zeros_like(x);
  torch::Tensor cost = Zeros({1});
  double sum = 0;
  for (int64_t t = 0; t < problem.horizon; ++t) {
    const torch::Tensor u = controls.slice(0, t, t + 1);
    problem.step(t, x, u, next);
    torch::Tensor stage = Zeros({1, 1});
    problem.cost(x.unsqueeze(0), u.unsqueeze(0), next.unsqueeze(0), stage);
    sum += stage.item<double>();
    x = next.clone();
  }
  if (problem.terminal_cost) {
    problem.terminal_cost(x, cost);
    sum += cost.item<double>();
  }
  return sum;
}

TEST(ShootingProblem, DerivativesAreThoseOfDifferences) {
  const ShootingProblem problem = CartPoleProblem(3);
  const torch::Tensor u = torch::tensor({{0.4}, {-0.7}, {0.2}}, torch::kFloat64);
  torch::Tensor x = torch::zeros({4, 4}, torch::kFloat64);
  x[0] = torch::tensor({0.3, 2.0, -0.4, 1.5}, torch::kFloat64);
  for (int64_t t = 0; t < 3; ++t) {
    torch::Tensor next = Zeros({1, 4});
    problem.step(t, x.slice(0, t, t + 1), u.slice(0, t, t + 1), next);
    x[t + 1] = next[0];
  }
  LinearDynamics dynamics = LinearDynamics::Of(3, 4, 1);
  QuadraticCost cost = QuadraticCost::Of(3, 4, 1);
  torch::Tensor curvature = Zeros({3, 4, 5, 5});
  problem.linearise(x, u, &dynamics);
  problem.curvature(x, u, curvature);
  problem.quadratise(x, u, dynamics, curvature, &cost);

  // The step's next state and cost for all rows at once, and their derivatives in column i of [x, u].
  const auto step = [&](const torch::Tensor& z) {
    torch::Tensor next = Zeros({3, 4});
    torch::Tensor costs = Zeros({3, 1});
    problem.step(0, z.slice(1, 0, 4), z.slice(1, 4), next);
    problem.cost(z.slice(1, 0, 4).unsqueeze(1), z.slice(1, 4).unsqueeze(1), next.unsqueeze(1), costs);
    return std::pair(next, costs.squeeze(1));
  };
  const torch::Tensor z = torch::cat({x.slice(0, 0, 3), u}, 1);
  const auto moved = [&](int64_t i, double by) {
    torch::Tensor other = z.clone();
    other.select(1, i) += by;
    return other;
  };
  const torch::Tensor jacobian = torch::cat({dynamics.a, dynamics.b}, 2);
  const torch::Tensor gradient = torch::cat({cost.x.slice(0, 0, 3), cost.u}, 1);
  const torch::Tensor hessian = torch::cat(
      {torch::cat({cost.xx.slice(0, 0, 3), cost.ux}, 1), torch::cat({cost.ux.transpose(1, 2), cost.uu}, 1)}, 2);
  constexpr double kFirst = 1e-6;
  constexpr double kSecond = 1e-4;
  for (int64_t i = 0; i < 5; ++i) {
    const auto [next_up, cost_up] = step(moved(i, kFirst));
    const auto [next_down, cost_down] = step(moved(i, -kFirst));
    EXPECT_LT(Distance(jacobian.select(2, i), (next_up - next_down) / (2 * kFirst)), 1e-8);
    EXPECT_LT(Distance(gradient.select(1, i), (cost_up - cost_down) / (2 * kFirst)), 1e-8);
    for (int64_t j = 0; j < 5; ++j) {
      const auto at = [&](double by_i, double by_j) {
        torch::Tensor other = moved(i, by_i);
        other.select(1, j) += by_j;
        return step(other);
      };
      const auto [next_pp, cost_pp] = at(kSecond, kSecond);
      const auto [next_pm, cost_pm] = at(kSecond, -kSecond);
      const auto [next_mp, cost_mp] = at(-kSecond, kSecond);
      const auto [next_mm, cost_mm] = at(-kSecond, -kSecond);
      const double square = 4 * kSecond * kSecond;
      EXPECT_LT(Distance(curvature.select(3, j).select(2, i), (next_pp - next_pm - next_mp + next_mm) / square), 1e-6);
      EXPECT_LT(Distance(hessian.select(2, j).select(1, i), (cost_pp - cost_pm - cost_mp + cost_mm) / square), 1e-6);
    }
  }
}

TEST(Ilqr, ALinearQuadraticProblemTakesOneStep) {
  IlqrOptions options;
  options.cost_tolerance = 1e-12;
  Ilqr ilqr(options);
  IlqrResult result;
  ilqr.Solve(LinearQuadraticProblem(), Zeros({50, 2}), {.lambda = 0}, &result);
  EXPECT_EQ(result.status, IlqrStatus::kConverged);
  EXPECT_EQ(result.iterations.size(), 2U);  // the second finds nothing left
  EXPECT_NEAR(result.cost, 3.163247395773828, 1e-12);
  EXPECT_NEAR(result.iterations[0].expected, CostOf(LinearQuadraticProblem(), Zeros({50, 2})) - result.cost, 1e-12);
  EXPECT_NEAR(result.cost, CostOf(LinearQuadraticProblem(), result.u), 1e-12);
}

TEST(Ilqr, BoundsAreThoseOfTheQuadraticProgram) {
  // By L-BFGS-B and by CasADi's qrqp, which agree to 1e-14. Clipping the controls of LQR stalls at 3.23623.
  const ShootingProblem problem = Bounded(LinearQuadraticProblem(), 0.1);
  IlqrOptions options;
  options.cost_tolerance = 1e-14;
  options.gradient_tolerance = 1e-10;
  Ilqr ilqr(options);
  IlqrResult result;
  ilqr.Solve(problem, Zeros({50, 2}), {.lambda = 0}, &result);
  EXPECT_NEAR(result.cost, 3.23020160941281, 1e-12);
  EXPECT_EQ((result.u.abs() >= 0.1).sum().item<int64_t>(), 38);
  EXPECT_LE(result.u.abs().max().item<double>(), 0.1);
  EXPECT_LE(result.iterations.size(), 4U);  // the last finds nothing left
}

TEST(Ilqr, OneSolverServesProblemsOfAllKinds) {
  const ShootingProblem plain = LinearQuadraticProblem();
  const ShootingProblem bounded = Bounded(LinearQuadraticProblem(), 0.1);
  ShootingProblem ending = LinearQuadraticProblem();
  ending.terminal_cost = [](const torch::Tensor& x, torch::Tensor& cost) { cost.copy_(50 * x.square().sum(1)); };
  ending.quadratise = [quadratise = ending.quadratise](const torch::Tensor& x, const torch::Tensor& u,
                                                       const LinearDynamics& dynamics, const torch::Tensor& curvature,
                                                       QuadraticCost* cost) {
    quadratise(x, u, dynamics, curvature, cost);
    cost->x[50] = 100 * x[50];
    cost->xx[50] = 100 * torch::eye(4, torch::kFloat64);
  };
  Ilqr ilqr(IlqrOptions{});
  for (const ShootingProblem& problem : {plain, bounded, plain, ending, bounded, ending, plain}) {
    IlqrResult result;
    ilqr.Solve(problem, Zeros({50, 2}), {}, &result);
    const IlqrResult fresh = SolveIlqr(problem, Zeros({50, 2}));
    EXPECT_EQ(result.status, fresh.status);
    EXPECT_EQ(result.cost, fresh.cost);
    EXPECT_EQ(result.iterations.size(), fresh.iterations.size());
  }
}

TEST(Ilqr, SwingsUpACartPole) {
  // By IPOPT from five starts and by Crocoddyl's box-DDP; -24.57, -24.52 and -23.677 are other local optima.
  const ShootingProblem problem = SteppedCartPoleProblem(50);
  std::vector<torch::Tensor> starts;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    starts.push_back(NormalControls(problem, seed, 0.5));
  }
  for (const IlqrRegularisation regularisation : {IlqrRegularisation::kControl, IlqrRegularisation::kState}) {
    const IlqrResult best = BestOf(problem, starts, {.regularisation = regularisation});
    EXPECT_NEAR(best.cost, -33.77528603950942, 1e-5);
    EXPECT_NEAR(best.cost, CostOf(problem, best.u), 1e-12);
    EXPECT_NEAR(best.cost, CostOf(CartPoleProblem(50), best.u), 1e-9);
    EXPECT_LE(best.u.abs().max().item<double>(), 1);
  }
}

TEST(Ilqr, AShorterAndAnUnboundedSwingUp) {
  const auto best = [](const ShootingProblem& problem) {
    return BestOf(problem, {NormalControls(problem, 0, 0.5), NormalControls(problem, 1, 0.5)}).cost;
  };
  EXPECT_NEAR(best(SteppedCartPoleProblem(25)), -8.962698978, 1e-6);
  EXPECT_NEAR(best(CartPoleProblem(50)), -44.46941594, 1e-5);  // IPOPT, and Crocoddyl's FDDP
}

TEST(Ilqr, ARestingStartIsToldFromASolution) {
  const IlqrResult result = SolveIlqr(SteppedCartPoleProblem(50), Zeros({50, 1}));
  EXPECT_EQ(result.status, IlqrStatus::kStationary);
  EXPECT_NEAR(result.cost, -50 * std::exp(-4.0), 1e-12);
}

TEST(Ilqr, SwingsUpAnAcrobot) {
  const ShootingProblem problem = AcrobotProblem();
  EXPECT_NEAR(CostOf(problem, Zeros({50, 1})), 4959.476212, 1e-6);  // as trajax's tests have it
  for (const bool second_order : {false, true}) {
    const IlqrResult result = SolveIlqr(problem, Zeros({50, 1}), {.second_order = second_order});
    EXPECT_THAT(result.status, AnyOf(IlqrStatus::kConverged, IlqrStatus::kCostChange));
    EXPECT_NEAR(result.cost, 44.513285141, 1e-4) << second_order;  // IPOPT
    EXPECT_LE(result.iterations.size(), 63U);                      // Crocoddyl's DDP from the same start
  }
}

TEST(Ilqr, StepsOneAfterTheOtherReachTheSame) {
  const IlqrResult result = SolveIlqr(AcrobotProblem(), Zeros({50, 1}), {.all_at_once = false});
  EXPECT_NEAR(result.cost, 44.513285141, 1e-4);
}

TEST(Ilqr, ParksACar) {
  const ShootingProblem problem = CarProblem();
  const IlqrResult result = SolveIlqr(problem, NormalControls(problem, 0, 0.1), {.second_order = true});
  EXPECT_LT(result.cost,
            1.90517 + 2e-5);  // where the published code ends; another processor's rounding may find better
  EXPECT_NEAR(result.cost, CostOf(problem, result.u), 1e-9);
  EXPECT_LE(result.u.select(1, 0).abs().max().item<double>(), 0.5);
}

// Pendulum-v1 by its angle and speed.
ShootingProblem PendulumProblem(double theta, double speed, int64_t horizon) {
  ShootingProblem problem =
      ProblemOf({.dynamics =
                     [](const torch::Tensor& x, const torch::Tensor& u) {
                       const torch::Tensor next =
                           (x.select(1, 1) + (15 * x.select(1, 0).sin() + 3 * u.select(1, 0)) * 0.05).clamp(-8, 8);
                       return torch::stack({x.select(1, 0) + 0.05 * next, next}, 1);
                     },
                 .cost =
                     [](const torch::Tensor& x, const torch::Tensor& u, const torch::Tensor&) {
                       const torch::Tensor angle = torch::atan2(x.select(1, 0).sin(), x.select(1, 0).cos());
                       return angle.square() + 0.1 * x.select(1, 1).square() + 0.001 * u.select(1, 0).square();
                     }},
                torch::tensor({theta, speed}, torch::kFloat64), 1);
  problem.horizon = horizon;
  return Bounded(problem, 2);
}

TEST(Ilqr, AHorizonThatGrowsFindsWhatAWholeOneDoesNot) {
  const ShootingProblem problem = PendulumProblem(0.134, 0.208, 100);
  EXPECT_GT(SolveIlqr(problem, Zeros({100, 1})).cost, 100);
  const IlqrResult grown = GrowHorizon(problem, 20, 5, {.max_iterations = 60});
  EXPECT_LT(grown.cost, 0.25);
  EXPECT_THAT(grown.status, AnyOf(IlqrStatus::kConverged, IlqrStatus::kCostChange)) << Text(grown.status);
  EXPECT_EQ(grown.u.size(0), 100);
  EXPECT_NEAR(grown.cost, CostOf(problem, grown.u), 1e-9);
}

TEST(Ilqr, StatesOnACircleAreTheirAngles) {
  // The same pendulum by (cos, sin, speed), whose differences are of the angle.
  const ShootingProblem by_angle = PendulumProblem(2.5, 0.3, 30);
  const auto angles = [](const torch::Tensor& x) {
    return torch::stack({torch::atan2(x.select(1, 1), x.select(1, 0)), x.select(1, 2)}, 1);
  };
  ShootingProblem on_circle = by_angle;
  on_circle.state_size = 3;
  const auto embedded = [](const torch::Tensor& x) {
    return torch::stack({x.select(1, 0).cos(), x.select(1, 0).sin(), x.select(1, 1)}, 1);
  };
  on_circle.start = embedded(by_angle.start.unsqueeze(0))[0].contiguous();
  on_circle.step = [=](int64_t t, const torch::Tensor& x, const torch::Tensor& u, torch::Tensor& next) {
    torch::Tensor next_angles = Zeros({x.size(0), 2});
    by_angle.step(t, angles(x), u, next_angles);
    next.copy_(embedded(next_angles));
  };
  on_circle.cost = [=](const torch::Tensor& x, const torch::Tensor& u, const torch::Tensor& next, torch::Tensor& cost) {
    const auto of_all = [&](const torch::Tensor& states) {
      return angles(states.flatten(0, 1)).view({states.size(0), states.size(1), 2});
    };
    by_angle.cost(of_all(x), u, of_all(next), cost);
  };
  on_circle.linearise = [=](const torch::Tensor& x, const torch::Tensor& u, LinearDynamics* dynamics) {
    by_angle.linearise(angles(x), u, dynamics);
  };
  on_circle.quadratise = [=](const torch::Tensor& x, const torch::Tensor& u, const LinearDynamics& dynamics,
                             const torch::Tensor& curvature,
                             QuadraticCost* cost) { by_angle.quadratise(angles(x), u, dynamics, curvature, cost); };
  on_circle.difference = [=](const torch::Tensor& x, const torch::Tensor& y, torch::Tensor& difference) {
    const torch::Tensor of_angle = x.select(1, 1) * y.select(1, 0) - x.select(1, 0) * y.select(1, 1);
    const torch::Tensor along = x.select(1, 0) * y.select(1, 0) + x.select(1, 1) * y.select(1, 1);
    difference.copy_(torch::stack({torch::atan2(of_angle, along), x.select(1, 2) - y.select(1, 2)}, 1));
  };
  const torch::Tensor start = NormalControls(by_angle, 5, 0.5);
  const IlqrResult one = SolveIlqr(by_angle, start);
  const IlqrResult other = SolveIlqr(on_circle, start);
  EXPECT_EQ(other.x.size(1), 3);
  EXPECT_NEAR(one.cost, other.cost, 1e-6);
  EXPECT_LT(Distance(one.u, other.u), 1e-3);
}

// x' = x + u, l = x^2 + u^2 from 1, of one state; `edit` spoils it.
ShootingProblem Walk(const std::function<void(ShootingProblem&)>& edit) {
  ShootingProblem problem = ProblemOf({.dynamics = [](const torch::Tensor& x, const torch::Tensor& u) { return x + u; },
                                       .cost = [](const torch::Tensor& x, const torch::Tensor& u,
                                                  const torch::Tensor&) { return (x.square() + u.square()).sum(1); }},
                                      torch::ones({1}, torch::kFloat64), 1);
  problem.horizon = 10;
  edit(problem);
  return problem;
}

TEST(Ilqr, APartOfControlsThatDivergeIsTaken) {
  const ShootingProblem problem = Walk([](ShootingProblem& spoilt) {
    const auto step = spoilt.step;
    spoilt.step = [step](int64_t t, const torch::Tensor& x, const torch::Tensor& u, torch::Tensor& next) {
      step(t, x, u, next);
      next.masked_fill_(u.abs() > 2, NAN);
    };
  });
  for (const bool all_at_once : {false, true}) {
    const IlqrResult result =
        SolveIlqr(problem, 100 * torch::ones({10, 1}, torch::kFloat64), {.all_at_once = all_at_once});
    EXPECT_EQ(result.status, IlqrStatus::kConverged) << Text(result.status);
    EXPECT_LT(result.cost, 1.7);
    EXPECT_TRUE(result.u.isfinite().all().item<bool>());
  }
}

TEST(Ilqr, FaultsEndInAStatus) {
  const torch::Tensor start = torch::full({10, 1}, 0.1, torch::kFloat64);
  const IlqrResult diverged = SolveIlqr(Walk([](ShootingProblem& spoilt) {
                                          spoilt.step = [](int64_t, const torch::Tensor&, const torch::Tensor&,
                                                           torch::Tensor& next) { next.fill_(NAN); };
                                        }),
                                        start);
  EXPECT_EQ(diverged.status, IlqrStatus::kDiverged);
  EXPECT_FALSE(IsUsable(diverged.status));

  const IlqrResult far =
      SolveIlqr(Walk([](ShootingProblem& spoilt) { spoilt.start = torch::full({1}, 1e9, torch::kFloat64); }), start);
  EXPECT_EQ(far.status, IlqrStatus::kDiverged);

  const IlqrResult not_finite = SolveIlqr(Walk([](ShootingProblem& spoilt) {
                                            spoilt.linearise = [](const torch::Tensor&, const torch::Tensor&,
                                                                  LinearDynamics* dynamics) { dynamics->a.fill_(NAN); };
                                          }),
                                          start);
  EXPECT_EQ(not_finite.status, IlqrStatus::kNotFinite);
  EXPECT_NEAR(not_finite.cost, CostOf(Walk([](ShootingProblem&) {}), start), 1e-12);  // what was given is kept
  EXPECT_TRUE(torch::equal(not_finite.u, start));
  EXPECT_EQ(not_finite.lqr.status, LqrStatus::kNotFinite);  // nobody takes its gains for some
  EXPECT_EQ(not_finite.lqr.gains.feedback.sizes(), (torch::IntArrayRef{10, 1, 1}));

  const IlqrResult uphill = SolveIlqr(
      Walk([](ShootingProblem& spoilt) {
        const auto quadratise = spoilt.quadratise;
        spoilt.quadratise = [quadratise](const torch::Tensor& x, const torch::Tensor& u, const LinearDynamics& dynamics,
                                         const torch::Tensor& curvature, QuadraticCost* cost) {
          quadratise(x, u, dynamics, curvature, cost);
          cost->x.neg_();
          cost->u.neg_();
        };
      }),
      torch::full({10, 1}, -0.5, torch::kFloat64));
  EXPECT_EQ(uphill.status, IlqrStatus::kRegularisationLimit);
  EXPECT_EQ(uphill.damping.lambda, IlqrDamping().lambda);  // with which another search may begin
  EXPECT_LE(uphill.iterations.size(), 25U);

  IlqrOptions few;
  few.max_iterations = 2;
  EXPECT_EQ(SolveIlqr(AcrobotProblem(), Zeros({50, 1}), few).status, IlqrStatus::kMaxIterations);
  EXPECT_THROW(SolveIlqr(AcrobotProblem(), Zeros({49, 1})), std::invalid_argument);
  EXPECT_THROW(SolveIlqr(Bounded(AcrobotProblem(), -1), Zeros({50, 1})), std::invalid_argument);
  EXPECT_THROW(SolveIlqr(Bounded(AcrobotProblem(), NAN), Zeros({50, 1})), std::invalid_argument);
  EXPECT_THROW(
      SolveIlqr(Walk([](ShootingProblem& spoilt) { spoilt.curvature = nullptr; }), start, {.second_order = true}),
      std::invalid_argument);
}

TEST(Ilqr, RandomFaultsNeverThrowAndLeaveNoNan) {
  std::map<IlqrStatus, int> ends;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    auto rng = torch::make_generator<at::CPUGeneratorImpl>(seed);
    const auto normal = [&](at::IntArrayRef shape) { return torch::randn(shape, rng, torch::kFloat64); };
    const torch::Tensor a = normal({3, 3}) * std::pow(10.0, static_cast<double>(seed % 4) - 1);
    const torch::Tensor b = normal({2, 3});
    const torch::Tensor indefinite = normal({5, 5});
    const double edge = 0.5 + static_cast<double>(seed % 5);
    ShootingProblem problem = ProblemOf(
        {.dynamics = [=](const torch::Tensor& x,
                         const torch::Tensor& u) { return x.mm(a).tanh() + x * x.mm(a) * 0.3 + u.mm(b); },
         .cost =
             [=](const torch::Tensor& x, const torch::Tensor& u, const torch::Tensor& next) {
               const torch::Tensor z = torch::cat({x, u}, 1);
               const torch::Tensor cost = (z * z.mm(indefinite)).sum(1) + 0.3 * z.pow(4).sum(1) + next.select(1, 0);
               return torch::where(next.abs().amax(1) > edge, torch::full_like(cost, NAN), cost);
             }},
        normal({3}), 2);
    problem.horizon = 15;
    if (seed % 2 == 0) {
      problem = Bounded(problem, 0.5);
    }
    const IlqrResult result =
        SolveIlqr(problem, 0.3 * normal({15, 2}), {.max_iterations = 50, .second_order = seed % 3 == 0});
    ++ends[result.status];
    if (IsUsable(result.status)) {
      EXPECT_TRUE(result.u.isfinite().all().item<bool>()) << seed;
      EXPECT_TRUE(result.x.isfinite().all().item<bool>()) << seed;
      EXPECT_TRUE(std::isfinite(result.cost)) << seed;
    }
  }
  EXPECT_GT(ends[IlqrStatus::kDiverged], 5);
  EXPECT_LT(ends[IlqrStatus::kDiverged], 45);
}

TEST(Ilqr, CostsNeverRiseAndTheTraceTellsOfThem) {
  const IlqrResult result = SolveIlqr(AcrobotProblem(), Zeros({50, 1}));
  double before = 4959.4762116;
  for (const IlqrIteration& one : result.iterations) {
    EXPECT_LE(one.cost, before);
    EXPECT_EQ(one.cost<before, one.alpha> 0);
    before = one.cost;
  }
  EXPECT_EQ(result.iterations.back().cost, result.cost);
  EXPECT_NEAR(result.lqr.value.c[0].item<double>(), result.cost, 1e-3);  // the expansion's own end
}

#ifdef REVERIE_COUNTS_ALLOCATIONS
TEST(Ilqr, AllocatesNothingInASteadyState) {
  // A double integrator with a cost of fourth order, by functions without memory.
  ShootingProblem problem{.horizon = 20, .state_size = 2, .tangent_size = 2, .controls = 1};
  problem.start = torch::tensor({1.0, 0.0}, torch::kFloat64);
  problem = Bounded(problem, 0.5);
  problem.step = [](int64_t, const torch::Tensor& x, const torch::Tensor& u, torch::Tensor& next) {
    for (int64_t r = 0; r < x.size(0); ++r) {
      const double* at = x.data_ptr<double>() + 2 * r;
      next.data_ptr<double>()[2 * r] = at[0] + 0.1 * at[1];
      next.data_ptr<double>()[2 * r + 1] = at[1] + 0.1 * u.data_ptr<double>()[r];
    }
  };
  problem.cost = [](const torch::Tensor& x, const torch::Tensor& u, const torch::Tensor&, torch::Tensor& cost) {
    for (int64_t i = 0; i < cost.numel(); ++i) {
      const double at = x.data_ptr<double>()[2 * i];
      cost.data_ptr<double>()[i] = std::pow(at, 4) + at * at + std::pow(u.data_ptr<double>()[i], 2);
    }
  };
  problem.linearise = [](const torch::Tensor&, const torch::Tensor& u, LinearDynamics* dynamics) {
    for (int64_t t = 0; t < u.size(0); ++t) {
      const std::array<double, 4> a{1, 0.1, 0, 1};
      std::copy(a.begin(), a.end(), dynamics->a.data_ptr<double>() + 4 * t);
      dynamics->b.data_ptr<double>()[2 * t + 1] = 0.1;
    }
  };
  problem.quadratise = [](const torch::Tensor& x, const torch::Tensor& u, const LinearDynamics&, const torch::Tensor&,
                          QuadraticCost* cost) {
    for (int64_t t = 0; t < u.size(0); ++t) {
      const double at = x.data_ptr<double>()[2 * t];
      cost->x.data_ptr<double>()[2 * t] = 4 * std::pow(at, 3) + 2 * at;
      cost->xx.data_ptr<double>()[4 * t] = 12 * at * at + 2;
      cost->u.data_ptr<double>()[t] = 2 * u.data_ptr<double>()[t];
      cost->uu.data_ptr<double>()[t] = 2;
    }
  };
  Ilqr ilqr(IlqrOptions{.cost_tolerance = 0, .gradient_tolerance = 1e-12});
  IlqrResult result;
  const torch::Tensor start = torch::zeros({20, 1}, torch::kFloat64);
  ilqr.Solve(problem, start, {}, &result);
  const size_t iterations = result.iterations.size();
  EXPECT_GT(iterations, 5U);
  const int64_t before = allocations;
  ilqr.Solve(problem, start, {}, &result);
  EXPECT_EQ(allocations - before, 0);
  EXPECT_EQ(result.iterations.size(), iterations);
}
#endif

}  // namespace
}  // namespace reverie
