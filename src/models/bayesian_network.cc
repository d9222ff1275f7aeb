#include "reverie/models/bayesian_network.h"

#include <ATen/ATen.h>

#include <cmath>

namespace reverie {
namespace {

// s is at first this share of the means' standard deviation.
constexpr double kFirstSpread = 0.05;
// Of the step size of spreads and noise, times the means': they have to come far, from a small spread to the prior's or
// from a first noise by many powers of e, in few minibatches.
constexpr double kSpreadSpeed = 10;
constexpr double kFirstLogVar = -1;

}  // namespace

std::vector<std::pair<std::string, WeightEstimator>> EnumNames(WeightEstimator) {
  return {{"local", WeightEstimator::kLocal}, {"flipout", WeightEstimator::kFlipout}};
}

void BayesianNetworkConfig::Visit(Fields& fields) {
  fields("draws", draws, "networks drawn at each fit, which predict", AtLeast(1));
  fields("hidden", hidden, "widths of the hidden layers; []: a linear model", AtLeast(1));
  fields("prior_scale", prior_scale, "the prior's standard deviation of a weight, times the root of its layer's inputs",
         Above(0));
  fields("kl_scale", kl_scale, "weight of the divergence from the prior; below 1: more is believed of the rows",
         AtLeast(0));
  fields("warm_up", warm_up, "gradient steps of the model's first in which that weight grows from 0", AtLeast(0));
  fields("estimator", estimator, "how weights are drawn in training: a unit's input (local), or flipout");
  fields("samples", samples, "networks drawn for each row of a minibatch", AtLeast(1));
  fields("alpha", alpha, "0: variational inference; above: of the alpha-divergence, which covers more of the posterior",
         Between(0, 1));
  fields.Check([this] { return alpha == 0 || samples > 1; }, "0, as samples is 1 and all alpha are then the same");
  fields("learning_rate", learning_rate, "Adam's step size", Above(0));
  fields("batch_size", batch_size, "rows in a minibatch", AtLeast(1));
  holdout.Visit(fields);
  fields("target", target, "what is predicted: the change of the observation, or the next one");
}

ModelCard BayesianNetworkConfig::Card() const {
  return {.hypotheses = draws,
          .hypotheses_key = "model.draws",
          .networks = draws,
          .has_variance = true,
          .variance_is_constant = true,
          .has_holdout = holdout.ratio > 0,
          .is_exported = true};
}

BayesianNetwork::BayesianNetwork(const BayesianNetworkConfig& config, const ModelSpec& spec, const Rng& rng,
                                 const torch::Device& device)
    : NetworkPosterior({.draws = config.draws,
                        .hidden = config.hidden,
                        .batch_size = config.batch_size,
                        .holdout = config.holdout,
                        .target = config.target},
                       "weights", spec, rng, device),
      config_(config),
      parameters_(Shape(config.hidden, spec, 1, spec.target_dim()).ParameterCount(), device),
      spread_parameters_(parameters_.values().size(0) + spec.target_dim(), device),
      mean_(Shape(config.hidden, spec, 1, spec.target_dim()), parameters_),
      spread_(Shape(config.hidden, spec, 1, spec.target_dim()), spread_parameters_),
      raw_log_var_(spread_parameters_.Take({1, 1, spec.target_dim()}).Leaf()),
      means_(mean_.leaves()),
      spreads_(spread_.leaves()),
      adam_(parameters_, config.learning_rate),
      spread_adam_(spread_parameters_, kSpreadSpeed * config.learning_rate),
      steps_(torch::zeros({}, torch::device(device))) {
  const torch::NoGradGuard no_grad;
  torch::Generator generator = MakeGenerator(rng.Split("init"), device);
  mean_.mlp().InitTruncatedNormal(generator);
  raw_log_var_.fill_(kFirstLogVar);
  for (size_t i = 0; i < means_.size(); ++i) {
    const auto inputs = static_cast<double>(mean_.mlp().weights()[i / 2].size(1));
    const double spread = kFirstSpread / (2 * std::sqrt(inputs));
    spreads_[i].fill_(std::log(std::expm1(spread)));
    prior_stds_.push_back(config.prior_scale / std::sqrt(inputs));
    leaves_.insert(leaves_.end(), {means_[i], spreads_[i]});
  }
  leaves_.push_back(raw_log_var_);
  draws() = torch::randn({config.draws, mean_.mlp().shape().ParameterCount()}, generator, torch::device(device));
  SetHypotheses();
}

torch::Tensor BayesianNetwork::WithLogVar(const torch::Tensor& mean) const {
  return torch::cat({mean, raw_log_var_.expand_as(mean)}, -1);
}

torch::Tensor BayesianNetwork::log_var() const {
  const torch::NoGradGuard no_grad;
  return networks().LogVar(WithLogVar(torch::zeros_like(raw_log_var_))).flatten();
}

BayesianNetwork::WeightNoise BayesianNetwork::DrawNoise(int64_t rows, torch::Generator& generator) const {
  int64_t inputs = 0;
  int64_t units = 0;
  for (const torch::Tensor& weight : mean_.mlp().weights()) {
    inputs += weight.size(1);
    units += weight.size(2);
  }
  const int64_t drawn = config_.samples * rows;
  const auto options = parameters_.values().options();
  const auto signs = [&](int64_t count) {
    return torch::empty({1, drawn, count}, options).random_(0, 2, generator).mul_(2).sub_(1);
  };
  if (config_.estimator == WeightEstimator::kLocal) {
    return {.normal = torch::empty({1, drawn, units}, options).normal_(0, 1, generator)};
  }
  return {.normal = torch::empty({draws().size(1)}, options).normal_(0, 1, generator),
          .input_signs = signs(inputs),
          .unit_signs = signs(units)};
}

torch::Tensor BayesianNetwork::Forward(torch::Tensor h, const WeightNoise& noise) const {
  int64_t first_input = 0;
  int64_t first_unit = 0;
  int64_t first_weight = 0;
  for (size_t l = 0; 2 * l < means_.size(); ++l) {
    const torch::Tensor& weight = means_[2 * l];
    const torch::Tensor& bias = means_[2 * l + 1];
    const torch::Tensor weight_std = torch::softplus(spreads_[2 * l]);
    const torch::Tensor bias_std = torch::softplus(spreads_[2 * l + 1]);
    const int64_t units = weight.size(2);
    if (l > 0) {
      h = torch::silu(h);
    }
    const torch::Tensor centre = torch::baddbmm(bias, h, weight);
    if (config_.estimator == WeightEstimator::kLocal) {
      const torch::Tensor variance = torch::baddbmm(bias_std.square(), h.square(), weight_std.square());
      h = centre + variance.sqrt() * noise.normal.narrow(2, first_unit, units);
    } else {
      const auto of = [&](const torch::Tensor& std) {
        const torch::Tensor own = noise.normal.narrow(0, first_weight, std.numel()).view(std.sizes());
        first_weight += std.numel();
        return std * own;
      };
      const torch::Tensor weight_part = of(weight_std);
      const torch::Tensor bias_part = of(bias_std);
      const torch::Tensor turned = h * noise.input_signs.narrow(2, first_input, h.size(2));
      h = centre + torch::baddbmm(bias_part, turned, weight_part) * noise.unit_signs.narrow(2, first_unit, units);
      first_input += weight.size(1);
    }
    first_unit += units;
  }
  return h;
}

torch::Tensor BayesianNetwork::Nll(const torch::Tensor& inputs, const torch::Tensor& targets,
                                   const WeightNoise& noise) const {
  const int64_t samples = config_.samples;
  const torch::Tensor mean = Forward(inputs.repeat({1, samples, 1}), noise).view({samples, inputs.size(1), -1});
  const torch::Tensor nll = networks().Nll(WithLogVar(mean), targets);  // [samples, B]
  if (config_.alpha == 0) {
    return nll.mean();
  }
  return (std::log(static_cast<double>(samples)) - torch::logsumexp(-config_.alpha * nll, 0)).mean() / config_.alpha;
}

torch::Tensor BayesianNetwork::Kl() const {
  torch::Tensor sum;
  for (size_t i = 0; i < means_.size(); ++i) {
    const torch::Tensor std = torch::softplus(spreads_[i]);
    const double prior = prior_stds_[i];
    const torch::Tensor own = ((std.square() + means_[i].square()) / (2 * prior * prior) - torch::log(std)).sum() +
                              static_cast<double>(std.numel()) * (std::log(prior) - 0.5);
    sum = sum.defined() ? sum + own : own;
  }
  return sum;
}

void BayesianNetwork::SetHypotheses() {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> drawn;
  int64_t first = 0;
  for (size_t i = 0; i < means_.size(); ++i) {
    const torch::Tensor own =
        draws().narrow(1, first, means_[i].numel()).view({-1, means_[i].size(1), means_[i].size(2)});
    first += means_[i].numel();
    drawn.push_back(means_[i] + torch::softplus(spreads_[i]) * own);
  }
  std::vector<torch::Tensor> weights;
  std::vector<torch::Tensor> biases;
  for (size_t i = 0; i < drawn.size(); i += 2) {
    const bool is_last = i + 2 == drawn.size();
    weights.push_back(is_last ? torch::cat({drawn[i], torch::zeros_like(drawn[i])}, -1) : drawn[i]);
    biases.push_back(is_last ? WithLogVar(drawn[i + 1]) : drawn[i + 1]);
  }
  networks().weights().Take(weights, biases);
}

torch::Tensor BayesianNetwork::GradientStep(const torch::Tensor& inputs, const torch::Tensor& targets,
                                            torch::Generator& generator) {
  const WeightNoise noise = DrawNoise(inputs.size(1), generator);
  const torch::Tensor weight =
      config_.warm_up == 0 ? torch::ones_like(steps_) : (steps_ / static_cast<double>(config_.warm_up)).clamp_max(1);
  const torch::AutoGradMode with_gradients(true);
  const torch::Tensor loss = Nll(inputs, targets, noise) + weight * Complexity();
  BackPropagate(loss, {&parameters_, &spread_parameters_}, leaves_);
  const torch::NoGradGuard no_grad;
  adam_.Step();
  spread_adam_.Step();
  steps_.add_(1);
  return loss.detach();
}

std::vector<torch::Tensor> BayesianNetwork::Learned() const {
  std::vector<torch::Tensor> learned = mean_.mlp().parameters();
  for (const torch::Tensor& spread : spread_.mlp().parameters()) {
    learned.push_back(spread);
  }
  learned.push_back(raw_log_var_.detach());
  return learned;
}

int64_t BayesianNetwork::Unjudged() const { return config_.warm_up - static_cast<int64_t>(steps_.item<float>()); }

void BayesianNetwork::AddMetrics(Metrics& metrics) const {
  metrics.Set("grad_norm", parameters_.grads().norm().item<double>());  // of the last minibatch
  metrics.Set("kl", (Kl() / train_rows()).item<double>());
  for (size_t l = 0; 2 * l < means_.size(); ++l) {
    const torch::Tensor signal = means_[2 * l].abs() / torch::softplus(spreads_[2 * l]);
    metrics.Set("signal_" + std::to_string(l + 1), signal.median().item<double>());
  }
}

void BayesianNetwork::VisitLearned(StateVisitor& state) {
  state("parameters", parameters_.values());
  state("spread_parameters", spread_parameters_.values());
  state("adam", adam_);
  state("spread_adam", spread_adam_);
  state("steps", steps_);
}

}  // namespace reverie
