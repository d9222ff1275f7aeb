#include "reverie/models/gaussian_ensemble.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>
#include <stdexcept>
#include <utility>

#include "early_stopping.h"
#include "imagination.h"
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
  MlpShape shape{
      .members = members, .widths = {spec.feature_dim() + spec.layout.act_dim}, .activation = Activation::kSilu};
  shape.widths.insert(shape.widths.end(), config.hidden.begin(), config.hidden.end());
  shape.widths.push_back(config.deterministic ? spec.target_dim() : 2 * spec.target_dim());
  return shape;
}

// What the elites predict with: where there are prior functions, both networks side by side.
MlpShape EliteShape(const GaussianEnsembleConfig& config, const ModelSpec& spec) {
  MlpShape shape = NetworkShape(config, spec, config.elites);
  if (config.regularise == Regularise::kPriorFunction) {
    std::for_each(shape.widths.begin() + 1, shape.widths.end() - 1, [](int64_t& width) { width *= 2; });
  }
  return shape;
}

std::vector<DecaySegment> DecayOf(const GaussianEnsembleConfig& config, const EnsembleMlp& mlp,
                                  const FlatParameters& parameters) {
  std::vector<DecaySegment> segments;
  for (size_t l = 0; l < mlp.weights().size(); ++l) {
    const int64_t begin = mlp.weights()[l].storage_offset() - parameters.values().storage_offset();
    segments.push_back({begin, begin + mlp.weights()[l].numel(), static_cast<float>(config.weight_decay[l])});
  }
  return segments;
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

// A permutation of [0, n) per member, [E, n].
torch::Tensor Permutations(int64_t members, int64_t n, torch::Generator& generator, const torch::Device& device) {
  std::vector<torch::Tensor> list;
  for (int64_t e = 0; e < members; ++e) {
    list.push_back(torch::randperm(n, generator, torch::dtype(torch::kInt64).device(device)));
  }
  return torch::stack(list);
}

}  // namespace

std::vector<std::pair<std::string, ModelTarget>> EnumNames(ModelTarget) {
  return {{"delta", ModelTarget::kDelta}, {"next_obs", ModelTarget::kNextObs}};
}

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
  fields("holdout_ratio", holdout_ratio, "share of the rows held out in a fit; 0: none, a fit makes max_epochs",
         Between(0, 0.9));
  fields.Check([this] { return holdout_ratio > 0 || elites == members; },
               "above 0, as the elites are the best by hold-out error; or as many elites as members");
  fields.When({.key = "model.holdout_ratio", .wanted = "above 0", .holds = [this] { return holdout_ratio > 0; }}, [&] {
    fields("max_holdout", max_holdout, "most rows held out in a fit", AtLeast(1));
    fields("patience", patience, "epochs in a row without improvement after which a fit goes on; one more ends it",
           AtLeast(0));
  });
  fields("max_epochs", max_epochs, "most epochs of one fit; 0: no limit", AtLeast(0));
  fields.Check([this] { return max_epochs > 0 || holdout_ratio > 0; },
               "at least 1, as holdout_ratio 0 leaves nothing else to end a fit");
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

std::string GaussianEnsembleConfig::LacksOf(int64_t rows) const {
  return rows < LeastRows() ? "a first fit needs " + std::to_string(LeastRows()) +
                                  " transitions, one of them held out, and gets " + std::to_string(rows) +
                                  ": raise exploration_steps or replay_capacity, or set model.holdout_ratio to 0"
                            : "";
}

ModelCard GaussianEnsembleConfig::Card() const {
  return {.hypotheses = elites,
          .hypotheses_key = "model.elites",
          .networks = members,
          .has_variance = !deterministic,
          .has_holdout = holdout_ratio > 0,
          .is_coarse = precision != Precision::kFloat32};
}

