#include "reverie/control/local_dynamics.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <stdexcept>
#include <utility>

#include "ridge.h"

namespace reverie {
namespace {

constexpr double kFitRidge = 1e-11;
constexpr double kLeastStartVariance = 1e-6;

// y = A z + f, W of each step: [T, dy, dz], [T, dy], [T, dy, dy].
struct Conditionals {
  torch::Tensor a, f, w;
};

// Of rows [z; y], trajectory by trajectory, [N, T, dz + dy].
Conditionals FitConditionals(const torch::Tensor& by_step, int64_t dz, const PriorOf& prior_of) {
  const int64_t count = by_step.size(0);
  const int64_t horizon = by_step.size(1);
  const int64_t dy = by_step.size(2) - dz;
  const torch::Tensor ridge = RidgeOf(by_step.flatten(0, 1).slice(1, 0, dz), kFitRidge);
  Conditionals fit{.a = torch::empty({horizon, dy, dz}, torch::kFloat64),
                   .f = torch::empty({horizon, dy}, torch::kFloat64),
                   .w = torch::empty({horizon, dy, dy}, torch::kFloat64)};
  for (int64_t t = 0; t < horizon; ++t) {
    const torch::Tensor rows = by_step.select(1, t);
    const torch::Tensor mean = rows.mean(0);
    const torch::Tensor centred = rows - mean;
    torch::Tensor scatter = centred.t().mm(centred);
    auto weight = static_cast<double>(count);
    if (prior_of) {
      const GaussianPrior prior = prior_of(rows);
      const torch::Tensor apart = mean - prior.mean;
      const double shrink = weight * prior.mean_rows / (weight + prior.mean_rows);
      scatter = scatter + prior.scatter + shrink * torch::outer(apart, apart);
      weight += prior.rows;
    }
    const torch::Tensor sigma = scatter / weight;
    const torch::Tensor zz = sigma.slice(0, 0, dz).slice(1, 0, dz);
    const torch::Tensor zy = sigma.slice(0, 0, dz).slice(1, dz);
    const torch::Tensor a = torch::cholesky_solve(zy, FactorOf(zz + ridge, ridge)).t();
    fit.a[t] = a;
    fit.f[t] = mean.slice(0, dz) - a.mv(mean.slice(0, 0, dz));
    const torch::Tensor rest = sigma.slice(0, dz).slice(1, dz) - a.mm(zy) - zy.t().mm(a.t()) + a.mm(zz).mm(a.t());
    fit.w[t] = 0.5 * (rest + rest.t());
  }
  return fit;
}

}  // namespace

torch::Tensor ActionRows(const torch::Tensor& states, const torch::Tensor& actions) {
  if (states.dim() != 3 || actions.dim() != 3 || states.size(0) != actions.size(0) ||
      states.size(1) != actions.size(1) + 1) {
    throw std::invalid_argument("states are [N, T + 1, n] and controls [N, T, m]");
  }
  return torch::cat({states.slice(1, 0, actions.size(1)), actions}, 2).flatten(0, 1);
}

torch::Tensor TransitionRows(const torch::Tensor& states, const torch::Tensor& controls) {
  const torch::Tensor before = ActionRows(states, controls);
  return torch::cat({before, states.slice(1, 1).flatten(0, 1)}, 1);
}

LinearGaussianDynamics FitLocalDynamics(const torch::Tensor& states, const torch::Tensor& controls,
                                        const PriorOf& prior_of) {
  const torch::Tensor all = TransitionRows(states, controls);
  if (!torch::isfinite(all).all().item<bool>()) {
    throw std::runtime_error("a trajectory that dynamics are fitted to is not finite");
  }
  const int64_t n = states.size(2);
  const int64_t nm = n + controls.size(2);
  const Conditionals fit = FitConditionals(all.view({states.size(0), controls.size(1), -1}), nm, prior_of);
  return {.mean = {.a = fit.a.slice(2, 0, n).contiguous(), .b = fit.a.slice(2, n).contiguous(), .f = fit.f},
          .covariance = fit.w};
}

LinearGaussianController FitLinearController(const torch::Tensor& states, const torch::Tensor& actions,
                                             const torch::Tensor& noise, const PriorOf& prior_of) {
  const torch::Tensor all = ActionRows(states, actions);
  if (!torch::isfinite(all).all().item<bool>()) {
    throw std::runtime_error("a trajectory that a controller is fitted to is not finite");
  }
  const Conditionals fit = FitConditionals(all.view({states.size(0), actions.size(1), -1}), states.size(2), prior_of);
  std::optional<LinearGaussianController> controller =
      LinearGaussianController::IfPositive({.feedback = fit.a, .feedforward = fit.f}, (fit.w + noise).contiguous());
  if (!controller) {
    throw std::runtime_error("a controller fitted to trajectories has a covariance that is not positive definite");
  }
  return std::move(*controller);
}

GaussianStates FitStart(const torch::Tensor& states) {
  const torch::Tensor mean = states.mean(0);
  const torch::Tensor centred = states - mean;
  const torch::Tensor variance = centred.square().mean(0).clamp_min(kLeastStartVariance);
  return {.mean = mean.contiguous(), .covariance = torch::diag(variance).contiguous()};
}

}  // namespace reverie
