#include "reverie/models/mixture_ensemble.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <numbers>
#include <utility>

#include "minibatch_fit.h"
#include "soft_bounds.h"

namespace reverie {
namespace {

// Softly, of what a component's logarithm of the variance is.
constexpr double kLeastLogVar = -10;
constexpr double kMostLogVar = 2;

MlpShape MixtureShape(const MixtureEnsembleConfig& config, const ModelSpec& spec) {
  const int64_t outputs = config.components * (1 + 2 * spec.target_dim());
  return {.members = config.members,
          .widths = Widths(spec.input_dim(), config.hidden, outputs),
          .activation = Activation::kSilu};
}

torch::Tensor LogVar(const torch::Tensor& raw) { return SoftlyBetween(kLeastLogVar, kMostLogVar, raw); }

}  // namespace

void MixtureEnsembleConfig::Visit(Fields& fields) {
  fields("members", members, "networks in the ensemble", AtLeast(1));
  fields("components", components, "Gaussians in a network's mixture", AtLeast(1));
  fields("hidden", hidden, "widths of the hidden layers", AtLeast(1));
  fields.Check([this] { return !hidden.empty(); }, "at least one hidden layer");
  fields("learning_rate", learning_rate, "Adam's step size", Above(0));
  fields("batch_size", batch_size, "rows per member in a minibatch", AtLeast(1));
  fields("weight_decay", weight_decay, "L2 factor per layer, times 0.5 |W|^2: one for each hidden layer and the output",
         AtLeast(0));
  fields.Check([this] { return weight_decay.size() == hidden.size() + 1; },
               "one number for each hidden layer and one for the output");
  holdout.Visit(fields);
  fields("target", target, "what is predicted: the change of the observation, or the next one");
}

ModelCard MixtureEnsembleConfig::Card() const {
  return {.hypotheses = members,
          .hypotheses_key = "model.members",
          .networks = members,
          .has_variance = true,
          .has_holdout = holdout.ratio > 0,
          .is_gaussian = false,
          .has_derivatives = false};
}

MixtureEnsemble::MixtureEnsemble(const MixtureEnsembleConfig& config, const ModelSpec& spec, const Rng& rng,
                                 const torch::Device& device)
    : config_(config),
      codec_(spec, config.target, device),
      parameters_(MixtureShape(config, spec).ParameterCount(), device),
      mlp_(MixtureShape(config, spec), parameters_),
      networks_(MixtureShape(config, spec), Precision::kFloat32, device),
      adam_(parameters_, config.learning_rate, DecayPerLayer(mlp_, parameters_, config.weight_decay)),
      fit_(std::make_unique<MinibatchFit>("the mixtures' minibatch", config.members, config.batch_size,
                                          codec_.input_dim(), codec_.target_dim(), device)) {
  torch::Generator generator = MakeGenerator(rng.Split("init"), device);
  mlp_.InitTruncatedNormal(generator);
  // Components that begin apart, over the range of the targets.
  torch::Tensor biases = mlp_.biases().back();
  Of(biases).mean.normal_(0, 1, generator);
  hypotheses_ = torch::arange(config.members, torch::dtype(torch::kInt64).device(device));
  networks_.Take(mlp_, hypotheses_);
  holdout_ = TransitionBatch::Empty(spec.layout, 0, device);
}

MixtureEnsemble::~MixtureEnsemble() = default;

MixtureEnsemble::Components MixtureEnsemble::Of(const torch::Tensor& output) const {
  const int64_t count = config_.components;
  const int64_t dim = codec_.target_dim();
  const auto of_each = [&](int64_t begin) {
    return output.narrow(-1, begin, count * dim).unflatten(-1, at::IntArrayRef({count, dim}));
  };
  return {.logits = output.narrow(-1, 0, count), .mean = of_each(count), .raw = of_each(count * (1 + dim))};
}

torch::Tensor MixtureEnsemble::Nll(const torch::Tensor& output, const torch::Tensor& targets) const {
  const Components parts = Of(output);
  const torch::Tensor log_var = LogVar(parts.raw);
  const torch::Tensor z2 = (targets.unsqueeze(-2) - parts.mean).square() * torch::exp(-log_var);
  const torch::Tensor varies = codec_.standardizer().target_scale() != 0;
  const torch::Tensor log_density = -0.5 * (z2 + log_var + std::log(2 * std::numbers::pi)) * varies;
  return -torch::logsumexp(torch::log_softmax(parts.logits, -1) + log_density.sum(-1), -1) / varies.sum().clamp_min(1);
}

torch::Tensor MixtureEnsemble::ComputeGradients(const torch::Tensor& inputs, const torch::Tensor& targets) {
  EnsembleMlp::Tape& tape = inputs.size(1) == config_.batch_size ? tape_ : tail_tape_;
  const torch::Tensor output = mlp_.Forward(inputs, tape).detach().requires_grad_();
  const torch::AutoGradMode with_gradients(true);
  const torch::Tensor loss = Nll(output, targets).mean(1).sum();
  const torch::Tensor grad = torch::autograd::grad({loss}, {output}).front();
  const torch::NoGradGuard no_grad;
  mlp_.Backward(grad, tape);
  return loss.detach();
}

MinibatchWork MixtureEnsemble::WorkOn(const FitRows& rows) {
  return {.step =
              [this](const torch::Tensor& inputs, const torch::Tensor& targets) {
                const torch::Tensor loss = ComputeGradients(inputs, targets);
                ApplyGradients();
                return loss;
              },
          .holdout_error = [this, &rows] { return Nll(mlp_.Infer(rows.holdout_inputs), rows.holdout_targets).mean(1); },
          .scale = StoppingScale::kDifference,
          .changed = [this] { return StateTensors(*this); }};
}

void MixtureEnsemble::Rehearse() {
  const torch::NoGradGuard no_grad;
  fit_->Rehearse(WorkOn({}));
}

FitRows MixtureEnsemble::Split(const TransitionBatch& all, torch::Generator& generator) {
  const SplitRows split = SplitForFit(all, config_.holdout, generator);
  holdout_ = split.holdout;
  codec_.FitTo(split.train, PlainDeviations{});
  return InUnits(codec_, split);
}

std::optional<Metrics> MixtureEnsemble::Fit(const ReplayBuffer& data, const Rng& rng,
                                            const std::function<bool()>& stop) {
  const torch::NoGradGuard no_grad;
  StateTree before = SaveState(*this);
  torch::Generator split_generator = MakeGenerator(rng.Split("split"), parameters_.values().device());
  const FitRows rows = Split(data.All(), split_generator);
  const MinibatchWork work = WorkOn(rows);
  std::optional<Metrics> metrics = fit_->Run(mlp_.parameters(), rows, config_.holdout, work, rng, stop);
  if (!metrics) {
    LoadState(before, *this);
    return std::nullopt;
  }
  metrics->Set("grad_norm", parameters_.grads().norm().item<double>());  // of the last minibatch
  if (rows.holds_out()) {
    const torch::Tensor nll = work.holdout_error().to(torch::kCPU, torch::kFloat64);
    for (int64_t i = 0; i < config_.members; ++i) {
      metrics->Set("holdout_nll_" + std::to_string(i), nll[i].item<double>());
    }
  }
  networks_.Take(mlp_, hypotheses_);
  return metrics;
}

MixturePrediction MixtureEnsemble::InNetworkUnits(const torch::Tensor& obs, const torch::Tensor& action) const {
  const torch::Tensor inputs = codec_.Inputs(obs, action);
  const Components parts =
      Of(torch::GradMode::is_enabled() ? networks_.mlp().Forward(inputs) : networks_.Infer(inputs));
  return {.mean = parts.mean.transpose(1, 2),
          .var = torch::exp(LogVar(parts.raw).transpose(1, 2)),
          .log_weight = torch::log_softmax(parts.logits, -1).transpose(1, 2)};
}

MixturePrediction MixtureEnsemble::PredictMixture(const torch::Tensor& obs, const torch::Tensor& action) const {
  const MixturePrediction y = InNetworkUnits(obs, action);
  const Standardizer& units = codec_.standardizer();
  return {.mean = units.Target(y.mean), .var = y.var * units.target_scale().square(), .log_weight = y.log_weight};
}

GaussianPrediction MixtureEnsemble::Predict(const torch::Tensor& obs, const torch::Tensor& action, Members) const {
  // In the networks' units, so that the weights' rounding does not move a target that does not vary.
  const GaussianPrediction y = MomentsOf(InNetworkUnits(obs, action));
  const Standardizer& units = codec_.standardizer();
  return {.mean = units.Target(y.mean), .var = y.var * units.target_scale().square()};
}

torch::Tensor MixtureEnsemble::Draw(const torch::Tensor& output, const torch::Tensor& noise) const {
  const Components parts = Of(output);
  const int64_t dim = codec_.target_dim();
  const torch::Tensor level = 0.5 * torch::erfc(noise.narrow(-1, dim, 1) * -std::numbers::sqrt2 / 2);
  const torch::Tensor passed =
      torch::softmax(parts.logits, -1).cumsum(-1).narrow(-1, 0, config_.components - 1) < level;
  const torch::Tensor drawn = passed.sum(-1, /*keepdim=*/true).unsqueeze(-1).expand({-1, -1, 1, dim});
  const torch::Tensor mean = parts.mean.gather(2, drawn).squeeze(2);
  const torch::Tensor log_var = LogVar(parts.raw.gather(2, drawn).squeeze(2));
  return mean + torch::exp(0.5 * log_var) * noise.narrow(-1, 0, dim);
}

ModelStep MixtureEnsemble::Next(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws) const {
  const torch::Tensor inputs = DealRows(codec_.Inputs(obs, action), draws.deal, config_.members);
  const torch::Tensor output = torch::GradMode::is_enabled() || inputs.scalar_type() != torch::kFloat32
                                   ? networks_.mlp().Forward(inputs)
                                   : networks_.Infer(inputs);
  const torch::Tensor y = Draw(output, draws.noise.view({config_.members, inputs.size(1), noise_dim()}));
  return codec_.Decode(codec_.standardizer().Target(CollectRows(y, draws.deal)), obs);
}

void MixtureEnsemble::Step(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws,
                           ModelSample& next) const {
  const torch::NoGradGuard no_grad;
  Next(obs, action, draws).CopyTo(next);
  next.hypothesis.copy_(HypothesisOfRows(draws.deal, config_.members));
}

void MixtureEnsemble::VisitState(StateVisitor& state) {
  state("parameters", parameters_.values());
  state("adam", adam_);
  codec_.VisitState(state, /*scales_all=*/true);
  state.Resizable("holdout", holdout_.rows);
  if (state.loading()) {
    holdout_.rows = holdout_.rows.to(parameters_.values().device());
    networks_.Take(mlp_, hypotheses_);
  }
}

}  // namespace reverie
