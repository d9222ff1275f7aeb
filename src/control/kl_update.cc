#include "reverie/control/kl_update.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <stdexcept>

#include "reverie/control/lqr.h"
#include "shapes.h"

namespace reverie {
namespace {

constexpr double kLeastEta = 1e-8;
constexpr double kGreatestEta = 1e16;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

bool IsFinite(const torch::Tensor& tensor) { return torch::isfinite(tensor).all().item<bool>(); }

// (l - eta log p_old) / (eta + w), without what does not depend on x or u.
QuadraticCost Penalised(const QuadraticCost& cost, const LinearGaussianController& old, double eta, double w) {
  QuadraticCost sum{.xx = cost.xx.clone(),
                    .ux = cost.ux.clone(),
                    .uu = cost.uu.clone(),
                    .x = cost.x.clone(),
                    .u = cost.u.clone(),
                    .c = cost.c.clone()};
  AddSurprise(old, torch::full({old.horizon()}, eta, torch::kFloat64), &sum);
  for (torch::Tensor* tensor : {&sum.xx, &sum.ux, &sum.uu, &sum.x, &sum.u, &sum.c}) {
    tensor->div_(eta + w);
  }
  return sum;
}

// Q_uu^-1; not finite where that is not positive definite.
torch::Tensor CovarianceOf(const torch::Tensor& quu) {
  const auto [factor, info] = torch::linalg_cholesky_ex(0.5 * (quu + quu.transpose(1, 2)));
  if (info.any().item<bool>()) {
    return torch::full_like(quu, kInfinity);
  }
  return torch::cholesky_inverse(factor).contiguous();
}

// (eta + w + w_t) / (eta + w), [T, 1, 1] or 1: what the noise of a step is more than with w alone.
torch::Tensor Temperatures(const KlUpdateOptions& options, double eta) {
  return options.step_entropy.defined() ? (1 + options.step_entropy / (eta + options.entropy_weight)).view({-1, 1, 1})
                                        : torch::ones({}, torch::kFloat64);
}

// The same controller with eigenvalues of its covariances of at least min_std^2, where they can be had.
LinearGaussianController WithLeastStd(const LinearGaussianController& controller, double min_std) {
  const auto [values, vectors] = torch::linalg_eigh(controller.covariance);
  const torch::Tensor variances = values.clamp_min(min_std * min_std);
  const torch::Tensor raised = torch::matmul(vectors * variances.unsqueeze(1), vectors.transpose(1, 2));
  return LinearGaussianController::IfPositive(controller.gains, raised.contiguous()).value_or(controller);
}

}  // namespace

std::vector<std::pair<std::string, KlDual>> EnumNames(KlDual) {
  return {{"bracket", KlDual::kBracket}, {"gradient", KlDual::kGradient}, {"log_gradient", KlDual::kLogGradient}};
}

const char* Text(KlStatus status) {
  switch (status) {
    case KlStatus::kConverged:
      return "the divergence is that wanted";
    case KlStatus::kInactive:
      return "the divergence is below that wanted, whatever the multiplier";
    case KlStatus::kMaxPasses:
      return "stopped after the passes allowed, with a divergence below that wanted";
    case KlStatus::kNotPositiveDefinite:
      return "no multiplier makes the cost of the controls positive definite";
    case KlStatus::kNotFinite:
      return "a number of the dynamics or of the cost is not finite";
    case KlStatus::kTooFar:
      return "no multiplier tried brought the divergence down to that wanted";
  }
  return "";
}

bool IsUsable(KlStatus status) {
  return status == KlStatus::kConverged || status == KlStatus::kInactive || status == KlStatus::kMaxPasses;
}

KlUpdateResult PenalisedUpdate(const GaussianStates& start, const LinearGaussianDynamics& dynamics,
                               const QuadraticCost& cost, const LinearGaussianController& old, double eta,
                               const KlUpdateOptions& options) {
  RequireCost(cost, old.horizon(), old.states(), old.controls());
  KlUpdateResult result{.controller = old, .eta = eta, .kl = kInfinity, .expected_cost = kInfinity};
  const LqrResult lqr = SolveLqr(dynamics.mean, Penalised(cost, old, eta, options.entropy_weight));
  if (lqr.status != LqrStatus::kSolved) {
    result.status =
        lqr.status == LqrStatus::kNotPositiveDefinite ? KlStatus::kNotPositiveDefinite : KlStatus::kNotFinite;
    return result;
  }
  std::optional<LinearGaussianController> controller =
      LinearGaussianController::IfPositive(lqr.gains, CovarianceOf(lqr.quu) * Temperatures(options, eta));
  if (!controller) {
    result.status = KlStatus::kNotPositiveDefinite;
    return result;
  }
  const GaussianStates states = PropagateStates(start, dynamics, *controller);
  const double kl = KlDivergence(states, *controller, old).sum().item<double>();
  const double expected = ExpectedCost(cost, states, *controller);
  if (!std::isfinite(kl) || !std::isfinite(expected)) {
    return result;
  }
  return {.status = KlStatus::kConverged,
          .controller = std::move(*controller),
          .eta = eta,
          .kl = kl,
          .expected_cost = expected};
}

KlUpdateResult KlUpdate(const GaussianStates& start, const LinearGaussianDynamics& dynamics, const QuadraticCost& cost,
                        const LinearGaussianController& old, double epsilon, double eta,
                        const KlUpdateOptions& options) {
  if (!(epsilon > 0) || !(eta > 0)) {
    throw std::invalid_argument("epsilon and eta are above 0");
  }
  for (const torch::Tensor* tensor :
       {&start.mean, &start.covariance, &dynamics.mean.a, &dynamics.mean.b, &dynamics.mean.f, &dynamics.covariance,
        &cost.xx, &cost.ux, &cost.uu, &cost.x, &cost.u, &cost.c}) {
    if (!IsFinite(*tensor)) {
      return {.status = KlStatus::kNotFinite, .controller = old, .eta = eta};
    }
  }
  double low = kLeastEta;  // with it the divergence is too large, or no controller came of it, or it is the least
  double high = kGreatestEta;
  double now = std::clamp(eta, low, high);
  std::optional<KlUpdateResult> best;  // of the least eta whose divergence is at most epsilon
  KlStatus failure = KlStatus::kTooFar;
  KlStatus status = KlStatus::kMaxPasses;
  std::vector<KlPass> passes;
  while (static_cast<int64_t>(passes.size()) < options.passes) {
    KlUpdateResult tried = PenalisedUpdate(start, dynamics, cost, old, now, options);
    const double kl = tried.kl;
    passes.push_back({.eta = now, .kl = kl});
    if (std::abs(kl - epsilon) <= options.tolerance * epsilon) {
      best = std::move(tried);
      status = KlStatus::kConverged;
      break;
    }
    if (kl < epsilon) {
      const bool least = now <= kLeastEta * 1.01;
      if (!best || now < best->eta) {
        best = std::move(tried);
      }
      if (least) {
        status = KlStatus::kInactive;
        break;
      }
    } else if (tried.status != KlStatus::kConverged) {
      failure = tried.status;
    }
    // Where no controller came of it eta has to grow too.
    const double step = kl - epsilon;
    if (options.dual == KlDual::kGradient && std::isfinite(kl)) {
      now = std::clamp(now + options.rate * step, kLeastEta, kGreatestEta);
    } else if (options.dual == KlDual::kLogGradient && std::isfinite(kl)) {
      now = std::clamp(now * std::exp(std::clamp(options.rate * step / epsilon, -10.0, 10.0)), kLeastEta, kGreatestEta);
    } else if (kl < epsilon) {
      high = now;
      now = std::max(std::sqrt(low * high), 0.1 * high);
    } else {
      if (now >= kGreatestEta) {
        break;
      }
      low = now;
      now = std::min(std::sqrt(low * high), 10 * low);
      if (now > 0.5 * kGreatestEta) {
        now = kGreatestEta;
      }
    }
  }
  if (!best) {
    const bool goes_on = options.dual != KlDual::kBracket && failure == KlStatus::kTooFar;
    return {.status = failure, .controller = old, .eta = goes_on ? now : eta, .passes = std::move(passes)};
  }
  best->status = status;
  if (options.min_std > 0) {
    best->controller = WithLeastStd(best->controller, options.min_std);
    best->expected_cost = ExpectedCost(cost, PropagateStates(start, dynamics, best->controller), best->controller);
  }
  best->passes = std::move(passes);
  return std::move(*best);
}

double StepGrowth(double predicted, double actual) {
  if (!(predicted > 0) || !std::isfinite(actual)) {
    return 0.1;
  }
  return std::clamp(predicted / (2 * std::max(1e-4 * predicted, predicted - actual)), 0.1, 5.0);
}

}  // namespace reverie
