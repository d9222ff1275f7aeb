#include "reverie/control/linear_gaussian.h"

#include <stdexcept>
#include <utility>

#include "eigen.h"
#include "shapes.h"

namespace reverie {
namespace {

// ln |S| of L L^T, [T].
torch::Tensor LogDeterminant(const torch::Tensor& factor) { return 2 * factor.diagonal(0, 1, 2).log().sum(1); }

torch::Tensor Trace(const torch::Tensor& matrices) { return matrices.diagonal(0, 1, 2).sum(1); }

// y^T S^-1 y of rows y [T, m].
torch::Tensor SquaredBy(const torch::Tensor& precision, const torch::Tensor& y) {
  return (torch::matmul(precision, y.unsqueeze(2)).squeeze(2) * y).sum(1);
}

void RequireController(const LinearGaussianController& controller, int64_t horizon, int64_t n, int64_t m) {
  RequireDoubles("K", controller.gains.feedback, {horizon, m, n});
  RequireDoubles("k", controller.gains.feedforward, {horizon, m});
  RequireDoubles("Sigma", controller.covariance, {horizon, m, m});
}

void RequireStates(const GaussianStates& states, int64_t horizon, int64_t n) {
  RequireDoubles("the states' mean", states.mean, {horizon + 1, n});
  RequireDoubles("the states' covariance", states.covariance, {horizon + 1, n, n});
}

}  // namespace

std::optional<LinearGaussianController> LinearGaussianController::IfPositive(LinearGains gains,
                                                                             torch::Tensor covariance) {
  if (!gains.feedback.defined() || gains.feedback.dim() != 3) {
    throw std::invalid_argument("K is not [T, m, n]");
  }
  LinearGaussianController controller{.gains = std::move(gains), .covariance = std::move(covariance)};
  const torch::Tensor& k = controller.gains.feedback;
  RequireController(controller, k.size(0), k.size(2), k.size(1));
  const auto [factor, info] = torch::linalg_cholesky_ex(controller.covariance);
  if (info.any().item<bool>()) {
    return std::nullopt;
  }
  controller.factor = factor.contiguous();
  controller.precision = torch::cholesky_inverse(controller.factor).contiguous();
  if (!torch::isfinite(controller.factor).all().item<bool>() ||
      !torch::isfinite(controller.precision).all().item<bool>()) {
    return std::nullopt;
  }
  return controller;
}

LinearGaussianController LinearGaussianController::Of(LinearGains gains, torch::Tensor covariance) {
  std::optional<LinearGaussianController> controller = IfPositive(std::move(gains), std::move(covariance));
  if (!controller) {
    throw std::invalid_argument("a covariance of the controls is not positive definite");
  }
  return std::move(*controller);
}

LinearGaussianController LinearGaussianController::Noise(int64_t horizon, int64_t states, int64_t controls,
                                                         double std) {
  return Of({.feedback = torch::zeros({horizon, controls, states}, torch::kFloat64),
             .feedforward = torch::zeros({horizon, controls}, torch::kFloat64)},
            std * std * torch::eye(controls, torch::kFloat64).repeat({horizon, 1, 1}));
}

void LinearGaussianController::VisitState(StateVisitor& state) {
  state("feedback", gains.feedback);
  state("feedforward", gains.feedforward);
  state("covariance", covariance);
  state("factor", factor);
  state("precision", precision);
}

GaussianStates PropagateStates(const GaussianStates& start, const LinearGaussianDynamics& dynamics,
                               const LinearGaussianController& controller) {
  const int64_t horizon = controller.horizon();
  const int64_t n = controller.states();
  const int64_t m = controller.controls();
  RequireController(controller, horizon, n, m);
  RequireDynamics(dynamics.mean, horizon, n, m);
  RequireDoubles("W", dynamics.covariance, {horizon, n, n});
  RequireDoubles("mu_0", start.mean, {n});
  RequireDoubles("P_0", start.covariance, {n, n});
  GaussianStates states{.mean = torch::empty({horizon + 1, n}, torch::kFloat64),
                        .covariance = torch::empty({horizon + 1, n, n}, torch::kFloat64)};
  const auto matrix = [](const torch::Tensor& tensor, int64_t t) {
    const int64_t rows = tensor.size(1);
    const int64_t columns = tensor.size(2);
    return ConstMatrixMap(tensor.data_ptr<double>() + t * rows * columns, rows, columns);
  };
  const auto vector = [](const torch::Tensor& tensor, int64_t t) {
    return ConstVectorMap(tensor.data_ptr<double>() + t * tensor.size(1), tensor.size(1));
  };
  Eigen::VectorXd mean = ConstVectorMap(start.mean.data_ptr<double>(), n);
  Eigen::MatrixXd covariance = ConstMatrixMap(start.covariance.data_ptr<double>(), n, n);
  for (int64_t t = 0;; ++t) {
    VectorMap(states.mean.data_ptr<double>() + t * n, n) = mean;
    MatrixMap(states.covariance.data_ptr<double>() + t * n * n, n, n) = covariance;
    if (t == horizon) {
      return states;
    }
    const Eigen::MatrixXd b = matrix(dynamics.mean.b, t);
    const Eigen::MatrixXd closed = matrix(dynamics.mean.a, t) + b * matrix(controller.gains.feedback, t);
    mean = closed * mean + b * vector(controller.gains.feedforward, t) + vector(dynamics.mean.f, t);
    covariance = closed * covariance * closed.transpose() + b * matrix(controller.covariance, t) * b.transpose() +
                 matrix(dynamics.covariance, t);
    covariance = (0.5 * (covariance + covariance.transpose())).eval();
  }
}

double ExpectedCost(const QuadraticCost& cost, const GaussianStates& states,
                    const LinearGaussianController& controller) {
  const int64_t horizon = controller.horizon();
  RequireStates(states, horizon, controller.states());
  RequireCost(cost, horizon, controller.states(), controller.controls());
  const torch::Tensor& x = states.mean;
  const torch::Tensor& p = states.covariance;
  const torch::Tensor& k = controller.gains.feedback;
  const torch::Tensor x_t = x.slice(0, 0, horizon);
  const torch::Tensor p_t = p.slice(0, 0, horizon);
  const torch::Tensor kp = torch::matmul(k, p_t);  // the covariance of u and x
  const torch::Tensor u = torch::matmul(k, x_t.unsqueeze(2)).squeeze(2) + controller.gains.feedforward;
  const torch::Tensor uu = controller.covariance + torch::matmul(kp, k.transpose(1, 2));
  torch::Tensor sum = 0.5 * (SquaredBy(cost.xx, x) + Trace(torch::matmul(cost.xx, p))).sum();
  sum = sum + 0.5 * (SquaredBy(cost.uu, u) + Trace(torch::matmul(cost.uu, uu))).sum();
  sum = sum + (u * torch::matmul(cost.ux, x_t.unsqueeze(2)).squeeze(2)).sum() + (cost.ux * kp).sum();
  return (sum + (cost.x * x).sum() + (cost.u * u).sum() + cost.c.sum()).item<double>();
}

void AddSurprise(const LinearGaussianController& p, const torch::Tensor& weights, QuadraticCost* cost) {
  RequireCost(*cost, p.horizon(), p.states(), p.controls());
  const torch::Tensor& k = p.gains.feedback;
  const torch::Tensor precision = weights.view({-1, 1, 1}) * p.precision;
  const torch::Tensor pk = torch::matmul(precision, k);
  const torch::Tensor pk0 = torch::matmul(precision, p.gains.feedforward.unsqueeze(2)).squeeze(2);
  cost->xx.slice(0, 0, p.horizon()).add_(torch::matmul(k.transpose(1, 2), pk));
  cost->ux.sub_(pk);
  cost->uu.add_(precision);
  cost->x.slice(0, 0, p.horizon()).add_(torch::matmul(k.transpose(1, 2), pk0.unsqueeze(2)).squeeze(2));
  cost->u.sub_(pk0);
}

torch::Tensor KlDivergence(const GaussianStates& states, const LinearGaussianController& p,
                           const LinearGaussianController& q) {
  const int64_t horizon = p.horizon();
  RequireController(q, horizon, p.states(), p.controls());
  RequireStates(states, horizon, p.states());
  const torch::Tensor x = states.mean.slice(0, 0, horizon);
  const torch::Tensor covariance = states.covariance.slice(0, 0, horizon);
  const torch::Tensor dk = q.gains.feedback - p.gains.feedback;
  const torch::Tensor e = torch::matmul(dk, x.unsqueeze(2)).squeeze(2) + q.gains.feedforward - p.gains.feedforward;
  const torch::Tensor spread = torch::matmul(torch::matmul(dk, covariance), dk.transpose(1, 2));
  const torch::Tensor sum = Trace(torch::matmul(q.precision, p.covariance + spread)) -
                            static_cast<double>(p.controls()) + LogDeterminant(q.factor) - LogDeterminant(p.factor) +
                            SquaredBy(q.precision, e);
  return 0.5 * sum.clamp_min(0);  // rounding may leave a little below zero
}

}  // namespace reverie
