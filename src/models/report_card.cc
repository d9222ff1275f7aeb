#include "reverie/models/report_card.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "reverie/data/column_statistics.h"
#include "reverie/models/model_env.h"
#include "reverie/models/scores.h"

namespace reverie {
namespace {

constexpr int64_t kRowsAtOnce = 1024;
constexpr double kLargeErrorQuantile = 0.9;
constexpr double kOutlierDensity = 1.5e-6;

constexpr int64_t kMostStarts = 100;
constexpr int64_t kLeastParticles = 40;
constexpr double kTrajectoryLevel = 0.9;

torch::Tensor Doubles(const torch::Tensor& tensor) { return tensor.to(torch::kCPU, torch::kFloat64); }

// What is not finite, as nothing can be told from these rows, is left out.
void SetFinite(const std::string& name, double value, Metrics& metrics) {
  if (std::isfinite(value)) {
    metrics.Set(name, value);
  }
}

double MeanOf(const torch::Tensor& x) { return x.mean().item<double>(); }

// What the model is to predict of the rows, [N, D].
torch::Tensor TargetsOf(const DynamicsModel& model, const TransitionBatch& rows) {
  const torch::Tensor obs = rows.obs();
  torch::Tensor targets = rows.next_obs() - model.DecodeObs(torch::zeros_like(obs), obs);
  return model.learns_reward() ? torch::cat({targets, rows.reward().unsqueeze(1)}, 1) : targets;
}

// Predictions of the d targets that vary, in units of their deviations.
class StandardPredictions {
 public:
  StandardPredictions(const DynamicsModel& model, const TransitionBatch& rows)
      : has_noise_(model.noise_dim() > 0), has_density_(has_noise_ && model.has_mixture()) {
    const torch::NoGradGuard no_grad;
    unit_ = Doubles(model.target_std());
    varying_ = unit_.nonzero().flatten();
    unit_ = unit_.index_select(0, varying_);
    std::vector<torch::Tensor> means, stds, components, component_stds, log_weights, densities;
    for (int64_t begin = 0; begin < rows.size(); begin += kRowsAtOnce) {
      const TransitionBatch some{rows.layout, rows.rows.narrow(0, begin, std::min(kRowsAtOnce, rows.size() - begin))};
      const MixturePrediction mixture = model.PredictMixture(some.obs(), some.action());
      // Of draws the moments are the model's own, of noise that hypotheses share: what they say apart is then theirs.
      const GaussianPrediction moments =
          model.has_mixture() ? MomentsOf(mixture) : model.Predict(some.obs(), some.action(), Members::kElites);
      means.push_back(Standard(moments.mean));
      stds.push_back(Standard(moments.var.sqrt()));
      if (!model.is_gaussian()) {
        components.push_back(Standard(mixture.mean).flatten(0, 1));
        component_stds.push_back(Standard(mixture.var.sqrt()).flatten(0, 1));
        log_weights.push_back(Doubles(mixture.log_weight).flatten(0, 1));
      }
      if (const std::optional<torch::Tensor> density = model.LogDensity(some)) {
        densities.push_back(Doubles(*density));
      }
    }
    means_ = torch::cat(means, 1);
    stds_ = torch::cat(stds, 1);
    center_ = means_.mean(0);
    mixtures_ = {.mean = means_, .std = stds_};
    if (!model.is_gaussian()) {
      mixtures_ = {.mean = torch::cat(components, 1),
                   .std = torch::cat(component_stds, 1),
                   .log_weight = torch::cat(log_weights, 1) - std::log(static_cast<double>(means_.size(0)))};
    }
    if (!densities.empty()) {
      row_density_ = torch::logsumexp(torch::cat(densities, 1), 0) - std::log(static_cast<double>(means_.size(0))) +
                     unit_.log().sum();
    }
  }

  // log p [N] of all of a row's targets together, or nothing.
  std::optional<torch::Tensor> LogDensityOf(const torch::Tensor& y) const {
    return has_density_ ? LogDensityOfRows(mixtures_, y) : row_density_;
  }

