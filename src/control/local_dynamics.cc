#include "reverie/control/local_dynamics.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "ridge.h"

namespace reverie {
namespace {

constexpr double kFitRidge = 1e-11;
constexpr double kLeastStartVariance = 1e-6;

}  // namespace

torch::Tensor TransitionRows(const torch::Tensor& states, const torch::Tensor& controls) {
  if (states.dim() != 3 || controls.dim() != 3 || states.size(0) != controls.size(0) ||
      states.size(1) != controls.size(1) + 1) {
    throw std::invalid_argument("states are [N, T + 1, n] and controls [N, T, m]");
  }
  const int64_t horizon = controls.size(1);
  return torch::cat({states.slice(1, 0, horizon), controls, states.slice(1, 1)}, 2).flatten(0, 1);
}

LinearGaussianDynamics FitLocalDynamics(const torch::Tensor& states, const torch::Tensor& controls,
                                        const PriorOf& prior_of) {
  const torch::Tensor all = TransitionRows(states, controls);
  if (!torch::isfinite(all).all().item<bool>()) {
    throw std::runtime_error("a trajectory that dynamics are fitted to is not finite");
  }
  const int64_t count = states.size(0);
  const int64_t horizon = controls.size(1);
  const int64_t n = states.size(2);
  const int64_t m = controls.size(2);
  const int64_t nm = n + m;
  const torch::Tensor by_step = all.view({count, horizon, -1});
  const torch::Tensor ridge = RidgeOf(all.slice(1, 0, nm), kFitRidge);
  LinearGaussianDynamics dynamics{.mean = LinearDynamics::Of(horizon, n, m),
                                  .covariance = torch::zeros({horizon, n, n}, torch::kFloat64)};
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
    const torch::Tensor zz = sigma.slice(0, 0, nm).slice(1, 0, nm);
    const torch::Tensor zx = sigma.slice(0, 0, nm).slice(1, nm);
    const torch::Tensor ab = torch::cholesky_solve(zx, FactorOf(zz + ridge, ridge)).t();  // [n, n + m]
    dynamics.mean.a[t] = ab.slice(1, 0, n);
    dynamics.mean.b[t] = ab.slice(1, n);
    dynamics.mean.f[t] = mean.slice(0, nm) - ab.mv(mean.slice(0, 0, nm));
    const torch::Tensor rest = sigma.slice(0, nm).slice(1, nm) - ab.mm(zx) - zx.t().mm(ab.t()) + ab.mm(zz).mm(ab.t());
    dynamics.covariance[t] = 0.5 * (rest + rest.t());
  }
  return dynamics;
}

GaussianStates FitStart(const torch::Tensor& states) {
  const torch::Tensor mean = states.mean(0);
  const torch::Tensor centred = states - mean;
  const torch::Tensor variance = centred.square().mean(0).clamp_min(kLeastStartVariance);
  return {.mean = mean.contiguous(), .covariance = torch::diag(variance).contiguous()};
}

}  // namespace reverie