GaussianEnsemble::GaussianEnsemble(const GaussianEnsembleConfig& config, const ModelSpec& spec, const Rng& rng,
                                   const torch::Device& device)
    : config_(config),
      spec_(spec),
      target_dim_(spec.target_dim()),
      parameters_(
          NetworkShape(config, spec, config.members).ParameterCount() + (config.deterministic ? 0 : 2 * target_dim_),
          device),
      mlp_(NetworkShape(config, spec, config.members), parameters_),
      prior_(PriorOf(config, spec, rng, device)),
      elite_networks_(EliteShape(config, spec), config.precision, device),
      standardizer_(mlp_.shape().widths.front(), target_dim_, device),
      normalizes_(config.normalize_targets),
      adam_(parameters_, config.learning_rate, DecayOf(config, mlp_, parameters_)),
      minibatch_("the ensemble's minibatch", device) {
  torch::Generator generator = MakeGenerator(rng.Split("init"), device);
  mlp_.InitTruncatedNormal(generator);
  if (config.regularise == Regularise::kAnchor) {
    pull_ = torch::zeros_like(parameters_.values());
    for (const DecaySegment& segment : DecayOf(config, mlp_, parameters_)) {
      const int64_t count = segment.end - segment.begin;
      pull_.narrow(0, segment.begin, count)
          .copy_(segment.factor * parameters_.values().narrow(0, segment.begin, count));
    }
  }
  if (!config.deterministic) {
    max_log_var_ = parameters_.Take({1, target_dim_});
    min_log_var_ = parameters_.Take({1, target_dim_});
    max_log_var_.value.fill_(kInitialMaxLogVar);
    min_log_var_.value.fill_(kInitialMinLogVar);
  }

  const auto options = torch::device(device);
  loss_ = torch::zeros({}, options);
  loss_sum_ = torch::zeros({}, options);
  holdout_ = TransitionBatch::Empty(spec.layout, 0, device);
  input_rows_ = torch::empty({config.members, config.batch_size, mlp_.shape().widths.front()}, options);
  target_rows_ = torch::empty({config.members, config.batch_size, target_dim_}, options);
  elites_ = torch::arange(config.elites, options.dtype(torch::kInt64));
  SetElites(elites_);
}

void GaussianEnsemble::SetElites(const torch::Tensor& elites) {
  elites_.copy_(elites);
  prior_ ? elite_networks_.Take(mlp_, *prior_, elites_) : elite_networks_.Take(mlp_, elites_);
}

torch::Tensor GaussianEnsemble::Inputs(const torch::Tensor& obs, const torch::Tensor& action) const {
  return torch::cat({spec_.Features(obs), action}, -1);
}

torch::Tensor GaussianEnsemble::Targets(const TransitionBatch& rows) const {
  torch::Tensor target = config_.target == ModelTarget::kDelta ? rows.next_obs() - rows.obs() : rows.next_obs();
  if (spec_.learn_reward) {
    target = torch::cat({target, rows.reward().unsqueeze(1)}, 1);
  }
  return target;
}

torch::Tensor GaussianEnsemble::Mean(const torch::Tensor& output) const { return output.slice(-1, 0, target_dim_); }