  const GaussianMixtures& mixtures() const { return mixtures_; }  // over all hypotheses
  const torch::Tensor& center() const { return center_; }         // the mixtures' means, [N, d]
  const torch::Tensor& varying() const { return varying_; }       // [d]: which of the model's targets they are
  bool has_density() const { return has_density_; }               // that of the mixtures

  // Targets [..., D] as these are: [..., d].
  torch::Tensor Standard(const torch::Tensor& targets) const {
    return Doubles(targets).index_select(-1, varying_) / unit_;
  }

  // u [N] of each kind, variances averaged over targets.
  std::vector<std::pair<std::string, torch::Tensor>> Uncertainties() const {
    const torch::Tensor epistemic = (means_ - center_).square().mean(0).mean(1);
    const torch::Tensor aleatoric = stds_.square().mean(0).mean(1);
    std::vector<std::pair<std::string, torch::Tensor>> kinds;
    const bool disagrees = means_.size(0) > 1;
    if (disagrees) {
      kinds.emplace_back("epistemic", epistemic.sqrt());
    }
    if (has_noise_) {
      kinds.emplace_back("aleatoric", aleatoric.sqrt());
    }
    if (disagrees && has_noise_) {
      kinds.emplace_back("total", (epistemic + aleatoric).sqrt());
    }
    return kinds;
  }

