#include "reverie/models/gaussian_networks.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>
#include <utility>

#include "imagination.h"
#include "soft_bounds.h"

namespace reverie {
namespace {

// FixedBounds.
constexpr double kLeastFixedLogVar = -10;
constexpr double kMostFixedLogVar = 2;

}  // namespace

GaussianNetworks::GaussianNetworks(const TransitionCodec& codec, const MlpShape& shape, Bounds bounds,
                                   Precision precision, const torch::Device& device)
    : codec_(codec), bounds_(std::move(bounds)), networks_(shape, precision, device) {}

GaussianNetworks::Bounds GaussianNetworks::FixedBounds(int64_t target_dim, const torch::Device& device) {
  const auto all = [&](double bound) { return torch::full({1, target_dim}, bound, torch::device(device)); };
  return {.max_log_var = all(kMostFixedLogVar), .min_log_var = all(kLeastFixedLogVar)};
}

torch::Tensor GaussianNetworks::Nll(const torch::Tensor& output, const torch::Tensor& targets) const {
  const torch::Tensor log_var = LogVar(output);
  const torch::Tensor nll =
      0.5 * ((Mean(output) - targets).square() * torch::exp(-log_var) + log_var + std::log(2 * std::numbers::pi));
  return (nll * (codec_.standardizer().target_scale() != 0)).sum(-1);
}

torch::Tensor GaussianNetworks::MixtureNll(const torch::Tensor& inputs, const torch::Tensor& targets) const {
  const torch::NoGradGuard no_grad;
  const torch::Tensor of_rows = torch::logsumexp(-Nll(networks_.Infer(inputs), targets), 0);
  const torch::Tensor count = (codec_.standardizer().target_scale() != 0).sum().clamp_min(1);
  return (std::log(static_cast<double>(hypotheses())) - of_rows).mean(0, /*keepdim=*/true) / count;
}

torch::Tensor GaussianNetworks::LogVar(const torch::Tensor& output) const {
  const torch::Tensor raw = output.slice(-1, codec_.target_dim());
  return SoftlyBetween(bounds_.min_log_var, bounds_.max_log_var, raw);
}

GaussianPrediction GaussianNetworks::InTaskUnits(const torch::Tensor& output) const {
  const Standardizer& units = codec_.standardizer();
  const torch::Tensor mean = units.Target(Mean(output));
  const torch::Tensor& scale = units.target_scale();
  return {.mean = mean, .var = has_noise() ? torch::exp(LogVar(output)) * scale * scale : torch::zeros_like(mean)};
}

GaussianPrediction GaussianNetworks::PredictFrom(const torch::Tensor& seen) const {
  const torch::Tensor inputs = codec_.standardizer().Inputs(seen);
  return InTaskUnits(torch::GradMode::is_enabled() ? networks_.mlp().Forward(inputs) : networks_.Infer(inputs));
}

void GaussianNetworks::Step(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws,
                            ModelSample& next) const {
  const torch::NoGradGuard no_grad;
  const int64_t rows = obs.size(0);
  const int64_t share = RowsPerHypothesis(rows, hypotheses());
  const int64_t target_dim = codec_.target_dim();
  const Standardizer& units = codec_.standardizer();
  torch::Tensor inputs = torch::empty({hypotheses(), share, codec_.input_dim()}, obs.options());
  DealInputs(codec_.spec().Features(obs), action, draws.deal, units.input_mean(), units.input_std(), inputs);
  const torch::Tensor output = networks_.Infer(inputs);
  if (has_noise()) {
    DrawTargets(output, draws.noise.view({hypotheses(), share, target_dim}), draws.deal,
                {.max_log_var = bounds_.max_log_var,
                 .min_log_var = bounds_.min_log_var,
                 .offset = units.target_offset(),
                 .scale = units.target_scale(),
                 .add_obs = codec_.adds_obs()},
                obs, next);
    return;
  }
  const torch::Tensor dealt = output.view({-1, target_dim}).narrow(0, 0, rows);
  codec_.Decode(units.Target(torch::empty_like(dealt).index_copy_(0, draws.deal, dealt)), obs).CopyTo(next);
  next.hypothesis.copy_(HypothesisOfRows(draws.deal, hypotheses()));
}

ModelStep GaussianNetworks::Next(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws) const {
  const torch::Tensor output = networks_.mlp().Forward(DealRows(codec_.Inputs(obs, action), draws.deal, hypotheses()));
  torch::Tensor y = Mean(output);
  if (has_noise()) {
    y = y + torch::exp(0.5 * LogVar(output)) * draws.noise.view(y.sizes());
  }
  return codec_.Decode(codec_.standardizer().Target(CollectRows(y, draws.deal)), obs);
}

}  // namespace reverie
