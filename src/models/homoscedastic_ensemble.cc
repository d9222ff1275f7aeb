#include "reverie/models/homoscedastic_ensemble.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "paired_stopping.h"
#include "reverie/data/column_statistics.h"
#include "reverie/nn/ensemble_mlp.h"

namespace reverie {
namespace {

const double kLeastLogStd = std::log(1e-3);
// Of the noise on the rewards that a fit sees, in the task's units.
constexpr double kRewardNoise = 1e-3;
// eps of the first normalised layer; each one after it has a tenth.
constexpr double kFirstEpsilon = 1;
constexpr double kLeastEpsilon = 1e-5;
// Judgements at most, as a multiple of the patience.
constexpr double kLongestFit = 5;
// Rows whose activations stay in a core's cache together; a GPU takes a minibatch as a whole.
constexpr int64_t kBlockRows = 256;
// A test of two scores needs as many.
constexpr int64_t kLeastHoldout = 2;

LayerNormMlpShape LayerNormShape(const HomoscedasticEnsembleConfig& config, const ModelSpec& spec) {
  LayerNormMlpShape shape{.members = config.members,
                          .widths = Widths(spec.input_dim(), config.hidden, spec.target_dim()),
                          .epsilon = {0},
                          .dropout = config.dropout};
  for (size_t l = 1; l < shape.layers(); ++l) {
    shape.epsilon.push_back(
        config.layer_norm ? std::max(kLeastEpsilon, kFirstEpsilon * std::pow(0.1, static_cast<double>(l - 1))) : 0);
  }
  return shape;
}

// What is left of each parameter by a step's decay.
torch::Tensor LeftByDecay(const HomoscedasticEnsembleConfig& config, const std::vector<torch::Tensor>& leaves) {
  std::vector<torch::Tensor> factors;
  for (size_t i = 0; i < leaves.size(); ++i) {
    const double decay = i / 2 < config.weight_decay.size() ? config.weight_decay[i / 2] : config.noise_decay;
    factors.push_back(
        torch::full({leaves[i].numel()}, 1 - config.learning_rate * decay, torch::device(leaves[i].device())));
  }
  return torch::cat(factors);
}

}  // namespace

void HomoscedasticEnsembleConfig::Visit(Fields& fields) {
  fields("members", members, "networks in the ensemble", AtLeast(1));
  fields("hidden", hidden, "widths of the hidden layers", AtLeast(1));
  fields.Check([this] { return !hidden.empty(); }, "at least one hidden layer");
  fields("layer_norm", layer_norm, "normalise what goes into every layer but the first");
  fields("learning_rate", learning_rate, "AdamW's step size", Above(0));
  fields("batch_size", batch_size, "rows in a minibatch, which all members see", AtLeast(1));
  fields("weight_decay", weight_decay, "AdamW's decay per layer: one for each hidden layer and the output", AtLeast(0));
  fields.Check([this] { return weight_decay.size() == hidden.size() + 1; },
               "one number for each hidden layer and one for the output");
  fields("dropout", dropout, "share of a layer's outputs dropped in a fit: one for each hidden layer and the output",
         Between(0, 0.9));
  fields.Check([this] { return dropout.size() == hidden.size() + 1; },
               "one number for each hidden layer and one for the output");
  fields("noise_decay", noise_decay, "AdamW's decay of the noise's logarithm", AtLeast(0));
  fields("holdout_ratio", holdout_ratio, "share of the rows held out, for ever", Between(0.01, 0.9));
  fields("max_rows", max_rows, "most rows of a fit, drawn from all", AtLeast(kLeastHoldout + 1));
  fields("epoch_minibatches", epoch_minibatches, "minibatches from one judgement by held-out rows to the next",
         AtLeast(1));
  fields("patience", patience, "judgements in a row without a lower score after which a fit goes on, times ln(D)",
         Above(0));
  fields("first_fit", first_fit, "patience of the first fit as a multiple of the others'", AtLeast(1));
}

std::string HomoscedasticEnsembleConfig::LacksOf(int64_t rows) const {
  return rows <= kLeastHoldout ? "a first fit needs " + std::to_string(kLeastHoldout + 1) + " transitions, " +
                                     std::to_string(kLeastHoldout) + " of them held out, and gets " +
                                     std::to_string(rows) + ": raise exploration_steps or replay_capacity"
                               : "";
}

ModelCard HomoscedasticEnsembleConfig::Card() const {
  return {.hypotheses = members,
          .hypotheses_key = "model.members",
          .networks = members,
          .has_variance = true,
          .variance_is_constant = true,
          .has_holdout = true};
}

HomoscedasticEnsemble::HomoscedasticEnsemble(const HomoscedasticEnsembleConfig& config, const ModelSpec& spec,
                                             const Rng& rng, const torch::Device& device)
    : config_(config),
      spec_(spec),
      target_dim_(spec.target_dim()),
      parameters_(LayerNormShape(config, spec).ParameterCount() + config.members * target_dim_, device),
      mlp_(LayerNormShape(config, spec), parameters_),
      log_std_(parameters_.Take({config.members, 1, target_dim_}).Leaf()),
      leaves_(mlp_.leaves()),
      adam_(parameters_, config.learning_rate),
      standardizer_(spec.feature_dim(), target_dim_, device),
      generator_(MakeGenerator(rng.Split("noise"), device)),
      minibatch_("the model's minibatch", device, {generator_}) {
  leaves_.push_back(log_std_);
  left_by_decay_ = LeftByDecay(config, leaves_);
  torch::Generator generator = MakeGenerator(rng.Split("init"), device);
  mlp_.InitHeNormal(generator);
  const auto options = torch::device(device);
  loss_sum_ = torch::zeros({}, options);
  hypotheses_ = torch::arange(config.members, options.dtype(torch::kInt64));
  labels_ = torch::empty({0, config.members + 1}, options);
  holdout_ = TransitionBatch::Empty(spec.layout, 0, device);
}

torch::Tensor HomoscedasticEnsemble::Inputs(const torch::Tensor& obs, const torch::Tensor& action) const {
  return torch::cat({standardizer_.Inputs(spec_.Features(obs)), action}, -1);
}

torch::Tensor HomoscedasticEnsemble::Targets(const TransitionBatch& rows) const {
  const torch::Tensor change = rows.next_obs() - rows.obs();
  return spec_.learn_reward ? torch::cat({change, rows.reward().unsqueeze(1)}, 1) : change;
}

torch::Tensor HomoscedasticEnsemble::Loss(const torch::Tensor& inputs, const torch::Tensor& targets,
                                          const torch::Tensor& weights, torch::Generator* dropout) const {
  const torch::Tensor mean = dropout != nullptr ? mlp_.Forward(inputs, *dropout) : mlp_.Forward(inputs);
  const torch::Tensor error = 0.5 * (mean - targets).square() * torch::exp(-2 * log_std_);
  const torch::Tensor loss = (error + log_std_.clamp_min(kLeastLogStd)) * (standardizer_.target_scale() != 0);
  return (loss.sum(-1) * weights).sum(0).mean();
}

torch::Tensor HomoscedasticEnsemble::Scores(const torch::Tensor& inputs, const torch::Tensor& targets) const {
  const torch::Tensor means = mlp_.Forward(inputs);
  torch::Tensor var = torch::exp(2 * log_std_.mean(0));
  if (config_.members > 1) {
    var = var + means.var(0);
  }
  const torch::Tensor score = 0.5 * ((means.mean(0) - targets).square() / var + torch::log(var));
  return (score * (standardizer_.target_scale() != 0)).sum(-1);
}

void HomoscedasticEnsemble::LabelNewRows(const ReplayBuffer& data, torch::Generator& generator) {
  const int64_t count = std::min(data.total_added() - rows_labelled_, data.size());
  rows_labelled_ = data.total_added();
  torch::Tensor labels = torch::empty({count, config_.members + 1}, labels_.options());
  labels.narrow(1, 0, config_.members).exponential_(1, generator);
  labels.select(1, config_.members).uniform_(0, 1, generator);
  const torch::Tensor all = torch::cat({labels_, labels});
  labels_ = all.narrow(0, all.size(0) - data.size(), data.size()).clone();
}

HomoscedasticEnsemble::FitRows HomoscedasticEnsemble::Split(const ReplayBuffer& data, torch::Generator& generator) {
  TransitionBatch rows = data.All();
  torch::Tensor labels = labels_;
  standardizer_.FitInputs(spec_.Features(rows.obs()));
  const torch::Tensor observed = torch::maximum(ColumnMagnitudes(rows.obs()), ColumnMagnitudes(rows.next_obs()));
  standardizer_.FitTargets(
      Targets(rows),
      spec_.learn_reward ? torch::cat({observed, ColumnMagnitudes(rows.reward().unsqueeze(1))}) : observed,
      PlainDeviations{});
  if (rows.size() <= kLeastHoldout) {
    throw std::runtime_error("the model needs at least " + std::to_string(kLeastHoldout + 1) +
                             " transitions to fit, got " + std::to_string(rows.size()));
  }
  const auto indices = hypotheses_.options();
  if (rows.size() > config_.max_rows) {
    const torch::Tensor drawn = torch::randperm(rows.size(), generator, indices).narrow(0, 0, config_.max_rows);
    rows.rows = rows.rows.index_select(0, drawn);
    labels = labels.index_select(0, drawn);
  }
  const torch::Tensor number = labels.select(1, config_.members);
  const auto below = (number < config_.holdout_ratio).sum().item<int64_t>();
  const int64_t held_out = std::clamp(below, kLeastHoldout, rows.size() - 1);
  const torch::Tensor order = number.argsort();
  const torch::Tensor train = order.narrow(0, held_out, rows.size() - held_out);
  torch::Tensor judged = order.narrow(0, 0, held_out);
  judged =
      judged.index_select(0, torch::randperm(held_out, generator, indices)
                                 .narrow(0, 0, std::min(held_out, config_.epoch_minibatches * config_.batch_size)));
  holdout_.rows = rows.rows.index_select(0, judged);
  const TransitionBatch trained{spec_.layout, rows.rows.index_select(0, train)};
  return {.train_inputs = Inputs(trained.obs(), trained.action()),
          .train_targets = standardizer_.Scaled(Targets(trained)),
          .train_weights = labels.index_select(0, train).narrow(1, 0, config_.members).contiguous(),
          .holdout_inputs = Inputs(holdout_.obs(), holdout_.action()),
          .holdout_targets = standardizer_.Scaled(Targets(holdout_))};
}

torch::Tensor HomoscedasticEnsemble::ComputeGradients(const torch::Tensor& inputs, const torch::Tensor& targets,
                                                      const torch::Tensor& weights) {
  torch::Tensor noisy = targets.expand({config_.members, targets.size(0), target_dim_});
  if (spec_.learn_reward) {
    noisy = noisy.clone();
    torch::Tensor reward = noisy.select(2, spec_.layout.obs_dim);
    reward.add_(torch::randn(reward.sizes(), generator_, reward.options()) *
                (kRewardNoise / ColumnUnits(standardizer_.target_scale())[spec_.layout.obs_dim]));
  }
  const int64_t rows = inputs.size(0);
  const int64_t block_rows = inputs.is_cpu() ? kBlockRows : rows;
  torch::Tensor loss = torch::zeros({}, inputs.options());
  parameters_.grads().zero_();
  for (int64_t begin = 0; begin < rows; begin += block_rows) {
    const int64_t count = std::min(block_rows, rows - begin);
    const torch::AutoGradMode with_gradients(true);
    const double share = static_cast<double>(count) / static_cast<double>(rows);
    const torch::Tensor part = share * Loss(inputs.narrow(0, begin, count), noisy.narrow(1, begin, count),
                                            weights.narrow(0, begin, count).t(), &generator_);
    AccumulateGradients(part, leaves_);
    loss += part.detach();
  }
  return loss;
}

void HomoscedasticEnsemble::ApplyGradients() {
  parameters_.values().mul_(left_by_decay_);
  adam_.Step();
}

void HomoscedasticEnsemble::TakeStep(const FitRows& data, const torch::Tensor& rows) {
  if (!input_rows_.defined() || input_rows_.size(0) != rows.size(0)) {
    input_rows_ = torch::empty({rows.size(0), data.train_inputs.size(1)}, data.train_inputs.options());
    target_rows_ = torch::empty({rows.size(0), target_dim_}, data.train_inputs.options());
    weight_rows_ = torch::empty({rows.size(0), config_.members}, data.train_inputs.options());
  }
  at::index_select_out(input_rows_, data.train_inputs, 0, rows);
  at::index_select_out(target_rows_, data.train_targets, 0, rows);
  at::index_select_out(weight_rows_, data.train_weights, 0, rows);
  minibatch_.Run(
      {AddressOf(input_rows_)},
      [this] {
        loss_sum_.add_(ComputeGradients(input_rows_, target_rows_, weight_rows_));
        ApplyGradients();
      },
      [this] {
        RepeatedWork::NamedTensors changed = StateTensors(adam_);
        changed["parameters"] = parameters_.values();
        changed["loss_sum"] = loss_sum_;
        return changed;
      });
}

std::optional<Metrics> HomoscedasticEnsemble::Fit(const ReplayBuffer& data, const Rng& rng,
                                                  const std::function<bool()>& stop) {
  const torch::NoGradGuard no_grad;
  StateTree before = SaveState(*this);
  const torch::Device device = parameters_.values().device();
  torch::Generator label_generator = MakeGenerator(rng.Split("labels"), device);
  torch::Generator row_generator = MakeGenerator(rng.Split("rows"), device);
  generator_.set_state(MakeGenerator(rng.Split("noise"), device).get_state());
  const bool first = rows_labelled_ == 0;
  LabelNewRows(data, label_generator);
  const FitRows rows = Split(data, row_generator);
  adam_.Reset();

  const int64_t train_count = rows.train_inputs.size(0);
  const int64_t batch_size = std::min(config_.batch_size, train_count);
  const int64_t batches = train_count / batch_size;  // of one permutation of the rows
  const int64_t epoch = std::min(config_.epoch_minibatches, batches);
  const auto scores = [&] {
    std::vector<torch::Tensor> parts;
    for (int64_t begin = 0; begin < rows.holdout_inputs.size(0); begin += config_.batch_size) {
      const int64_t count = std::min(config_.batch_size, rows.holdout_inputs.size(0) - begin);
      parts.push_back(
          Scores(rows.holdout_inputs.narrow(0, begin, count), rows.holdout_targets.narrow(0, begin, count)));
    }
    return torch::cat(parts);
  };
  const double patience =
      std::max(1.0, config_.patience * std::log(static_cast<double>(target_dim_))) * (first ? config_.first_fit : 1);
  PairedStopping stopping(scores(), static_cast<int64_t>(patience), static_cast<int64_t>(kLongestFit * patience));
  const double score_before = stopping.best();
  torch::Tensor best = parameters_.values().clone();
  int64_t best_epoch = 0;
  int64_t steps = 0;
  torch::Tensor order;
  while (stopping.wants_another()) {
    loss_sum_.zero_();
    for (int64_t i = 0; i < epoch; ++i, ++steps) {
      if (steps % batches == 0) {
        order = torch::randperm(train_count, row_generator, hypotheses_.options());
      }
      TakeStep(rows, order.narrow(0, steps % batches * batch_size, batch_size));
      if (stop()) {
        LoadState(before, *this);
        return std::nullopt;
      }
    }
    switch (stopping.Judge(scores())) {
      case PairedStopping::Verdict::kNotFinite:
        throw std::runtime_error("the model's score of held-out rows became non-finite in judgement " +
                                 std::to_string(stopping.judged()) + " of a fit on " + std::to_string(train_count) +
                                 " rows");
      case PairedStopping::Verdict::kBetter:
        best.copy_(parameters_.values());
        best_epoch = stopping.judged();
        break;
      default:
        break;
    }
  }
  const torch::Tensor report = torch::stack({loss_sum_ / epoch, parameters_.grads().norm()}).cpu();
  parameters_.values().copy_(best);

  Metrics metrics;
  metrics.Set("epochs", static_cast<double>(stopping.judged()));
  metrics.Set("best_epoch", static_cast<double>(best_epoch));
  metrics.Set("minibatches", static_cast<double>(steps));
  metrics.Set("train_rows", static_cast<double>(train_count));
  metrics.Set("holdout_rows", static_cast<double>(rows.holdout_inputs.size(0)));
  metrics.Set("loss", report[0].item<double>());
  metrics.Set("grad_norm", report[1].item<double>());  // of the last minibatch
  metrics.Set("holdout_score_before", score_before);
  metrics.Set("holdout_score", stopping.best());
  const torch::Tensor errors = [&] {
    const torch::Tensor mean =
        mlp_.Forward(rows.holdout_inputs.narrow(0, 0, std::min(rows.holdout_inputs.size(0), config_.batch_size)));
    const torch::Tensor targets = rows.holdout_targets.narrow(0, 0, mean.size(1));
    const torch::Tensor varies = standardizer_.target_scale() != 0;
    return torch::stack({((mean.mean(0) - targets).square() * varies).mean(), torch::exp(log_std_).mean()}).cpu();
  }();
  metrics.Set("holdout_mse", errors[0].item<double>());  // of the members' mean, in units of the targets' deviation
  metrics.Set("noise_std", errors[1].item<double>());    // in the same units
  return metrics;
}

GaussianPrediction HomoscedasticEnsemble::Predict(const torch::Tensor& obs, const torch::Tensor& action,
                                                  Members) const {
  const torch::Tensor mean = standardizer_.Target(mlp_.Forward(Inputs(obs, action)));
  const torch::Tensor& scale = standardizer_.target_scale();
  return {.mean = mean, .var = (torch::exp(2 * log_std_.to(mean.scalar_type())) * scale * scale).expand_as(mean)};
}

ModelStep HomoscedasticEnsemble::Next(const torch::Tensor& obs, const torch::Tensor& action,
                                      const StepDraws& draws) const {
  const torch::Tensor mean = mlp_.Forward(DealRows(Inputs(obs, action), draws.deal, config_.members));
  const torch::Tensor noise = torch::exp(log_std_.slice(2, 0, spec_.layout.obs_dim)) *
                              draws.noise.view({config_.members, -1, spec_.layout.obs_dim});
  const torch::Tensor y = mean + torch::constant_pad_nd(noise, {0, target_dim_ - spec_.layout.obs_dim});
  const torch::Tensor target = standardizer_.Target(CollectRows(y, draws.deal));
  return {.next_obs = DecodeObs(target, obs),
          .reward = spec_.learn_reward ? target.select(1, spec_.layout.obs_dim) : torch::Tensor()};
}

void HomoscedasticEnsemble::Step(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws,
                                 ModelSample& next) const {
  const torch::NoGradGuard no_grad;
  const ModelStep step = Next(obs, action, draws);
  next.next_obs.copy_(step.next_obs);
  if (spec_.learn_reward) {
    next.reward.copy_(step.reward);
  }
  next.hypothesis.copy_(HypothesisOfRows(draws.deal, config_.members));
}

torch::Tensor HomoscedasticEnsemble::DecodeObs(const torch::Tensor& target, const torch::Tensor& obs) const {
  return obs + target.slice(-1, 0, spec_.layout.obs_dim);
}

void HomoscedasticEnsemble::Rehearse() {
  const torch::NoGradGuard no_grad;
  const auto options = parameters_.values().options();
  ComputeGradients(torch::zeros({config_.batch_size, mlp_.shape().widths.front()}, options),
                   torch::zeros({config_.batch_size, target_dim_}, options),
                   torch::ones({config_.batch_size, config_.members}, options));
  ApplyGradients();
}

void HomoscedasticEnsemble::VisitState(StateVisitor& state) {
  state("parameters", parameters_.values());
  standardizer_.VisitState(state, /*scales_all=*/false);
  state.Resizable("labels", labels_);
  state("rows_labelled", rows_labelled_);
  state.Resizable("holdout", holdout_.rows);
  if (state.loading()) {
    const torch::Device device = parameters_.values().device();
    labels_ = labels_.to(device);
    holdout_.rows = holdout_.rows.to(device);
  }
}

}  // namespace reverie
