#include "reverie/control/linear_gaussian.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "problems.h"
#include "reverie/control/gaussian_mixture.h"
#include "reverie/control/kl_update.h"
#include "reverie/control/local_dynamics.h"
#include "reverie/control/lqr.h"

namespace reverie {
namespace {

constexpr int64_t kT = 4, kN = 3, kM = 2;

double Distance(const torch::Tensor& a, const torch::Tensor& b) { return (a - b).abs().max().item<double>(); }

class LinearGaussianTest : public testing::Test {
 protected:
  torch::Tensor Randn(at::IntArrayRef shape) { return torch::randn(shape, generator_, torch::kFloat64); }
  torch::Tensor Positive(int64_t count, int64_t size) {
    const torch::Tensor root = Randn({count, size, size});
    return (torch::matmul(root, root.transpose(1, 2)) + 0.3 * torch::eye(size, torch::kFloat64)).contiguous();
  }
  LinearGaussianController Controller() {
    return LinearGaussianController::Of({.feedback = Randn({kT, kM, kN}), .feedforward = Randn({kT, kM})},
                                        Positive(kT, kM));
  }
  LinearGaussianDynamics Dynamics() {
    return {.mean = {.a = 0.6 * Randn({kT, kN, kN}), .b = Randn({kT, kN, kM}), .f = Randn({kT, kN})},
            .covariance = Positive(kT, kN)};
  }
  QuadraticCost Cost() {
    return {.xx = Positive(kT + 1, kN),
            .ux = 0.1 * Randn({kT, kM, kN}),
            .uu = Positive(kT, kM),
            .x = Randn({kT + 1, kN}),
            .u = Randn({kT, kM}),
            .c = Randn({kT + 1})};
  }
  GaussianStates Start() { return {.mean = Randn({kN}), .covariance = Positive(1, kN)[0].contiguous()}; }

