#include "reverie/models/gaussian_ensemble.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>
#include <stdexcept>
#include <utility>

#include "minibatch_fit.h"
#include "reverie/core/log.h"
#include "reverie/core/text.h"
#include "reverie/data/column_statistics.h"

namespace reverie {
namespace {

constexpr double kInitialMaxLogVar = 0.5;
constexpr double kInitialMinLogVar = -10;
// Deviations of targets below that of the least noise that a new network can predict.
const double kLeastNoise = std::exp(kInitialMinLogVar / 2);
// The largest deviation beside which others are predicted in their own units: beyond it the squares of one target, such
// as a contact force, outweigh those of all that move by a few units.
constexpr double kLargestPlainTarget = 25;
constexpr float kBoundPenalty = 0.01F;

MlpShape NetworkShape(const GaussianEnsembleConfig& config, const ModelSpec& spec, int64_t members) {
  const int64_t outputs = config.deterministic ? spec.target_dim() : 2 * spec.target_dim();
  return {
      .members = members, .widths = Widths(spec.input_dim(), config.hidden, outputs), .activation = Activation::kSilu};
}

// What the elites predict with: where there are prior functions, both networks side by side.
MlpShape EliteShape(const GaussianEnsembleConfig& config, const ModelSpec& spec) {
  MlpShape shape = NetworkShape(config, spec, config.elites);
  if (config.regularise == Regularise::kPriorFunction) {
    std::for_each(shape.widths.begin() + 1, shape.widths.end() - 1, [](int64_t& width) { width *= 2; });
  }
  return shape;
}

std::optional<PriorFunctions> PriorOf(const GaussianEnsembleConfig& config, const ModelSpec& spec, const Rng& rng,
                                      const torch::Device& device) {
  if (config.regularise != Regularise::kPriorFunction) {
    return std::nullopt;
  }
  MlpShape shape = NetworkShape(config, spec, config.members);
  shape.widths.back() = spec.target_dim();
  return PriorFunctions(shape, config.prior_scale, rng.Split("prior"), device);
}

}  // namespace

std::vector<std::pair<std::string, Regularise>> EnumNames(Regularise) {
  return {
      {"decay", Regularise::kDecay}, {"anchor", Regularise::kAnchor}, {"prior_function", Regularise::kPriorFunction}};
}

std::vector<std::pair<std::string, Precision>> EnumNames(Precision) {
  return {{"float32", Precision::kFloat32}, {"bf16x2", Precision::kBf16x2}, {"bf16", Precision::kBf16}};
}

void GaussianEnsembleConfig::Visit(Fields& fields) {
  fields("members", members, "networks in the ensemble", AtLeast(1));
  fields("elites", elites, "members that predict: the best by hold-out error", AtLeast(1));
  fields.Check([this] { return elites <= members; }, "at most model.members");
  fields("hidden", hidden, "widths of the hidden layers", AtLeast(1));
  fields.Check([this] { return !hidden.empty(); }, "at least one hidden layer");
  fields("learning_rate", learning_rate, "Adam's step size", Above(0));
  fields("batch_size", batch_size, "rows per member in a minibatch", AtLeast(1));
  fields("weight_decay", weight_decay, "L2 factor per layer, times 0.5 |W|^2: one for each hidden layer and the output",
         AtLeast(0));
  fields.Check([this] { return weight_decay.size() == hidden.size() + 1; },
               "one number for each hidden layer and one for the output");
  fields(
      "regularise", regularise,
      "what members are drawn to where no data say otherwise: 0 (decay), their first weights (anchor), or 0 beside a "
      "fixed network each (prior_function)");
  fields.Check([this] {
    const bool pulls = std::any_of(weight_decay.begin(), weight_decay.end(), [](double decay) { return decay > 0; });
    return regularise != Regularise::kAnchor || pulls
               ? ""
               : "anchor draws members to their first weights as model.weight_decay says, which is 0: expected one "
                 "above 0";
  });
  fields.When({.key = "model.regularise",
               .wanted = "prior_function",
               .holds = [this] { return regularise == Regularise::kPriorFunction; }},
              [&] { fields("prior_scale", prior_scale, "factor of the prior functions", Above(0)); });
  holdout.Visit(fields, [&] {
    fields.Check([this] { return holdout.ratio > 0 || elites == members; },
                 "above 0, as the elites are the best by hold-out error; or as many elites as members");
  });
  fields("target", target, "what is predicted: the change of the observation, or the next one");
  fields(
      "normalize_targets", normalize_targets,
      "every target is predicted in units of its deviation over the training rows; auto: where one of the first fit's "
      "is above 25, and later what begins to vary by more");
  fields.Check([this] { return normalize_targets.value_or(false) || regularise != Regularise::kPriorFunction; },
               "true, neither false nor auto, as prior functions are in units of the targets' deviations");
  fields("deterministic", deterministic,
         "the networks predict the mean alone, by its square error; else mean and variance");
  fields("precision", precision,
         "least precision of the elites' products in imagined steps, which takes effect on a CPU with AMX: each number "
         "as a float32, two bfloat16 (bf16x2) or one (bf16)");
}

ModelCard GaussianEnsembleConfig::Card() const {
  return {.hypotheses = elites,
          .hypotheses_key = "model.elites",
          .networks = members,
          .has_variance = !deterministic,
          .has_holdout = holdout.ratio > 0,
          .is_exported = true,
          .is_coarse = precision != Precision::kFloat32};
}

GaussianEnsemble::GaussianEnsemble(const GaussianEnsembleConfig& config, const ModelSpec& spec, const Rng& rng,
                                   const torch::Device& device)
    : config_(config),
      codec_(spec, config.target, device),
      target_dim_(spec.target_dim()),
      parameters_(
          NetworkShape(config, spec, config.members).ParameterCount() + (config.deterministic ? 0 : 2 * target_dim_),
          device),
      mlp_(NetworkShape(config, spec, config.members), parameters_),
      max_log_var_(config.deterministic ? FlatParameters::View() : parameters_.Take({1, target_dim_})),
      min_log_var_(config.deterministic ? FlatParameters::View() : parameters_.Take({1, target_dim_})),
      prior_(PriorOf(config, spec, rng, device)),
      elite_networks_(codec_, EliteShape(config, spec), {max_log_var_.value, min_log_var_.value}, config.precision,
                      device),
      normalizes_(config.normalize_targets),
      adam_(parameters_, config.learning_rate, DecayPerLayer(mlp_, parameters_, config.weight_decay)),
      fit_(std::make_unique<MinibatchFit>("the ensemble's minibatch", config.members, config.batch_size,
                                          codec_.input_dim(), target_dim_, device)) {
  torch::Generator generator = MakeGenerator(rng.Split("init"), device);
  mlp_.InitTruncatedNormal(generator);
  if (config.regularise == Regularise::kAnchor) {
    pull_ = torch::zeros_like(parameters_.values());
    for (const DecaySegment& segment : DecayPerLayer(mlp_, parameters_, config.weight_decay)) {
      const int64_t count = segment.end - segment.begin;
      pull_.narrow(0, segment.begin, count)
          .copy_(segment.factor * parameters_.values().narrow(0, segment.begin, count));
    }
  }
  if (!config.deterministic) {
    max_log_var_.value.fill_(kInitialMaxLogVar);
    min_log_var_.value.fill_(kInitialMinLogVar);
  }

  const auto options = torch::device(device);
  loss_ = torch::zeros({}, options);
  holdout_ = TransitionBatch::Empty(spec.layout, 0, device);
  elites_ = torch::arange(config.elites, options.dtype(torch::kInt64));
  SetElites(elites_);
}

GaussianEnsemble::~GaussianEnsemble() = default;

void GaussianEnsemble::SetElites(const torch::Tensor& elites) {
  elites_.copy_(elites);
  prior_ ? elite_networks_.weights().Take(mlp_, *prior_, elites_) : elite_networks_.weights().Take(mlp_, elites_);
}

torch::Tensor GaussianEnsemble::ComputeGradients(const torch::Tensor& inputs, const torch::Tensor& targets) {
  const int64_t rows = inputs.size(1);
  EnsembleMlp::Tape& tape = rows == config_.batch_size ? tape_ : tail_tape_;
  const torch::Tensor& output = mlp_.Forward(inputs, tape);
  torch::Tensor& grad = rows == config_.batch_size ? output_grad_ : tail_output_grad_;
  if (!grad.defined() || grad.sizes() != output.sizes()) {
    grad = torch::empty_like(output);
  }
  const double scale = 1.0 / static_cast<double>(rows * target_dim_);
  if (!config_.deterministic) {
    GaussianLossGradient(output, targets, max_log_var_.value, min_log_var_.value, static_cast<float>(scale),
                         kBoundPenalty, grad, max_log_var_.grad, min_log_var_.grad, loss_);
  } else {
    at::sub_out(grad, output, targets);
    loss_.copy_(grad.square().sum().mul_(scale));
    grad.mul_(2 * scale);
  }
  mlp_.Backward(grad, tape);
  return loss_;
}

void GaussianEnsemble::ApplyGradients() {
  if (!pull_.defined()) {
    adam_.Step();
    return;
  }
  torch::Tensor& gradients = parameters_.grads();
  gradients.sub_(pull_);
  adam_.Step();
  gradients.add_(pull_);  // the loss's own again, of which the fit's report tells
}

void GaussianEnsemble::LogRemarks() const {
  if (config_.precision != Precision::kFloat32 && !(loss_.is_cpu() && HasCoarserPrecision())) {
    LogInfo("model.precision takes effect on a CPU with AMX; the model's products are float32 here");
  }
}

MinibatchWork GaussianEnsemble::WorkOn(const FitRows& rows) {
  return {.step =
              [this](const torch::Tensor& inputs, const torch::Tensor& targets) {
                const torch::Tensor loss = ComputeGradients(inputs, targets);
                ApplyGradients();
                return loss;
              },
          .holdout_error =
              [this, &rows] {
                return SquareError(mlp_.Infer(rows.holdout_inputs), rows).mean({1, 2});
              },
          .scale = StoppingScale::kRatio,
          .resamples = config_.regularise != Regularise::kAnchor,
          .changed = [this] { return StateTensors(*this); }};
}

void GaussianEnsemble::Rehearse() {
  const torch::NoGradGuard no_grad;
  fit_->Rehearse(WorkOn({}));
}

FitRows GaussianEnsemble::Split(const TransitionBatch& all, torch::Generator& generator) {
  const SplitRows split = SplitForFit(all, config_.holdout, generator);
  holdout_ = split.holdout;
  codec_.FitInputs(codec_.Seen(split.train.obs(), split.train.action()));
  const torch::Tensor targets = codec_.Targets(split.train);
  const torch::Tensor magnitudes = codec_.Magnitudes(split.train, targets);
  if (!normalizes_) {
    const double largest = StatisticsOfColumns(targets, magnitudes).std.max().item<double>();
    if (largest > 0) {
      normalizes_ = largest > kLargestPlainTarget;
    }
    if (largest > kLargestPlainTarget) {
      LogInfo(Text("the model predicts every target in units of its deviation, as that of one is ",
                   FixedText(largest, 0), " (model.normalize_targets: auto)"));
    }
  }
  PlainDeviations plain;
  if (!normalizes_.value_or(false)) {
    plain.above = kLeastNoise;
    if (!config_.normalize_targets) {  // one that begins later, which no network has learned
      plain.at_most = kLargestPlainTarget;
    }
  }
  codec_.FitTargets(targets, magnitudes, plain);
  FitRows fit = InUnits(codec_, split);
  if (prior_) {
    const torch::Tensor minus = -(codec_.standardizer().target_scale() != 0).to(torch::kFloat32);
    fit.train_targets = (*prior_)(fit.train_inputs).mul_(minus).add_(fit.train_targets);
    fit.holdout_targets = (*prior_)(fit.holdout_inputs).mul_(minus).add_(fit.holdout_targets);
  }
  return fit;
}

torch::Tensor GaussianEnsemble::SquareError(const torch::Tensor& output, const FitRows& data) const {
  // What the networks say of targets that do not vary is never read.
  return (elite_networks_.Mean(output).masked_fill(codec_.standardizer().target_scale() == 0, 0) - data.holdout_targets)
      .square();
}

Metrics GaussianEnsemble::RankMembers(const FitRows& data) {
  const torch::Tensor output = mlp_.Infer(data.holdout_inputs);
  const torch::Tensor square = SquareError(output, data);
  const torch::Tensor mse = square.mean({1, 2});
  SetElites(mse.argsort().narrow(0, 0, config_.elites).contiguous());
  Metrics metrics;
  const auto log_members = [&](const std::string& name, const torch::Tensor& numbers) {
    const torch::Tensor on_host = numbers.to(torch::kCPU, torch::kFloat64);
    for (int64_t i = 0; i < numbers.size(0); ++i) {
      metrics.Set(name + std::to_string(i), on_host[i].item<double>());
    }
  };
  log_members("holdout_mse_", mse);
  if (!config_.deterministic) {
    const torch::Tensor log_var = elite_networks_.LogVar(output);
    const torch::Tensor nll = 0.5 * (square * torch::exp(-log_var) + log_var + std::log(2 * std::numbers::pi));
    log_members("holdout_nll_", nll.masked_fill(codec_.standardizer().target_scale() == 0, 0).mean({1, 2}));
  }
  log_members("elite_", elites_);
  return metrics;
}

std::optional<Metrics> GaussianEnsemble::Fit(const ReplayBuffer& data, const Rng& rng,
                                             const std::function<bool()>& stop) {
  const torch::NoGradGuard no_grad;
  StateTree before = SaveState(*this);
  torch::Generator split_generator = MakeGenerator(rng.Split("split"), parameters_.values().device());
  const FitRows rows = Split(data.All(), split_generator);
  std::optional<Metrics> metrics = fit_->Run(mlp_.parameters(), rows, config_.holdout, WorkOn(rows), rng, stop);
  if (!metrics) {
    LoadState(before, *this);
    return std::nullopt;
  }
  metrics->Set("grad_norm", parameters_.grads().norm().item<double>());  // of the last minibatch
  if (rows.holds_out()) {
    metrics->Merge("", RankMembers(rows));
  } else {
    SetElites(elites_);
  }
  return metrics;
}

GaussianPrediction GaussianEnsemble::Predict(const torch::Tensor& obs, const torch::Tensor& action,
                                             Members members) const {
  if (members == Members::kElites) {
    return elite_networks_.Predict(obs, action);
  }
  const torch::Tensor inputs = codec_.Inputs(obs, action);
  torch::Tensor output = torch::GradMode::is_enabled() ? mlp_.Forward(inputs) : mlp_.Infer(inputs);
  if (prior_) {
    const torch::Tensor mean = elite_networks_.Mean(output) + (*prior_)(inputs);
    output = torch::cat({mean, output.slice(-1, target_dim_)}, -1);
  }
  return elite_networks_.InTaskUnits(output);
}

void GaussianEnsemble::VisitState(StateVisitor& state) {
  state("parameters", parameters_.values());
  state("adam", adam_);
  if (pull_.defined()) {
    state("pull", pull_);
  }
  if (prior_) {
    state("prior", *prior_);
  }
  codec_.VisitState(state, /*scales_all=*/config_.normalize_targets.value_or(false));
  constexpr int64_t kUndecided = -1;
  int64_t normalizes = normalizes_ ? int64_t{*normalizes_} : kUndecided;
  if (!state.loading() || state.Has("normalizes")) {
    state("normalizes", normalizes);
  } else {  // an older version left targets in their own units
    normalizes = codec_.standardizer().knows_targets() ? 0 : kUndecided;
  }
  if (state.loading() && !config_.normalize_targets) {
    normalizes_ = normalizes == kUndecided ? std::nullopt : std::optional(normalizes != 0);
  }
  state("elites", elites_);
  state.Resizable("holdout", holdout_.rows);
  if (state.loading()) {
    holdout_.rows = holdout_.rows.to(parameters_.values().device());
    SetElites(elites_);
  }
}

}  // namespace reverie