 private:
  bool has_noise_, has_density_;
  std::optional<torch::Tensor> row_density_;
  torch::Tensor unit_, varying_;
  torch::Tensor means_, stds_;  // of each hypothesis, [M, N, d]
  torch::Tensor center_;
  GaussianMixtures mixtures_;
};

// The mean over targets and rows of -log N(y; mean of the known targets, 1).
double NllOfOneGaussian(const torch::Tensor& known, const torch::Tensor& y) {
  const torch::Tensor mean = known.mean(0).expand_as(y).unsqueeze(0);
  return -MeanOf(LogDensity({.mean = mean, .std = torch::ones_like(mean)}, y));
}

// How many targets move in the rows that rested in training.
int64_t Unforeseen(const DynamicsModel& model, const TransitionBatch& rows) {
  const torch::Tensor moves =
      StatisticsOfColumns(TargetsOf(model, rows),
                          ColumnMagnitudes(rows.next_obs_reward()).slice(0, 0, model.target_std().size(0)))
          .std != 0;
  return moves.logical_and(model.target_std() == 0).sum().item<int64_t>();
}

// Numbers of the d targets among all D.
torch::Tensor AmongAll(const torch::Tensor& some, const StandardPredictions& predicted, int64_t targets) {
  return torch::full({targets}, NAN, torch::kFloat64).index_copy_(0, predicted.varying(), some);
}

// Where trajectories of so many steps begin that stay in one episode: at most kMostStarts, evenly.
torch::Tensor StartsOf(const TransitionBatch& rows, int64_t steps) {
  const int64_t count = rows.size() - steps + 1;
  if (count < 1) {
    return torch::empty({0}, torch::kInt64);
  }
  const torch::Tensor ends = torch::logical_or(rows.terminated() > 0, rows.truncated() > 0).to(torch::kInt64).cpu();
  const torch::Tensor ended_before = torch::cat({torch::zeros({1}, torch::kInt64), ends.cumsum(0)});
  const torch::Tensor starts =
      (ended_before.narrow(0, steps - 1, count) == ended_before.narrow(0, 0, count)).nonzero().flatten();
  const int64_t wanted = std::min(starts.numel(), kMostStarts);
  return wanted == 0 ? starts : starts.index_select(0, (torch::arange(wanted) * starts.numel()).div(wanted, "floor"));
}

// The share of observations, after `horizon` steps from those starts, in the central part of particles that keep their
// hypotheses. varies: the observations that are looked at.
double TrajectoryCoverage(const DynamicsModel& model, const TransitionBatch& rows, const torch::Tensor& starts,
                          const torch::Tensor& varies, int64_t horizon, torch::Generator& generator) {
  const int64_t hypotheses = model.hypotheses().size(0);
  const int64_t particles = RowsPerHypothesis(kLeastParticles, hypotheses) * hypotheses;
  const int64_t count = particles * starts.numel();  // particle by particle, so that a hypothesis has whole ones
  const torch::Tensor deal = torch::arange(count, model.hypotheses().options());
  torch::Tensor obs = rows.obs().index_select(0, starts).repeat({particles, 1});
  ModelSample next{.next_obs = torch::empty_like(obs),
                   .reward = model.learns_reward() ? torch::empty({count}, obs.options()) : torch::Tensor(),
                   .hypothesis = torch::empty({count}, deal.options())};
  for (int64_t t = 0; t < horizon; ++t) {
    const torch::Tensor action = rows.action().index_select(0, starts + t).repeat({particles, 1});
    model.Step(obs, action, DrawNoise(model, deal, generator), next);
    obs.copy_(next.next_obs);
  }
  const torch::Tensor real = rows.next_obs().index_select(0, starts + (horizon - 1));
  // A particle that is not a number is on neither side, as if it were far above.
  const torch::Tensor imagined = torch::nan_to_num(obs.view({particles, starts.numel(), -1}), INFINITY);
  const torch::Tensor below = (imagined < real).to(torch::kFloat64).add_((imagined == real).to(torch::kFloat64), 0.5);
  const torch::Tensor level = (below.sum(0) + 0.5) / static_cast<double>(particles + 1);
  return CentralCoverage(Doubles(level.index_select(1, varies)), kTrajectoryLevel);
}

}  // namespace

StepScores ScoreSteps(const DynamicsModel& model, const TransitionBatch& rows, const TransitionBatch& known) {
  const int64_t targets = model.target_std().size(0);
  const StandardPredictions predicted(model, rows);
  StepScores scores;
  Metrics& overall = scores.overall;
  scores.crps = scores.rmse = scores.coverage_90 = torch::full({targets}, NAN, torch::kFloat64);
  if (const int64_t unforeseen = Unforeseen(model, rows); unforeseen > 0) {
    overall.Set("unforeseen", static_cast<double>(unforeseen));
  }
  if (predicted.varying().numel() == 0) {
    return scores;  // everything was predicted to stay as it is
  }
  const torch::Tensor y = predicted.Standard(TargetsOf(model, rows));
  const GaussianMixtures& mixtures = predicted.mixtures();
  const torch::Tensor log_density = predicted.has_density() ? LogDensity(mixtures, y) : torch::Tensor();
  if (const std::optional<torch::Tensor> of_rows = predicted.LogDensityOf(y)) {
    const double nll = -MeanOf(*of_rows) / static_cast<double>(y.size(1));
    SetFinite(model.density_is_bound() ? "nll_bound" : "nll", nll, overall);
    if (!model.density_is_bound() && known.rows.defined() && known.size() > 0) {
      SetFinite("log_likelihood_ratio", NllOfOneGaussian(predicted.Standard(TargetsOf(model, known)), y) - nll,
                overall);
    }
  }
  if (predicted.has_density()) {
    scores.nll = AmongAll(-log_density.mean(0), predicted, targets);
  }
  const torch::Tensor crps = Crps(mixtures, y);
  const torch::Tensor square = (predicted.center() - y).square();
  const torch::Tensor error = square.mean(1);
  SetFinite("crps", MeanOf(crps), overall);
  SetFinite("rmse", std::sqrt(MeanOf(square)), overall);
  const std::vector<std::pair<std::string, torch::Tensor>> uncertainties = predicted.Uncertainties();
  for (const auto& [name, u] : uncertainties) {
    SetFinite(name, std::sqrt(MeanOf(u.square())), overall);
  }
  const torch::Tensor levels = Cdf(mixtures, y);
  for (const int64_t percent : {50, 90, 95}) {
    overall.Set("coverage_" + std::to_string(percent), CentralCoverage(levels, static_cast<double>(percent) / 100));
  }
  SetFinite("calibration_error", CalibrationError(levels), overall);
  SetFinite("level_distance", DistanceFromUniform(levels), overall);
  if (predicted.has_density()) {
    const torch::Tensor is_outlier = (log_density >= std::log(kOutlierDensity)).logical_not();
    overall.Set("outliers", MeanOf(is_outlier.to(torch::kFloat64)));
  }
  const torch::Tensor is_large = error > error.quantile(kLargeErrorQuantile);
  for (const auto& [name, u] : uncertainties) {
    SetFinite("error_auroc_" + name, Auroc(u.masked_select(is_large), u.masked_select(is_large.logical_not())),
              overall);
    SetFinite("error_correlation_" + name, RankCorrelation(u, error), overall);
  }
  scores.crps = AmongAll(crps.mean(0), predicted, targets);
  scores.rmse = AmongAll(square.mean(0).sqrt(), predicted, targets);
  scores.coverage_90 =
      AmongAll(((2 * levels - 1).abs() <= kTrajectoryLevel).to(torch::kFloat64).mean(0), predicted, targets);
  return scores;
}

Metrics IntervalWidths(const DynamicsModel& model, const TransitionBatch& rows) {
  const StandardPredictions predicted(model, rows);
  Metrics metrics;
  if (predicted.varying().numel() > 0) {
    for (const int64_t percent : {50, 90, 95}) {
      const double tail = 0.5 - static_cast<double>(percent) / 200;
      SetFinite("width_" + std::to_string(percent),
                MeanOf(Quantile(predicted.mixtures(), 1 - tail) - Quantile(predicted.mixtures(), tail)), metrics);
    }
  }
  return metrics;
}

Metrics ScoreTrajectories(const DynamicsModel& model, const TransitionBatch& rows, const std::vector<int64_t>& horizons,
                          const Rng& rng) {
  const torch::NoGradGuard no_grad;
  Metrics metrics = OpenLoopError(model, rows, horizons);
  for (const int64_t h : horizons) {
    if (const std::optional<double> error = metrics.Find("open_loop_error_" + std::to_string(h))) {
      SetFinite("r2_" + std::to_string(h), 1 - *error * *error, metrics);
    }
  }
  torch::Generator generator = MakeGenerator(rng, rows.rows.device());
  const torch::Tensor varies = (model.target_std().slice(0, 0, rows.layout.obs_dim) != 0).nonzero().flatten();
  for (const int64_t h : horizons) {
    const torch::Tensor starts = StartsOf(rows, h).to(rows.rows.device());
    if (starts.numel() > 0 && varies.numel() > 0) {
      metrics.Set("trajectory_coverage_" + std::to_string(h),
                  TrajectoryCoverage(model, rows, starts, varies, h, generator));
      metrics.Set("trajectory_starts_" + std::to_string(h), static_cast<double>(starts.numel()));
    }
  }
  return metrics;
}

Metrics ScoreNovelty(const DynamicsModel& model, const TransitionBatch& rows, const TransitionBatch& elsewhere) {
  const StandardPredictions here(model, rows);
  const StandardPredictions there(model, elsewhere);
  Metrics metrics;
  if (here.varying().numel() > 0) {
    const auto us = there.Uncertainties();
    auto u = us.begin();
    for (const auto& [name, u_here] : here.Uncertainties()) {  // the same kinds, by model and not by rows
      SetFinite("novelty_auroc_" + name, Auroc((u++)->second, u_here), metrics);
    }
  }
  return metrics;
}

TransitionBatch WithUniformActions(const TransitionBatch& rows, torch::Generator& generator) {
  TransitionBatch others{rows.layout, rows.rows.clone()};
  others.action().uniform_(-1, 1, generator);
  return others;
}

TransitionBatch WithPushedStates(const TransitionBatch& rows, double deviations, torch::Generator& generator) {
  TransitionBatch others{rows.layout, rows.rows.clone()};
  const torch::Tensor signs = torch::empty(rows.obs().sizes(), rows.rows.options()).uniform_(-1, 1, generator).sign_();
  others.obs().addcmul_(signs, StatisticsOfColumns(rows.obs()).std.expand_as(signs), deviations);
  return others;
}

}  // namespace reverie