  torch::Generator generator_ = MakeGenerator(Rng(7), torch::kCPU);
};

// A whole trajectory [x_0 u_0 x_1 ... u_{T-1} x_T] as one Gaussian: an affine function of all its noise.
struct Joint {
  torch::Tensor mean, covariance;
};
Joint JointOf(const GaussianStates& start, const LinearGaussianDynamics& dynamics,
              const LinearGaussianController& controller) {
  const int64_t noises = kN + kT * (kM + kN);
  int64_t used = 0;
  const auto noise = [&](const torch::Tensor& covariance) {
    torch::Tensor columns = torch::zeros({covariance.size(0), noises + 1}, torch::kFloat64);
    columns.slice(1, used, used + covariance.size(0)).copy_(torch::linalg_cholesky(covariance));
    used += covariance.size(0);
    return columns;
  };
  const auto constant = [&](const torch::Tensor& vector) {
    torch::Tensor columns = torch::zeros({vector.size(0), noises + 1}, torch::kFloat64);
    columns.select(1, noises).copy_(vector);
    return columns;
  };
  torch::Tensor x = constant(start.mean) + noise(start.covariance);
  std::vector<torch::Tensor> rows{x};
  for (int64_t t = 0; t < kT; ++t) {
    const torch::Tensor u = controller.gains.feedback[t].mm(x) + constant(controller.gains.feedforward[t]) +
                            noise(controller.covariance[t]);
    x = dynamics.mean.a[t].mm(x) + dynamics.mean.b[t].mm(u) + constant(dynamics.mean.f[t]) +
        noise(dynamics.covariance[t]);
    rows.push_back(u);
    rows.push_back(x);
  }
  const torch::Tensor all = torch::cat(rows);
  const torch::Tensor root = all.slice(1, 0, noises);
  return {.mean = all.select(1, noises), .covariance = root.mm(root.t())};
}

TEST_F(LinearGaussianTest, MarginalsCostAndDivergenceAreThoseOfTheWholeTrajectory) {
  const GaussianStates start = Start();
  const LinearGaussianDynamics dynamics = Dynamics();
  const LinearGaussianController p = Controller();
  const LinearGaussianController q = Controller();
  const QuadraticCost cost = Cost();
  const GaussianStates states = PropagateStates(start, dynamics, p);
  const Joint of_p = JointOf(start, dynamics, p);
  const Joint of_q = JointOf(start, dynamics, q);

  double expected_cost = cost.c.sum().item<double>();
  for (int64_t t = 0; t <= kT; ++t) {
    const int64_t at = t * (kN + kM);
    EXPECT_LT(Distance(states.mean[t], of_p.mean.slice(0, at, at + kN)), 1e-10);
    EXPECT_LT(Distance(states.covariance[t], of_p.covariance.slice(0, at, at + kN).slice(1, at, at + kN)), 1e-9);
    // E[z^T H z / 2 + g^T z] of z = [x; u].
    const int64_t size = t < kT ? kN + kM : kN;
    torch::Tensor h = cost.xx[t];
    torch::Tensor g = cost.x[t];
    if (t < kT) {
      h = torch::cat({torch::cat({h, cost.ux[t].t()}, 1), torch::cat({cost.ux[t], cost.uu[t]}, 1)});
      g = torch::cat({g, cost.u[t]});
    }
    const torch::Tensor mean = of_p.mean.slice(0, at, at + size);
    const torch::Tensor covariance = of_p.covariance.slice(0, at, at + size).slice(1, at, at + size);
    expected_cost += (0.5 * (h * (covariance + torch::outer(mean, mean))).sum() + g.dot(mean)).item<double>();
  }
  EXPECT_NEAR(ExpectedCost(cost, states, p), expected_cost, 1e-9 * std::abs(expected_cost));

  const torch::Tensor inverse = torch::linalg_inv(of_q.covariance);
  const torch::Tensor apart = of_q.mean - of_p.mean;
  const torch::Tensor expected =
      0.5 * (inverse.mm(of_p.covariance).trace() - static_cast<double>(apart.size(0)) + torch::logdet(of_q.covariance) -
             torch::logdet(of_p.covariance) + apart.dot(inverse.mv(apart)));
  const double kl = KlDivergence(states, p, q).sum().item<double>();
  EXPECT_NEAR(kl, expected.item<double>(), 1e-7 * kl);
  EXPECT_LT(KlDivergence(states, p, p).abs().max().item<double>(), 1e-12);
}

TEST_F(LinearGaussianTest, WhatDoesNotFitIsRefused) {
  const LinearGaussianController controller = Controller();
  EXPECT_THROW(LinearGaussianController::Of(controller.gains, -controller.covariance), std::invalid_argument);
  EXPECT_FALSE(LinearGaussianController::IfPositive(controller.gains, torch::zeros_like(controller.covariance)));
  EXPECT_FALSE(
      LinearGaussianController::IfPositive(controller.gains, torch::full_like(controller.covariance, std::nan(""))));
  EXPECT_THROW(LinearGaussianController::Of(controller.gains, Positive(kT + 1, kM)), std::invalid_argument);
  QuadraticCost cost = Cost();
  cost.ux = Randn({1, kM, kN});  // which would be the same for all steps
  const GaussianStates start = Start();
  const LinearGaussianDynamics dynamics = Dynamics();
  EXPECT_THROW(ExpectedCost(cost, PropagateStates(start, dynamics, controller), controller), std::invalid_argument);
  EXPECT_THROW(KlUpdate(start, dynamics, cost, controller, 1, 1), std::invalid_argument);
}

class KlUpdateTest : public LinearGaussianTest {
 protected:
  GaussianStates start_ = Start();
  LinearGaussianDynamics dynamics_ = Dynamics();
  QuadraticCost cost_ = Cost();
  LinearGaussianController old_ = Controller();
};

TEST_F(KlUpdateTest, WithoutAConstraintItIsTheRegulator) {
  const LqrResult lqr = SolveLqr(dynamics_.mean, cost_);
  ASSERT_EQ(lqr.status, LqrStatus::kSolved);
  const KlUpdateResult result = PenalisedUpdate(start_, dynamics_, cost_, old_, 1e-13, {.entropy_weight = 0.1});
  ASSERT_EQ(result.status, KlStatus::kConverged);
  EXPECT_LT(Distance(result.controller.gains.feedback, lqr.gains.feedback), 1e-10);
  EXPECT_LT(Distance(result.controller.gains.feedforward, lqr.gains.feedforward), 1e-10);
  EXPECT_LT(Distance(result.controller.covariance, 0.1 * torch::linalg_inv(lqr.quu)), 1e-10);
  // Whatever the divergence, which is then not that wanted.
  const KlUpdateResult slack = KlUpdate(start_, dynamics_, cost_, old_, 1e9, 1, {.entropy_weight = 0.1});
  EXPECT_EQ(slack.status, KlStatus::kInactive);
  EXPECT_LT(Distance(slack.controller.gains.feedback, lqr.gains.feedback), 1e-5);
}

TEST_F(KlUpdateTest, TheDualsDerivativeIsTheExcessOfTheDivergence) {
  constexpr double kEpsilon = 0.7;
  for (const double w : {0.0, 0.3}) {
    // -w H(p) of the controller at that eta, less what no controller changes.
    const auto dual = [&](double eta) {
      const KlUpdateResult at = PenalisedUpdate(start_, dynamics_, cost_, old_, eta, {.entropy_weight = w});
      const double entropy = at.controller.factor.diagonal(0, 1, 2).log().sum().item<double>();
      return std::pair(at.expected_cost - w * entropy + eta * (at.kl - kEpsilon), at.kl);
    };
    double last = std::numeric_limits<double>::infinity();
    for (const double eta : {0.3, 1.0, 4.0, 20.0, 300.0}) {
      const double step = 1e-4 * eta;
      const double derivative = (dual(eta + step).first - dual(eta - step).first) / (2 * step);
      const double kl = dual(eta).second;
      EXPECT_NEAR(derivative, kl - kEpsilon, 1e-6 * (1 + kl)) << eta;
      EXPECT_LT(kl, last);
      last = kl;
    }
  }
}

TEST_F(KlUpdateTest, EverySearchFindsTheDivergenceWanted) {
  for (const double epsilon : {0.01, 1.0, 20.0}) {
    const KlUpdateResult bracket = KlUpdate(start_, dynamics_, cost_, old_, epsilon, 1, {.tolerance = 1e-3});
    ASSERT_EQ(bracket.status, KlStatus::kConverged) << epsilon;
    EXPECT_NEAR(bracket.kl, epsilon, 1e-3 * epsilon);
    EXPECT_LE(bracket.passes.size(), 30U);
    const GaussianStates states = PropagateStates(start_, dynamics_, bracket.controller);
    EXPECT_NEAR(KlDivergence(states, bracket.controller, old_).sum().item<double>(), bracket.kl, 1e-9 * epsilon);
    EXPECT_LT(bracket.expected_cost, ExpectedCost(cost_, PropagateStates(start_, dynamics_, old_), old_));
    // No other controller is as good for its divergence: the dual's Lagrangian is least here.
    const auto lagrangian = [&](const LinearGaussianController& controller) {
      const GaussianStates reached = PropagateStates(start_, dynamics_, controller);
      return ExpectedCost(cost_, reached, controller) +
             bracket.eta * KlDivergence(reached, controller, old_).sum().item<double>();
    };
    const double least = lagrangian(bracket.controller);
    for (int i = 0; i < 20; ++i) {
      const LinearGains& gains = bracket.controller.gains;
      const double size = i % 2 == 0 ? 1e-3 : 0.1;
      EXPECT_GT(lagrangian(LinearGaussianController::Of({.feedback = gains.feedback + size * Randn({kT, kM, kN}),
                                                         .feedforward = gains.feedforward + size * Randn({kT, kM})},
                                                        (1 + size) * bracket.controller.covariance)),
                least);
    }
    const KlUpdateResult slow = KlUpdate(start_, dynamics_, cost_, old_, epsilon, bracket.eta * 1.5,
                                         {.dual = KlDual::kLogGradient, .rate = 0.3, .passes = 500, .tolerance = 1e-3});
    EXPECT_EQ(slow.status, KlStatus::kConverged) << epsilon;
    EXPECT_NEAR(slow.eta, bracket.eta, 0.02 * bracket.eta);
    const KlUpdateResult plain =
        KlUpdate(start_, dynamics_, cost_, old_, epsilon, bracket.eta * 1.5,
                 {.dual = KlDual::kGradient, .rate = 0.3 * bracket.eta / epsilon, .passes = 500, .tolerance = 1e-3});
    EXPECT_EQ(plain.status, KlStatus::kConverged) << epsilon;
    EXPECT_NEAR(plain.eta, bracket.eta, 0.02 * bracket.eta);
  }
}

TEST_F(KlUpdateTest, NoiseIsKeptAboveTheFloor) {
  QuadraticCost steep = cost_;
  steep.uu = 1e6 * cost_.uu;
  const KlUpdateResult result = KlUpdate(start_, dynamics_, steep, old_, 1e9, 1, {.min_std = 0.05});
  ASSERT_TRUE(IsUsable(result.status));
  EXPECT_NEAR(torch::linalg_eigvalsh(result.controller.covariance).min().item<double>(), 0.0025, 1e-9);
  EXPECT_LT(torch::linalg_eigvalsh(KlUpdate(start_, dynamics_, steep, old_, 1e9, 1, {}).controller.covariance)
                .min()
                .item<double>(),
            1e-4);
}

TEST_F(KlUpdateTest, WhatNumericsMayDoEndsInAStatusAndTheOldController) {
  QuadraticCost indefinite = cost_;
  indefinite.uu = cost_.uu - 30 * torch::eye(kM, torch::kFloat64);
  indefinite.xx = cost_.xx - 5 * torch::eye(kN, torch::kFloat64);
  const KlUpdateResult near = KlUpdate(start_, dynamics_, indefinite, old_, 0.1, 1e-3, {});
  EXPECT_EQ(near.status, KlStatus::kConverged);  // near enough to the old one the cost is that of staying
  QuadraticCost broken = cost_;
  broken.x = cost_.x.clone();
  broken.x[2][1] = std::nan("");
  const KlUpdateResult not_finite = KlUpdate(start_, dynamics_, broken, old_, 1, 1, {});
  EXPECT_EQ(not_finite.status, KlStatus::kNotFinite);
  EXPECT_FALSE(IsUsable(not_finite.status));
  EXPECT_EQ(Distance(not_finite.controller.covariance, old_.covariance), 0);
  EXPECT_EQ(not_finite.eta, 1);
  EXPECT_EQ(KlUpdate(start_, dynamics_, cost_, old_, 1e-3, 1e-3, {.passes = 2}).status, KlStatus::kTooFar);
  EXPECT_EQ(KlUpdate(start_, dynamics_, cost_, old_, 1e-3, 1e6, {.passes = 2}).status, KlStatus::kMaxPasses);
  EXPECT_EQ(KlUpdate(start_, dynamics_, cost_, old_, 1e9, 1, {}).status, KlStatus::kInactive);
  QuadraticCost hopeless = cost_;
  hopeless.uu = -1e30 * cost_.uu;
  EXPECT_EQ(KlUpdate(start_, dynamics_, hopeless, old_, 1, 1, {}).status, KlStatus::kNotPositiveDefinite);
  EXPECT_THROW(KlUpdate(start_, dynamics_, cost_, old_, 0, 1, {}), std::invalid_argument);
}

TEST_F(KlUpdateTest, GradientsThatDoNotComeFarEnoughGoOnFromThere) {
  constexpr double kEpsilon = 0.05;
  const double wanted = KlUpdate(start_, dynamics_, cost_, old_, kEpsilon, 1).eta;
  double eta = 1e-3 * wanted;
  int updates = 0;
  for (KlStatus status = KlStatus::kTooFar; status == KlStatus::kTooFar && updates < 500; ++updates) {
    const KlUpdateResult result = KlUpdate(start_, dynamics_, cost_, old_, kEpsilon, eta,
                                           {.dual = KlDual::kGradient, .rate = 0.002 * wanted / kEpsilon, .passes = 3});
    EXPECT_TRUE(IsUsable(result.status) || result.eta > eta);
    eta = result.eta;
    status = result.status;
  }
  EXPECT_GT(updates, 2);
  EXPECT_LT(updates, 500);
}

TEST_F(KlUpdateTest, NeverLeavesANumberThatIsNotFinite) {
  for (int i = 0; i < 200; ++i) {
    const double size = std::pow(10, (i % 9) * 2 - 6);
    QuadraticCost cost{.xx = size * (Positive(kT + 1, kN) - 2 * torch::eye(kN, torch::kFloat64)),
                       .ux = size * Randn({kT, kM, kN}),
                       .uu = size * (Positive(kT, kM) - 2 * torch::eye(kM, torch::kFloat64)),
                       .x = size * Randn({kT + 1, kN}),
                       .u = size * Randn({kT, kM}),
                       .c = Randn({kT + 1})};
    LinearGaussianDynamics dynamics = Dynamics();
    dynamics.mean.a = std::pow(10, i % 7) * dynamics.mean.a;
    if (i % 10 == 3) {
      dynamics.mean.b[i % kT][0][0] = i % 20 == 3 ? std::nan("") : std::numeric_limits<double>::infinity();
    }
    const LinearGaussianController old = Controller();
    const auto dual = static_cast<KlDual>(i % 3);
    const KlUpdateResult result = KlUpdate(Start(), dynamics, cost, old, 0.1 + i % 5, 1, {.dual = dual});
    EXPECT_TRUE(torch::isfinite(result.controller.gains.feedback).all().item<bool>());
    EXPECT_TRUE(torch::isfinite(result.controller.gains.feedforward).all().item<bool>());
    EXPECT_TRUE(torch::isfinite(result.controller.precision).all().item<bool>());
    EXPECT_LE(result.passes.size(), 50U);
    if (!IsUsable(result.status)) {
      EXPECT_EQ(Distance(result.controller.gains.feedback, old.gains.feedback), 0);
    }
  }
}

TEST(StepGrowth, IsThatOfAQuadratic) {
  EXPECT_DOUBLE_EQ(StepGrowth(2, 1), 1);
  EXPECT_DOUBLE_EQ(StepGrowth(2, 1.5), 2);
  EXPECT_DOUBLE_EQ(StepGrowth(2, -8), 0.1);
  EXPECT_DOUBLE_EQ(StepGrowth(2, 2), 5);
  EXPECT_DOUBLE_EQ(StepGrowth(-1, 2), 0.1);
  EXPECT_DOUBLE_EQ(StepGrowth(2, std::nan("")), 0.1);
}

double StageAt(const QuadraticCost& cost, int64_t t, const torch::Tensor& x, const torch::Tensor& u) {
  return (0.5 * x.dot(cost.xx[t].mv(x)) + u.dot(cost.ux[t].mv(x)) + 0.5 * u.dot(cost.uu[t].mv(u)) + cost.x[t].dot(x) +
          cost.u[t].dot(u))
      .item<double>();
}

TEST_F(LinearGaussianTest, ASurpriseIsTheLogDensityButForItsConstant) {
  const LinearGaussianController p = Controller();
  const torch::Tensor weights = torch::tensor({0.5, 2.0, 0.0, 1.0}, torch::kFloat64);
  const QuadraticCost before = Cost();
  QuadraticCost after{.xx = before.xx.clone(),
                      .ux = before.ux.clone(),
                      .uu = before.uu.clone(),
                      .x = before.x.clone(),
                      .u = before.u.clone(),
                      .c = before.c.clone()};
  AddSurprise(p, weights, &after);
  const auto surprise = [&](int64_t t, const torch::Tensor& x, const torch::Tensor& u) {
    const torch::Tensor error = u - p.gains.feedback[t].mv(x) - p.gains.feedforward[t];
    return 0.5 * error.dot(torch::linalg_solve(p.covariance[t], error.unsqueeze(1)).squeeze(1)).item<double>();
  };
  for (int64_t t = 0; t < kT; ++t) {
    const auto [x, u, y, v] = std::tuple(Randn({kN}), Randn({kM}), Randn({kN}), Randn({kM}));
    const double added =
        StageAt(after, t, x, u) - StageAt(before, t, x, u) - StageAt(after, t, y, v) + StageAt(before, t, y, v);
    EXPECT_NEAR(added, weights[t].item<double>() * (surprise(t, x, u) - surprise(t, y, v)), 1e-9) << t;
  }
  EXPECT_TRUE(torch::equal(after.xx[kT], before.xx[kT]));
}

// E_p[l] - sum_t (w + w_t) H(p_t) + eta KL(p || old), without constants.
TEST_F(LinearGaussianTest, EntropiesOfSingleStepsMakeTheirNoiseLarger) {
  const LinearGaussianDynamics dynamics = Dynamics();
  const QuadraticCost cost = Cost();
  const LinearGaussianController old = Controller();
  const GaussianStates start = Start();
  const double eta = 0.7;
  const double w = 0.2;
  const torch::Tensor steps = torch::tensor({0.3, 0.0, 1.5, 0.6}, torch::kFloat64);
  const auto objective = [&](const LinearGaussianController& p) {
    const GaussianStates states = PropagateStates(start, dynamics, p);
    const torch::Tensor entropies = 0.5 * std::get<1>(torch::linalg_slogdet(p.covariance));
    return ExpectedCost(cost, states, p) - ((w + steps) * entropies).sum().item<double>() +
           eta * KlDivergence(states, p, old).sum().item<double>();
  };
  const KlUpdateResult best =
      PenalisedUpdate(start, dynamics, cost, old, eta, {.entropy_weight = w, .step_entropy = steps});
  ASSERT_EQ(best.status, KlStatus::kConverged);
  const double least = objective(best.controller);
  for (int64_t i = 0; i < 40; ++i) {
    const double size = i % 2 == 0 ? 1e-3 : 1e-1;
    const torch::Tensor factor = best.controller.factor + size * torch::tril(Randn({kT, kM, kM}));
    const LinearGaussianController other =
        LinearGaussianController::Of({.feedback = best.controller.gains.feedback + size * Randn({kT, kM, kN}),
                                      .feedforward = best.controller.gains.feedforward + size * Randn({kT, kM})},
                                     torch::matmul(factor, factor.transpose(1, 2)).contiguous());
    EXPECT_GT(objective(other), least) << i;
  }
  // The same for all is a larger w.
  const KlUpdateResult same = PenalisedUpdate(
      start, dynamics, cost, old, eta, {.entropy_weight = w, .step_entropy = torch::full({kT}, 0.5, torch::kFloat64)});
  const KlUpdateResult larger = PenalisedUpdate(start, dynamics, cost, old, eta, {.entropy_weight = w + 0.5});
  EXPECT_LT(Distance(same.controller.covariance, larger.controller.covariance), 1e-9);
  EXPECT_LT(Distance(same.controller.gains.feedback, larger.controller.gains.feedback), 1e-9);
}

class LocalDynamicsTest : public LinearGaussianTest {
 protected:
  // N trajectories of dynamics under noise of the controls, with noise of their own.
  void Roll(int64_t count, double noise) {
    dynamics_ = Dynamics();
    states_ = torch::zeros({count, kT + 1, kN}, torch::kFloat64);
    controls_ = Randn({count, kT, kM});
    states_.select(1, 0).copy_(Randn({count, kN}));
    for (int64_t t = 0; t < kT; ++t) {
      states_.select(1, t + 1).copy_(states_.select(1, t).mm(dynamics_.mean.a[t].t()) +
                                     controls_.select(1, t).mm(dynamics_.mean.b[t].t()) + dynamics_.mean.f[t] +
                                     noise * Randn({count, kN}));
    }
  }

