#include "reverie/learners/local_model.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "reverie/control/shooting_problem.h"
#include "reverie/core/log.h"
#include "reverie/core/text.h"

namespace reverie {
namespace {

constexpr double kAfterFailure = 0.1;
// Beyond, noise over some fifty steps is next to constant, and its own deviation nothing to divide by.
constexpr double kMostSmoothing = 5;

// The symmetric matrices without their negative eigenvalues; those with a number that is not finite as they are.
torch::Tensor PositivePart(const torch::Tensor& matrices) {
  if (!torch::isfinite(matrices).all().item<bool>()) {
    return matrices;
  }
  const auto [values, vectors] = torch::linalg_eigh(0.5 * (matrices + matrices.transpose(1, 2)));
  return torch::matmul(vectors * values.clamp_min(0).unsqueeze(1), vectors.transpose(1, 2));
}

}  // namespace

std::vector<std::pair<std::string, LocalDynamics>> EnumNames(LocalDynamics) {
  return {{"fitted", LocalDynamics::kFitted}, {"derivatives", LocalDynamics::kDerivatives}};
}

std::vector<std::pair<std::string, LocalPrior>> EnumNames(LocalPrior) {
  return {{"none", LocalPrior::kNone}, {"gaussian", LocalPrior::kGaussian}, {"mixture", LocalPrior::kMixture}};
}

void LocalModelConfig::VisitPrior(Fields& fields) {
  fields("prior", prior,
         "what the fit of a step is drawn to: one Gaussian over the transitions of all steps, a mixture, or none");
  fields.When(
      {.key = "local.prior", .wanted = "not none", .holds = [this] { return prior != LocalPrior::kNone; }}, [&] {
        fields("prior_strength", prior_strength, "trajectories that it counts as", Above(0));
        fields("prior_trajectories", prior_trajectories, "the last so many are what it is fitted to", AtLeast(1));
      });
  fields.When({.key = "local.prior", .wanted = "mixture", .holds = [this] { return prior == LocalPrior::kMixture; }},
              [&] {
                fields("prior_clusters", prior_clusters, "most Gaussians of it", AtLeast(1));
                fields("rows_per_cluster", rows_per_cluster, "transitions for each of them, at least", AtLeast(1));
              });
}

void LocalModelConfig::Visit(Fields& fields) {
  fields("start_std", start_std, "standard deviation of the first controller's actions, about 0", Above(0));
  fields("noise_smoothing", noise_smoothing,
         "steps over which the noise of an episode's actions is smoothed; 0: each step has its own",
         Between(0, kMostSmoothing));
  fields("dynamics", dynamics, "of the last trajectories, or the simulator's own along their mean");
  fields.When({.key = "local.dynamics",
               .wanted = "fitted",
               .holds = [this] { return fits_more || dynamics == LocalDynamics::kFitted; }},
              [&] { VisitPrior(fields); });
  fields("kl_step", kl_step, "divergence from the last controller, a step of the episode", Above(0));
  fields(
      "growth_range", growth_range,
      "that divergence is so many times as large, at least and at most, by what the last updates gained of what they "
      "promised",
      Above(0));
  fields.Check([this] { return growth_range[0] <= 1 && growth_range[1] >= 1; },
               "a range with 1 inside, which is the first");
  fields("min_std", min_std, "least standard deviation of an action, in any direction; 0: it may fall to nothing",
         AtLeast(0));
  fields("entropy_weight", entropy_weight, "weight of the controller's entropy, in units of the reward", AtLeast(0));
  fields("dual", dual, "search for the multiplier of the divergence: by bracketing it, or by gradient steps");
  fields.When(
      {.key = "local.dual", .wanted = "gradient or log_gradient", .holds = [this] { return dual != KlDual::kBracket; }},
      [&] { fields("dual_rate", dual_rate, "rate of the gradient steps", Above(0)); });
}

int64_t LocalModelConfig::ClustersOf(int64_t rows) const {
  return prior == LocalPrior::kGaussian ? 1 : std::clamp<int64_t>(rows / rows_per_cluster, 1, prior_clusters);
}

LocalModel::LocalModel(const LocalModelConfig& config, int64_t horizon, int64_t states, int64_t controls,
                       TaskFunctions::Batched cost, const Rng& rng, Along along)
    : config_(config),
      cost_(std::move(cost)),
      along_(std::move(along)),
      generator_(MakeGenerator(rng, torch::kCPU)),
      rows_(torch::empty({0, states + controls + states}, torch::kFloat64)),
      controller_(LinearGaussianController::Noise(horizon, states, controls, config.start_std)),
      dynamics_({.mean = LinearDynamics::Of(horizon, states, controls),
                 .covariance = torch::zeros({horizon, states, states}, torch::kFloat64)}) {}

void LocalModel::Remember(const torch::Tensor& states, const torch::Tensor& controls) {
  rows_ = torch::cat({rows_, TransitionRows(states, controls)});
  const int64_t most = std::max(config_.prior_trajectories, states.size(0)) * controls.size(1);
  rows_ = rows_.slice(0, std::max<int64_t>(0, rows_.size(0) - most)).clone();
}

void LocalModel::ExpandAbout(const torch::Tensor& states, const torch::Tensor& controls, Fit* fit) const {
  const int64_t count = states.size(0);
  const int64_t horizon = controls.size(1);
  const int64_t n = states.size(2);
  const int64_t m = controls.size(2);
  const torch::Tensor x = states.slice(1, 0, horizon).flatten(0, 1);
  const torch::Tensor u = controls.flatten(0, 1);
  const torch::Tensor next = states.slice(1, 1).flatten(0, 1);
  const torch::Tensor jacobian = torch::cat({fit->dynamics.mean.a, fit->dynamics.mean.b}, 2).repeat({count, 1, 1});
  const StageExpansion stage = ExpandStageCost(cost_, x, u, next, jacobian);
  torch::Tensor values;
  {
    const torch::NoGradGuard no_grad;
    values = cost_(x, u, next);
  }
  // l(z) = 1/2 z^T H z + g^T z + c of absolute z = [x; u], averaged over the trajectories. Directions in which H is
  // negative are taken out of it, and the gradient at their mean kept.
  const torch::Tensor z = torch::cat({x, u}, 1);
  const torch::Tensor hz = torch::matmul(stage.hessian, z.unsqueeze(2)).squeeze(2);
  const auto mean = [&](const torch::Tensor& rows) {
    std::vector<int64_t> sizes{count, horizon};
    sizes.insert(sizes.end(), rows.sizes().begin() + 1, rows.sizes().end());
    return rows.view(sizes).mean(0);
  };
  const torch::Tensor z_mean = mean(z);
  const torch::Tensor h = mean(stage.hessian);
  const torch::Tensor positive = PositivePart(h);
  const torch::Tensor change = torch::matmul(positive - h, z_mean.unsqueeze(2)).squeeze(2);
  const torch::Tensor g = mean(stage.gradient - hz) - change;
  const torch::Tensor c =
      mean(values - (stage.gradient * z).sum(1) + 0.5 * (hz * z).sum(1)) + 0.5 * (change * z_mean).sum(1);
  QuadraticCost& cost = fit->cost;
  cost = QuadraticCost::Of(horizon, n, m);
  cost.xx.slice(0, 0, horizon).copy_(positive.slice(1, 0, n).slice(2, 0, n));
  cost.ux.copy_(positive.slice(1, n).slice(2, 0, n));
  cost.uu.copy_(positive.slice(1, n).slice(2, n));
  cost.x.slice(0, 0, horizon).copy_(g.slice(1, 0, n));
  cost.u.copy_(g.slice(1, n));
  cost.c.slice(0, 0, horizon).copy_(c);
  fit->mean_cost = values.sum().item<double>() / static_cast<double>(count);
}

LinearGaussianDynamics LocalModel::DynamicsOf(const torch::Tensor& states, const torch::Tensor& controls) {
  if (along_) {
    return along_(old_);
  }
  PriorOf prior_of;
  if (config_.prior != LocalPrior::kNone) {
    Remember(states, controls);
    mixture_.Fit(rows_, config_.ClustersOf(rows_.size(0)), generator_);
    prior_of = [this](const torch::Tensor& rows) { return mixture_.PriorOf(rows, config_.prior_strength); };
  }
  return FitLocalDynamics(states, controls, prior_of);
}

LocalModel::Fit LocalModel::FitTo(const torch::Tensor& states, const torch::Tensor& controls) {
  Fit fit{.dynamics = DynamicsOf(states, controls), .cost = {}, .start = FitStart(states.select(1, 0))};
  ExpandAbout(states, controls, &fit);
  return fit;
}

double LocalModel::Objective(const LinearGaussianController& p, const Pull* pull) const {
  const GaussianStates states = PropagateStates(fit_.start, fit_.dynamics, p);
  const double cost = ExpectedCost(fit_.cost, states, p);
  return pull == nullptr ? cost : cost + (pull->weights * KlDivergence(states, p, pull->network)).sum().item<double>();
}

Metrics LocalModel::Update(const torch::Tensor& states, const torch::Tensor& controls) {
  Learn(states, controls);
  if (const std::optional<Gain> gain = LastGain()) {
    ScaleStep(StepGrowth(gain->promised, gain->actual));
  }
  return Improve();
}

void LocalModel::Learn(const torch::Tensor& states, const torch::Tensor& controls, const LinearGaussianController* near,
                       const Pull* pull) {
  old_ = near != nullptr ? *near : controller_;
  fit_ = FitTo(states, controls);
  dynamics_ = fit_.dynamics;
  now_ = Objective(old_, pull);
  improved_ = failed_ = false;
}

std::optional<LocalModel::Gain> LocalModel::LastGain() const {
  return promised_
             ? std::optional(Gain{.promised = promised_->first - promised_->second, .actual = promised_->first - now_})
             : std::nullopt;
}

void LocalModel::ScaleStep(double factor) {
  growth_ = std::clamp(growth_ * factor, config_.growth_range[0], config_.growth_range[1]);
}

Metrics LocalModel::Improve(const Pull* pull) {
  const double epsilon = config_.kl_step * growth_ * static_cast<double>(old_.horizon());
  KlUpdateOptions options{.min_std = config_.min_std,
                          .entropy_weight = config_.entropy_weight,
                          .dual = config_.dual,
                          .rate = config_.dual_rate};
  QuadraticCost cost = fit_.cost;
  if (pull != nullptr) {
    for (torch::Tensor* part : {&cost.xx, &cost.ux, &cost.uu, &cost.x, &cost.u}) {
      *part = part->clone();
    }
    cost.u.add_(pull->duals);
    AddSurprise(pull->network, pull->weights, &cost);
    options.step_entropy = pull->weights;
  }
  KlUpdateResult update = KlUpdate(fit_.start, fit_.dynamics, cost, old_, epsilon, eta_, options);
  const bool usable = IsUsable(update.status);
  eta_ = update.eta;
  if (usable) {
    controller_ = std::move(update.controller);
    promised_ = {Objective(old_, pull), Objective(controller_, pull)};
    improved_ = true;
  } else {
    LogWarning(Text("the controller stays as it is: ", Text(update.status)));
    if (!improved_) {
      promised_.reset();
    }
    const bool shrinks = config_.dual == KlDual::kBracket || update.status != KlStatus::kTooFar;
    if (shrinks && !failed_) {
      growth_ = std::max(config_.growth_range[0], kAfterFailure * growth_);
      failed_ = true;
    }
  }
  Metrics metrics;
  metrics.Set("cost", fit_.mean_cost);
  metrics.Set("kl", update.kl);
  metrics.Set("eta", eta_);
  metrics.Set("passes", static_cast<double>(update.passes.size()));
  metrics.Set("growth", growth_);
  metrics.Set("std", controller_.covariance.diagonal(0, 1, 2).sqrt().mean().item<double>());
  metrics.Set("failed", usable ? 0 : 1);
  return metrics;
}

torch::Tensor LocalModel::DivergenceFrom(const LinearGaussianController& q) const {
  return KlDivergence(PropagateStates(fit_.start, fit_.dynamics, controller_), controller_, q);
}

void LocalModel::VisitState(StateVisitor& state) {
  state("generator", generator_);
  state("mixture", mixture_);
  state.Resizable("rows", rows_);
  state("controller", controller_);
  state("a", dynamics_.mean.a);
  state("b", dynamics_.mean.b);
  state("f", dynamics_.mean.f);
  state("w", dynamics_.covariance);
  state("eta", eta_);
  state("growth", growth_);
  bool promised = promised_.has_value();
  state("promised", promised);
  std::pair<double, double> values = promised_.value_or(std::pair(0.0, 0.0));
  state("promised_before", values.first);
  state("promised_after", values.second);
  promised_ = promised ? std::optional(values) : std::nullopt;
}

}  // namespace reverie