torch::Tensor GaussianEnsemble::LogVar(const torch::Tensor& output) const {
  const torch::Tensor raw = output.slice(-1, target_dim_);
  const torch::Tensor below_max = max_log_var_.value - at::softplus(max_log_var_.value - raw);
  return min_log_var_.value + at::softplus(below_max - min_log_var_.value);
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

void GaussianEnsemble::Rehearse() {
  const torch::NoGradGuard no_grad;
  ComputeGradients(input_rows_.zero_(), target_rows_.zero_());
  ApplyGradients();
}

GaussianEnsemble::FitRows GaussianEnsemble::Split(const TransitionBatch& all, torch::Generator& generator) {
  const int64_t count = all.size();
  const auto wanted = static_cast<int64_t>(static_cast<double>(count) * config_.holdout_ratio);
  const int64_t holdout_count =
      config_.holdout_ratio > 0 ? std::max<int64_t>(1, std::min(wanted, config_.max_holdout)) : 0;
  if (count <= holdout_count) {
    throw std::runtime_error("the model needs at least " + std::to_string(config_.LeastRows()) +
                             " transitions to fit, got " + std::to_string(count));
  }
  const torch::Tensor order = torch::randperm(count, generator, elites_.options());
  const auto rows = [&](int64_t begin, int64_t size) -> TransitionBatch {
    return {spec_.layout, all.rows.index_select(0, order.narrow(0, begin, size))};
  };
  holdout_ = rows(0, holdout_count);
  const TransitionBatch train = rows(holdout_count, count - holdout_count);

  const torch::Tensor inputs = Inputs(train.obs(), train.action());
  standardizer_.FitInputs(inputs);
  const torch::Tensor targets = Targets(train);
  torch::Tensor magnitudes = ColumnMagnitudes(targets);
  if (config_.target == ModelTarget::kDelta) {  // differences of observations, with the rounding of those
    torch::Tensor of_obs = magnitudes.narrow(0, 0, spec_.layout.obs_dim);
    of_obs.copy_(torch::maximum(of_obs, ColumnMagnitudes(train.next_obs())));
  }
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
  standardizer_.FitTargets(targets, magnitudes, plain);
  FitRows fit{.train_inputs = standardizer_.Inputs(inputs),
              .train_targets = standardizer_.Scaled(targets),
              .holdout_inputs = standardizer_.Inputs(Inputs(holdout_.obs(), holdout_.action())),
              .holdout_targets = standardizer_.Scaled(Targets(holdout_))};
  if (prior_) {
    const torch::Tensor minus = -(standardizer_.target_scale() != 0).to(torch::kFloat32);
    fit.train_targets = (*prior_)(fit.train_inputs).mul_(minus).add_(fit.train_targets);
    fit.holdout_targets = (*prior_)(fit.holdout_inputs).mul_(minus).add_(fit.holdout_targets);
  }
  return fit;
}

std::optional<int64_t> GaussianEnsemble::TrainEpoch(const FitRows& data, const torch::Tensor& rows,
                                                    const std::function<bool()>& stop) {
  const int64_t members = config_.members;
  const int64_t count = rows.size(1);
  loss_sum_.zero_();
  int64_t minibatches = 0;
  for (int64_t begin = 0; begin < count; begin += config_.batch_size) {
    const int64_t size = std::min(config_.batch_size, count - begin);
    const torch::Tensor index = rows.narrow(1, begin, size).reshape({-1});
    torch::Tensor inputs = input_rows_.view({members * config_.batch_size, -1}).narrow(0, 0, members * size);
    torch::Tensor targets = target_rows_.view({members * config_.batch_size, -1}).narrow(0, 0, members * size);
    at::index_select_out(inputs, data.train_inputs, 0, index);
    if (data.train_targets.dim() == 2) {
      at::index_select_out(targets, data.train_targets, 0, index);
    } else {  // each member's own
      const torch::Tensor first_of_member = torch::arange(members, index.options()) * count;
      at::index_select_out(targets, data.train_targets.view({-1, target_dim_}), 0,
                           (rows.narrow(1, begin, size) + first_of_member.unsqueeze(1)).reshape({-1}));
    }
    const auto step = [&] {
      loss_sum_.add_(ComputeGradients(inputs.view({members, size, -1}), targets.view({members, size, -1})));
      ApplyGradients();
    };
    if (size == config_.batch_size) {
      minibatch_.Run({}, step, [this] {
        auto changed = StateTensors(*this);
        changed["loss_sum"] = loss_sum_;
        return changed;
      });
    } else {
      step();
    }
    ++minibatches;
    if (stop()) {
      return std::nullopt;
    }
  }
  return minibatches;
}

torch::Tensor GaussianEnsemble::SquareError(const torch::Tensor& output, const FitRows& data) const {
  // What the networks say of targets that do not vary is never read.
  return (Mean(output).masked_fill(standardizer_.target_scale() == 0, 0) - data.holdout_targets).square();
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
    const torch::Tensor log_var = LogVar(output);
    const torch::Tensor nll = 0.5 * (square * torch::exp(-log_var) + log_var + std::log(2 * std::numbers::pi));
    log_members("holdout_nll_", nll.masked_fill(standardizer_.target_scale() == 0, 0).mean({1, 2}));
  }
  log_members("elite_", elites_);
  return metrics;
}

std::optional<Metrics> GaussianEnsemble::Fit(const ReplayBuffer& data, const Rng& rng,
                                             const std::function<bool()>& stop) {
  const torch::NoGradGuard no_grad;
  StateTree before = SaveState(*this);
  const torch::Device device = parameters_.values().device();
  torch::Generator split_generator = MakeGenerator(rng.Split("split"), device);
  torch::Generator bootstrap_generator = MakeGenerator(rng.Split("bootstrap"), device);
  torch::Generator shuffle_generator = MakeGenerator(rng.Split("shuffle"), device);

  const FitRows rows = Split(data.All(), split_generator);
  const int64_t members = config_.members;
  const int64_t train_count = rows.train_inputs.size(0);
  const bool holds_out = holdout_.size() > 0;
  // Each member's own resample, with replacement; with anchors all rows.
  const torch::Tensor bootstrap =
      config_.regularise == Regularise::kAnchor
          ? torch::arange(train_count, elites_.options()).expand({members, train_count})
          : torch::randint(train_count, {members, train_count}, bootstrap_generator, elites_.options());

  EarlyStopping early_stopping(mlp_, config_.patience);
  int64_t epochs = 0;
  int64_t minibatches = 0;
  while (early_stopping.wants_another_epoch() && (config_.max_epochs == 0 || epochs < config_.max_epochs)) {
    const torch::Tensor shuffled = bootstrap.gather(1, Permutations(members, train_count, shuffle_generator, device));
    const std::optional<int64_t> done = TrainEpoch(rows, shuffled, stop);
    if (!done) {
      LoadState(before, *this);
      return std::nullopt;
    }
    minibatches = *done;
    ++epochs;
    const bool finite = holds_out ? early_stopping.Note(SquareError(mlp_.Infer(rows.holdout_inputs), rows).mean({1, 2}))
                                  : std::isfinite(loss_sum_.item<float>());
    if (!finite) {
      throw std::runtime_error(std::string(holds_out ? "the model's hold-out error" : "the model's loss") +
                               " became non-finite in epoch " + std::to_string(epochs) + " of a fit on " +
                               std::to_string(train_count) + " rows");
    }
  }

  Metrics metrics;
  metrics.Set("epochs", static_cast<double>(epochs));
  metrics.Set("train_rows", static_cast<double>(train_count));
  metrics.Set("holdout_rows", static_cast<double>(holdout_.size()));
  const torch::Tensor report = torch::stack({loss_sum_ / minibatches, parameters_.grads().norm()}).cpu();
  metrics.Set("loss", report[0].item<double>());
  metrics.Set("grad_norm", report[1].item<double>());  // of the last minibatch
  if (!holds_out) {
    SetElites(elites_);
    return metrics;
  }
  early_stopping.RestoreBest();
  metrics.Merge("", RankMembers(rows));
  return metrics;
}