  LinearGaussianDynamics dynamics_;
  torch::Tensor states_, controls_;
};

TEST_F(LocalDynamicsTest, FindsDynamicsWithoutNoise) {
  Roll(kN + kM + 3, 0);
  const LinearGaussianDynamics fitted = FitLocalDynamics(states_, controls_);
  EXPECT_LT(Distance(fitted.mean.a, dynamics_.mean.a), 1e-8);
  EXPECT_LT(Distance(fitted.mean.b, dynamics_.mean.b), 1e-8);
  EXPECT_LT(Distance(fitted.mean.f, dynamics_.mean.f), 1e-8);
  EXPECT_LT(fitted.covariance.abs().max().item<double>(), 1e-10);
}

TEST_F(LocalDynamicsTest, IsLeastSquaresWithoutAPrior) {
  Roll(20, 0.3);
  const LinearGaussianDynamics fitted = FitLocalDynamics(states_, controls_);
  for (int64_t t = 0; t < kT; ++t) {
    const torch::Tensor z =
        torch::cat({states_.select(1, t), controls_.select(1, t), torch::ones({20, 1}, torch::kFloat64)}, 1);
    const torch::Tensor solution = std::get<0>(torch::linalg_lstsq(z, states_.select(1, t + 1)));
    EXPECT_LT(Distance(fitted.mean.a[t], solution.slice(0, 0, kN).t()), 1e-6);
    EXPECT_LT(Distance(fitted.mean.b[t], solution.slice(0, kN, kN + kM).t()), 1e-6);
    EXPECT_LT(Distance(fitted.mean.f[t], solution[kN + kM]), 1e-6);
    const torch::Tensor error = states_.select(1, t + 1) - z.mm(solution);
    EXPECT_LT(Distance(fitted.covariance[t], error.t().mm(error) / 20), 1e-6);
  }
}

TEST_F(LocalDynamicsTest, APriorOfManyRowsIsWhatIsFound) {
  Roll(6, 0.3);
  constexpr int64_t kAll = 2 * kN + kM;
  const torch::Tensor covariance = Positive(1, kAll)[0];
  const torch::Tensor mean = Randn({kAll});
  const auto prior = [&](double rows) {
    return [=](const torch::Tensor&) {
      return GaussianPrior{.mean = mean, .scatter = rows * covariance, .mean_rows = 0, .rows = rows};
    };
  };
  const LinearGaussianDynamics strong = FitLocalDynamics(states_, controls_, prior(1e9));
  const torch::Tensor zz = covariance.slice(0, 0, kN + kM).slice(1, 0, kN + kM);
  const torch::Tensor zx = covariance.slice(0, 0, kN + kM).slice(1, kN + kM);
  const torch::Tensor expected = torch::linalg_solve(zz, zx).t();
  EXPECT_LT(Distance(strong.mean.a[1], expected.slice(1, 0, kN)), 1e-6);
  EXPECT_LT(Distance(strong.mean.b[1], expected.slice(1, kN)), 1e-6);
  EXPECT_LT(Distance(strong.covariance[1], covariance.slice(0, kN + kM).slice(1, kN + kM) - expected.mm(zx)), 1e-6);
  const LinearGaussianDynamics weak = FitLocalDynamics(states_, controls_, prior(1e-9));
  EXPECT_LT(Distance(weak.mean.a, FitLocalDynamics(states_, controls_).mean.a), 1e-4);
}

TEST_F(LocalDynamicsTest, WhatDoesNotVaryIsPredictedExactly) {
  Roll(9, 0);
  const torch::Tensor constant = torch::full({9, kT + 1, 1}, 0.123456789, torch::kFloat64);
  states_ = torch::cat({states_, constant}, 2);
  states_.select(1, 0).copy_(states_[0][0].expand({9, kN + 1}));  // all begin in one place
  states_.select(1, 1).narrow(1, 0, kN).copy_(states_.select(1, 0).narrow(1, 0, kN).mm(dynamics_.mean.a[0].t()) +
                                              controls_.select(1, 0).mm(dynamics_.mean.b[0].t()));
  const LinearGaussianDynamics fitted = FitLocalDynamics(states_, controls_);
  for (int64_t t = 0; t < kT; ++t) {
    const torch::Tensor x = states_[0][t];
    const torch::Tensor next = fitted.mean.a[t].mv(x) + fitted.mean.b[t].mv(controls_[0][t]) + fitted.mean.f[t];
    EXPECT_NEAR(next[kN].item<double>(), 0.123456789, 1e-9);
    EXPECT_LT(fitted.mean.a[t].select(1, kN).abs().max().item<double>(), 1e-6);
  }
  EXPECT_LT(fitted.mean.a[0].abs().max().item<double>(), 1e-6);
  EXPECT_LT(Distance(fitted.mean.b[0].narrow(0, 0, kN), dynamics_.mean.b[0]), 1e-5);
}

TEST_F(LocalDynamicsTest, FindsTheControllerThatActed) {
  Roll(9, 0.3);
  const torch::Tensor k = Randn({kT, kM, kN});
  const torch::Tensor k0 = Randn({kT, kM});
  const torch::Tensor actions = torch::matmul(k, states_.slice(1, 0, kT).unsqueeze(3)).squeeze(3) + k0;  // [N, T, m]
  const torch::Tensor noise = Positive(1, kM)[0];
  const LinearGaussianController fitted = FitLinearController(states_, actions, noise);
  EXPECT_LT(Distance(fitted.gains.feedback, k), 1e-8);
  EXPECT_LT(Distance(fitted.gains.feedforward, k0), 1e-8);
  EXPECT_LT(Distance(fitted.covariance, noise.expand_as(fitted.covariance)), 1e-8);
  // What is not linear is noise: here that of actions of their own.
  const torch::Tensor random = Randn(actions.sizes());
  const torch::Tensor rest = FitLinearController(states_, random, noise).covariance - noise;
  const torch::Tensor centred = random - random.mean(0);
  EXPECT_TRUE((std::get<0>(torch::linalg_eigh(rest)) > -1e-9).all().item<bool>());
  EXPECT_LT(rest.diagonal(0, 1, 2).mean().item<double>(), centred.square().mean().item<double>());
  actions[2][1][0] = std::nan("");
  EXPECT_THROW(FitLinearController(states_, actions, noise), std::runtime_error);
  EXPECT_THROW(FitLinearController(states_, actions.slice(1, 1), noise), std::invalid_argument);
}

TEST_F(LocalDynamicsTest, ANumberThatIsNotFiniteIsRefused) {
  Roll(9, 0);
  states_[3][2][1] = std::nan("");
  EXPECT_THROW(FitLocalDynamics(states_, controls_), std::runtime_error);
  EXPECT_THROW(FitLocalDynamics(states_, controls_.slice(1, 1)), std::invalid_argument);
}

// A linear congruential sequence, exact in doubles, made into three clouds of rows with columns of mean 0 and
// variance 1.
torch::Tensor Clouds() {
  constexpr int64_t kRows = 60;
  torch::Tensor y = torch::empty({kRows, 3}, torch::kFloat64);
  int64_t x = 12345;
  for (int64_t i = 0; i < y.numel(); ++i) {
    x = (1103515245 * x + 12345) % 2147483648;
    y.data_ptr<double>()[i] = static_cast<double>(x) / 2147483648;
  }
  y.select(1, 1) += 2 * y.select(1, 0);
  y.slice(0, 20, 40) += torch::tensor({1.0, -1.0, 0.5}, torch::kFloat64);
  y.slice(0, 40) *= torch::tensor({0.5, 2.0, 1.5}, torch::kFloat64);
  return (y - y.mean(0)) / y.std(0, /*unbiased=*/false);
}

TEST(GaussianMixture, IsScikitLearns) {
  // scikit-learn 1.7, GaussianMixture(3, tol=0, reg_covar=1e-6) from the same start: rows 0, 25 and 50, identity
  // matrices and equal weights. Its lower_bound_, weights_, means_[0] and covariances_[0][0] after so many iterations.
  const torch::Tensor y = Clouds();
  struct Expected {
    int64_t iterations;
    double log_likelihood;
    std::vector<double> weights, mean, row;
  };
  const std::vector<Expected> all{{1,
                                   -4.620216349698961,
                                   {0.61280385, 0.21419881, 0.17299734},
                                   {-0.25347406, -0.02980262, -0.05848522},
                                   {0.78335591, -0.25692931, -0.06875772}},
                                  {5,
                                   -3.1257937297763805,
                                   {0.41911265, 0.33246949, 0.24841786},
                                   {-0.65718668, -0.0885874, -0.16939179},
                                   {0.22876267, 0.07975326, -0.12315668}},
                                  {30,
                                   -2.6597021460894004,
                                   {0.37808902, 0.33333333, 0.28857764},
                                   {-0.53752202, -0.22089943, -0.54847973},
                                   {0.24215814, 0.14953575, -0.08306144}}};
  for (const Expected& expected : all) {
    torch::Generator generator = MakeGenerator(Rng(0), torch::kCPU);
    GaussianMixture mixture;
    mixture.Fit(y, 3, generator, 0);
    StateTree tree = SaveState(mixture);
    tree.values().tensors.at("weights").fill_(1.0 / 3);
    tree.values().tensors.at("means").copy_(y.index_select(0, torch::tensor({0, 25, 50})));
    tree.values().tensors.at("covariances").copy_(torch::eye(3, torch::kFloat64).expand({3, 3, 3}));
    LoadState(tree, mixture);
    const GaussianMixture::FitReport report = mixture.Fit(y, 3, generator, expected.iterations, -1);
    EXPECT_EQ(report.iterations, expected.iterations);
    EXPECT_NEAR(report.log_likelihood, expected.log_likelihood, 1e-6);
    EXPECT_LT(Distance(mixture.weights(), torch::tensor(expected.weights, torch::kFloat64)), 1e-6);
    EXPECT_LT(Distance(mixture.means()[0], torch::tensor(expected.mean, torch::kFloat64)), 1e-6);
    EXPECT_LT(Distance(mixture.covariances()[0][0], torch::tensor(expected.row, torch::kFloat64)), 1e-6);
  }
}

TEST(GaussianMixture, AComponentThatBeginsAnewIsFitted) {
  // Two clouds; the third component begins where no row is.
  torch::Generator generator = MakeGenerator(Rng(4), torch::kCPU);
  const torch::Tensor rows = torch::cat({torch::randn({50, 1}, generator, torch::kFloat64) - 8,
                                         0.1 * torch::randn({50, 1}, generator, torch::kFloat64) + 4,
                                         0.1 * torch::randn({50, 1}, generator, torch::kFloat64) + 8});
  GaussianMixture mixture;
  mixture.Fit(rows, 3, generator, 0);
  StateTree tree = SaveState(mixture);
  tree.values().tensors.at("weights").fill_(1.0 / 3);
  tree.values().tensors.at("means").copy_(torch::tensor({{-8.0}, {6.0}, {1e6}}, torch::kFloat64));
  tree.values().tensors.at("covariances").copy_(torch::tensor({1.0, 5.0, 1e-3}, torch::kFloat64).view({3, 1, 1}));
  LoadState(tree, mixture);
  const GaussianMixture::FitReport report = mixture.Fit(rows, 3, generator);
  EXPECT_GT(report.iterations, 3);
  EXPECT_GT(mixture.weights().min().item<double>(), 1e-3);
  EXPECT_LT(mixture.Fit(rows, 3, generator, 1).log_likelihood - report.log_likelihood, 1e-4);  // it had come to an end
}

TEST(GaussianMixture, OneComponentIsTheGaussianOfAllRows) {
  const torch::Tensor y = Clouds();
  torch::Generator generator = MakeGenerator(Rng(0), torch::kCPU);
  GaussianMixture mixture;
  mixture.Fit(y, 1, generator);
  EXPECT_LT(Distance(mixture.means()[0], y.mean(0)), 1e-12);
  EXPECT_LT(Distance(mixture.covariances()[0], y.t().mm(y) / 60), 2e-6);
  const GaussianPrior prior = mixture.PriorOf(y.slice(0, 3, 8), 2);
  EXPECT_LT(Distance(prior.mean, y.mean(0)), 1e-12);
  EXPECT_LT(Distance(prior.scatter, 2 * mixture.covariances()[0]), 1e-12);
  EXPECT_EQ(prior.mean_rows, 2);
  EXPECT_DOUBLE_EQ(prior.rows, 2 * (60.0 - 2 - 3) / 60);
}

TEST(GaussianMixture, APriorIsOfTheComponentsThatTheRowsAreFrom) {
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  const torch::Tensor left = 0.1 * torch::randn({40, 2}, generator, torch::kFloat64) - 5;
  const torch::Tensor right = torch::randn({40, 2}, generator, torch::kFloat64) + 5;
  GaussianMixture mixture;
  mixture.Fit(torch::cat({left, right}), 2, generator);
  EXPECT_LT(Distance(mixture.PriorOf(left.slice(0, 0, 5), 1).mean, left.mean(0)), 1e-6);
  const torch::Tensor both = torch::cat({left.slice(0, 0, 3), right.slice(0, 0, 3)});
  const GaussianPrior prior = mixture.PriorOf(both, 1);
  EXPECT_LT(Distance(prior.mean, 0.5 * (left.mean(0) + right.mean(0))), 1e-6);
  EXPECT_GT(prior.scatter[0][1].item<double>(), 20);  // the two lie apart along the diagonal
  // A component without rows begins anew.
  mixture.Fit(left, 2, generator);
  EXPECT_TRUE(torch::isfinite(mixture.covariances()).all().item<bool>());
  EXPECT_THROW(mixture.Fit(left.slice(0, 0, 2), 3, generator), std::invalid_argument);
}

}  // namespace
}  // namespace reverie