GaussianPrediction GaussianEnsemble::Predict(const torch::Tensor& obs, const torch::Tensor& action,
                                             Members members) const {
  return PredictFrom(Inputs(obs, action), members);
}

GaussianPrediction GaussianEnsemble::PredictFrom(const torch::Tensor& features_and_action, Members members) const {
  const torch::Tensor inputs = standardizer_.Inputs(features_and_action);
  const bool all = members == Members::kAll;
  const torch::Tensor output = torch::GradMode::is_enabled() ? (all ? mlp_ : elite_networks_.mlp()).Forward(inputs)
                               : all                         ? mlp_.Infer(inputs)
                                                             : elite_networks_.Infer(inputs);
  const torch::Tensor y = all && prior_ ? Mean(output) + (*prior_)(inputs) : Mean(output);
  const torch::Tensor mean = standardizer_.Target(y);
  const torch::Tensor& scale = standardizer_.target_scale();
  return {.mean = mean,
          .var = config_.deterministic ? torch::zeros_like(mean) : torch::exp(LogVar(output)) * scale * scale};
}

void GaussianEnsemble::Step(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws,
                            ModelSample& next) const {
  const torch::NoGradGuard no_grad;
  const int64_t rows = obs.size(0);
  const int64_t share = RowsPerHypothesis(rows, config_.elites);
  torch::Tensor inputs = torch::empty({config_.elites, share, standardizer_.input_mean().size(0)}, obs.options());
  DealInputs(spec_.Features(obs), action, draws.deal, standardizer_.input_mean(), standardizer_.input_std(), inputs);
  const torch::Tensor output = elite_networks_.Infer(inputs);
  if (!config_.deterministic) {
    DrawTargets(output, draws.noise.view({config_.elites, share, target_dim_}), draws.deal,
                {.max_log_var = max_log_var_.value,
                 .min_log_var = min_log_var_.value,
                 .offset = standardizer_.target_offset(),
                 .scale = standardizer_.target_scale(),
                 .add_obs = config_.target == ModelTarget::kDelta},
                obs, next);
    return;
  }
  const torch::Tensor dealt = output.view({-1, target_dim_}).narrow(0, 0, rows);
  const torch::Tensor target = standardizer_.Target(torch::empty_like(dealt).index_copy_(0, draws.deal, dealt));
  next.next_obs.copy_(DecodeObs(target, obs));
  if (spec_.learn_reward) {
    next.reward.copy_(target.select(-1, spec_.layout.obs_dim));
  }
  next.hypothesis.copy_(HypothesisOfRows(draws.deal, config_.elites));
}

ModelStep GaussianEnsemble::Next(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws) const {
  const torch::Tensor output =
      elite_networks_.mlp().Forward(DealRows(standardizer_.Inputs(Inputs(obs, action)), draws.deal, config_.elites));
  torch::Tensor y = Mean(output);
  if (!config_.deterministic) {
    y = y + torch::exp(0.5 * LogVar(output)) * draws.noise.view(y.sizes());
  }
  const torch::Tensor target = standardizer_.Target(CollectRows(y, draws.deal));
  return {.next_obs = DecodeObs(target, obs),
          .reward = spec_.learn_reward ? target.select(1, spec_.layout.obs_dim) : torch::Tensor()};
}

torch::Tensor GaussianEnsemble::DecodeObs(const torch::Tensor& target, const torch::Tensor& obs) const {
  const torch::Tensor observed = target.slice(-1, 0, spec_.layout.obs_dim);
  return config_.target == ModelTarget::kDelta ? obs + observed : observed;
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
  standardizer_.VisitState(state, /*scales_all=*/config_.normalize_targets.value_or(false));
  constexpr int64_t kUndecided = -1;
  int64_t normalizes = normalizes_ ? int64_t{*normalizes_} : kUndecided;
  if (!state.loading() || state.Has("normalizes")) {
    state("normalizes", normalizes);
  } else {  // an older version left targets in their own units
    normalizes = standardizer_.knows_targets() ? 0 : kUndecided;
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
