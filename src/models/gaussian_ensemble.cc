#include "reverie/models/gaussian_ensemble.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <stdexcept>
#include <utility>

#include "imagination.h"
#include "nn/safe_sqrt.h"
#include "reverie/core/log.h"
#include "reverie/data/column_statistics.h"

namespace reverie {
namespace {

constexpr double kInitialMaxLogVar = 0.5;
constexpr double kInitialMinLogVar = -10;
// Deviations of targets below that of the least noise that a new network can predict.
const double kLeastNoise = std::exp(kInitialMinLogVar / 2);
// What an input that does not vary is divided by: the networks, which never learned what it does, do not see it.
constexpr double kUnseen = 1e30;
constexpr float kBoundPenalty = 0.01F;

int64_t TargetDim(const ModelSpec& spec) { return spec.layout.obs_dim + (spec.learn_reward ? 1 : 0); }

MlpShape NetworkShape(const GaussianEnsembleConfig& config, const ModelSpec& spec, int64_t members) {
  const int64_t obs_dim = spec.layout.obs_dim;
  const int64_t feature_dim = spec.features ? spec.features(torch::zeros({1, obs_dim})).size(1) : obs_dim;
  MlpShape shape{.members = members, .widths = {feature_dim + spec.layout.act_dim}, .activation = Activation::kSilu};
  shape.widths.insert(shape.widths.end(), config.hidden.begin(), config.hidden.end());
  shape.widths.push_back(spec.probabilistic ? 2 * TargetDim(spec) : TargetDim(spec));
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
  fields("normalize_targets", normalize_targets, "standardise every target dimension by the training split");
  fields("precision", precision,
         "least precision of the elites' products in imagined steps, which takes effect on a CPU with AMX: each number "
         "as a float32, two bfloat16 (bf16x2) or one (bf16)");
}

std::string GaussianEnsembleConfig::LacksOf(int64_t exploration_steps, int64_t replay_capacity) const {
  const int64_t rows = std::min(exploration_steps, replay_capacity);
  return rows < LeastRows() ? "a first fit needs " + std::to_string(LeastRows()) +
                                  " transitions, one of them held out, and gets " + std::to_string(rows) +
                                  ": raise exploration_steps or replay_capacity, or set model.holdout_ratio to 0"
                            : "";
}

GaussianEnsemble::GaussianEnsemble(const GaussianEnsembleConfig& config, const ModelSpec& spec, const Rng& rng,
                                   const torch::Device& device)
    : config_(config),
      spec_(spec),
      target_dim_(TargetDim(spec)),
      parameters_(
          NetworkShape(config, spec, config.members).ParameterCount() + (spec.probabilistic ? 2 * target_dim_ : 0),
          device),
      mlp_(NetworkShape(config, spec, config.members), parameters_),
      elite_parameters_(NetworkShape(config, spec, config.elites).ParameterCount(), device),
      elite_mlp_(NetworkShape(config, spec, config.elites), elite_parameters_),
      packed_elites_(elite_mlp_, config.precision),
      adam_(parameters_, config.learning_rate, DecayOf(config, mlp_, parameters_)),
      minibatch_("the ensemble's minibatch", device) {
  torch::Generator generator = MakeGenerator(rng.Split("init"), device);
  mlp_.InitTruncatedNormal(generator);
  if (spec.probabilistic) {
    max_log_var_ = parameters_.Take({1, target_dim_});
    min_log_var_ = parameters_.Take({1, target_dim_});
    max_log_var_.value.fill_(kInitialMaxLogVar);
    min_log_var_.value.fill_(kInitialMinLogVar);
  }

  const auto options = torch::device(device);
  const int64_t input_dim = mlp_.shape().widths.front();
  input_mean_ = torch::zeros({input_dim}, options);
  input_std_ = torch::ones({input_dim}, options);
  target_mean_ = torch::zeros({target_dim_}, options);
  target_std_ = torch::ones({target_dim_}, options);
  target_offset_ = torch::zeros({target_dim_}, options);
  target_scale_ = torch::ones({target_dim_}, options);
  loss_ = torch::zeros({}, options);
  loss_sum_ = torch::zeros({}, options);
  holdout_ = TransitionBatch::Empty(spec.layout, 0, device);
  input_rows_ = torch::empty({config.members, config.batch_size, input_dim}, options);
  target_rows_ = torch::empty({config.members, config.batch_size, target_dim_}, options);
  elites_ = torch::arange(config.elites, options.dtype(torch::kInt64));
  SetElites(elites_);
}

void GaussianEnsemble::SetElites(const torch::Tensor& elites) {
  elites_.copy_(elites);
  for (size_t l = 0; l < mlp_.weights().size(); ++l) {
    torch::Tensor weight = elite_mlp_.weights()[l];
    torch::Tensor bias = elite_mlp_.biases()[l];
    at::index_select_out(weight, mlp_.weights()[l], 0, elites_);
    at::index_select_out(bias, mlp_.biases()[l], 0, elites_);
  }
  packed_elites_ = PackedMlp(elite_mlp_, config_.precision);
}

torch::Tensor GaussianEnsemble::Inputs(const torch::Tensor& obs, const torch::Tensor& action) const {
  return torch::cat({spec_.features ? spec_.features(obs) : obs, action}, -1);
}

torch::Tensor GaussianEnsemble::Targets(const TransitionBatch& rows) const {
  torch::Tensor target = config_.target == ModelTarget::kDelta ? rows.next_obs() - rows.obs() : rows.next_obs();
  if (spec_.learn_reward) {
    target = torch::cat({target, rows.reward().unsqueeze(1)}, 1);
  }
  return target;
}

void GaussianEnsemble::Standardise(const TransitionBatch& train, const torch::Tensor& inputs) {
  const ColumnStatistics of_inputs = StatisticsOfColumns(inputs);
  input_mean_.copy_(of_inputs.mean);
  input_std_.copy_(of_inputs.std.masked_fill(of_inputs.std == 0, kUnseen));
  const torch::Tensor targets = Targets(train);
  torch::Tensor magnitudes = ColumnMagnitudes(targets);
  if (config_.target == ModelTarget::kDelta) {  // differences of observations, with the rounding of those
    torch::Tensor of_obs = magnitudes.narrow(0, 0, spec_.layout.obs_dim);
    of_obs.copy_(torch::maximum(of_obs, ColumnMagnitudes(train.next_obs())));
  }
  const ColumnStatistics of_targets = StatisticsOfColumns(targets, magnitudes);
  target_mean_.copy_(of_targets.mean);
  target_std_.copy_(of_targets.std);
  const torch::Tensor in_units =
      config_.normalize_targets ? torch::ones_like(target_std_, torch::kBool) : target_std_ < kLeastNoise;
  target_offset_.copy_(target_mean_ * in_units);
  target_scale_.copy_(torch::where(in_units, target_std_, 1));
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
  if (spec_.probabilistic) {
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

void GaussianEnsemble::ApplyGradients() { adam_.Step(); }

void GaussianEnsemble::LogPrecision() const {
  if (config_.precision != Precision::kFloat32 && !(loss_.is_cpu() && HasCoarserPrecision())) {
    LogInfo("model.precision takes effect on a CPU with AMX; the model's products are float32 here");
  }
}

void GaussianEnsemble::RehearseMinibatch() {
  const torch::NoGradGuard no_grad;
  ComputeGradients(input_rows_.zero_(), target_rows_.zero_());
  ApplyGradients();
}

std::optional<Metrics> GaussianEnsemble::Fit(const ReplayBuffer& data, const Rng& rng,
                                             const std::function<bool()>& stop) {
  const torch::NoGradGuard no_grad;
  StateTree before = SaveState(*this);
  const torch::Device device = parameters_.values().device();
  const auto index_options = torch::dtype(torch::kInt64).device(device);
  torch::Generator split_generator = MakeGenerator(rng.Split("split"), device);
  torch::Generator bootstrap_generator = MakeGenerator(rng.Split("bootstrap"), device);
  torch::Generator shuffle_generator = MakeGenerator(rng.Split("shuffle"), device);

  // A new split.
  const TransitionBatch all = data.All();
  const int64_t count = all.size();
  const auto wanted = static_cast<int64_t>(static_cast<double>(count) * config_.holdout_ratio);
  const bool holds_out = config_.holdout_ratio > 0;
  const int64_t holdout_count = holds_out ? std::max<int64_t>(1, std::min(wanted, config_.max_holdout)) : 0;
  const int64_t train_count = count - holdout_count;
  if (train_count < 1) {
    throw std::runtime_error("the model needs at least " + std::to_string(config_.LeastRows()) +
                             " transitions to fit, got " + std::to_string(count));
  }
  const torch::Tensor order = torch::randperm(count, split_generator, index_options);
  holdout_ = {spec_.layout, all.rows.index_select(0, order.narrow(0, 0, holdout_count))};
  const TransitionBatch train{spec_.layout, all.rows.index_select(0, order.narrow(0, holdout_count, train_count))};

  const torch::Tensor train_rows = Inputs(train.obs(), train.action());
  Standardise(train, train_rows);
  const torch::Tensor train_inputs = (train_rows - input_mean_) / input_std_;
  const torch::Tensor holdout_inputs = (Inputs(holdout_.obs(), holdout_.action()) - input_mean_) / input_std_;
  const torch::Tensor target_unit = ColumnUnits(target_scale_);
  const torch::Tensor train_targets = (Targets(train) - target_offset_) / target_unit;
  const torch::Tensor holdout_targets = (Targets(holdout_) - target_offset_) / target_unit;

  // Each member's own resample, with replacement.
  const int64_t members = config_.members;
  const torch::Tensor bootstrap =
      torch::randint(train_count, {members, train_count}, bootstrap_generator, index_options);

  const torch::Tensor constant = target_scale_ == 0;            // what the networks say of those is never read
  const auto square_error = [&](const torch::Tensor& output) {  // [E, B, D]
    return (Mean(output).masked_fill(constant, 0) - holdout_targets).square();
  };

  torch::Tensor best_error = torch::full({members}, std::numeric_limits<float>::infinity(), torch::device(device));
  FlatParameters best_block(parameters_.values().numel(), device);
  const EnsembleMlp best_mlp(mlp_.shape(), best_block);
  int64_t epochs = 0;
  int64_t since_improvement = 0;
  int64_t minibatches = 0;
  while (since_improvement <= config_.patience && (config_.max_epochs == 0 || epochs < config_.max_epochs)) {
    const torch::Tensor rows = bootstrap.gather(1, Permutations(members, train_count, shuffle_generator, device));
    loss_sum_.zero_();
    minibatches = 0;
    for (int64_t begin = 0; begin < train_count; begin += config_.batch_size) {
      const int64_t size = std::min(config_.batch_size, train_count - begin);
      const torch::Tensor index = rows.narrow(1, begin, size).reshape({-1});
      torch::Tensor inputs = input_rows_.view({members * config_.batch_size, -1}).narrow(0, 0, members * size);
      torch::Tensor targets = target_rows_.view({members * config_.batch_size, -1}).narrow(0, 0, members * size);
      at::index_select_out(inputs, train_inputs, 0, index);
      at::index_select_out(targets, train_targets, 0, index);
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
        LoadState(before, *this);
        return std::nullopt;
      }
    }
    ++epochs;
    if (!holds_out) {
      if (!std::isfinite(loss_sum_.item<float>())) {
        throw std::runtime_error("the model's loss became non-finite in epoch " + std::to_string(epochs) +
                                 " of a fit on " + std::to_string(train_count) + " rows");
      }
      continue;
    }
    const torch::Tensor error = square_error(mlp_.Infer(holdout_inputs)).mean({1, 2});  // [E]
    const torch::Tensor improved = error < best_error * 0.99;
    best_error = torch::where(improved, error, best_error);
    const torch::Tensor gate = improved.view({-1, 1, 1});
    for (size_t l = 0; l < mlp_.weights().size(); ++l) {
      best_mlp.weights()[l].copy_(torch::where(gate, mlp_.weights()[l], best_mlp.weights()[l]));
      best_mlp.biases()[l].copy_(torch::where(gate, mlp_.biases()[l], best_mlp.biases()[l]));
    }
    // The epoch's one number for the host: how many members improved, not a number where an error is none.
    const double improvements = (improved.sum() + 0 * error.sum()).item<double>();
    if (!std::isfinite(improvements)) {
      throw std::runtime_error("the model's hold-out error became non-finite in epoch " + std::to_string(epochs) +
                               " of a fit on " + std::to_string(train_count) + " rows");
    }
    since_improvement = improvements > 0 ? 0 : since_improvement + 1;
  }

  Metrics metrics;
  metrics.Set("epochs", static_cast<double>(epochs));
  metrics.Set("train_rows", static_cast<double>(train_count));
  metrics.Set("holdout_rows", static_cast<double>(holdout_count));
  const torch::Tensor report = torch::stack({loss_sum_ / minibatches, parameters_.grads().norm()}).cpu();
  metrics.Set("loss", report[0].item<double>());
  metrics.Set("grad_norm", report[1].item<double>());  // of the last minibatch
  if (!holds_out) {
    SetElites(elites_);
    return metrics;
  }
  for (size_t l = 0; l < mlp_.weights().size(); ++l) {
    torch::Tensor weight = mlp_.weights()[l];
    torch::Tensor bias = mlp_.biases()[l];
    weight.copy_(best_mlp.weights()[l]);
    bias.copy_(best_mlp.biases()[l]);
  }
  const torch::Tensor output = mlp_.Infer(holdout_inputs);
  const torch::Tensor square = square_error(output);
  const torch::Tensor mse = square.mean({1, 2});
  SetElites(mse.argsort().narrow(0, 0, config_.elites).contiguous());
  const auto log_members = [&](const std::string& name, const torch::Tensor& numbers) {
    const torch::Tensor on_host = numbers.to(torch::kCPU, torch::kFloat64);
    for (int64_t i = 0; i < numbers.size(0); ++i) {
      metrics.Set(name + std::to_string(i), on_host[i].item<double>());
    }
  };
  log_members("holdout_mse_", mse);
  if (spec_.probabilistic) {
    const torch::Tensor log_var = LogVar(output);
    const torch::Tensor nll = 0.5 * (square * torch::exp(-log_var) + log_var + std::log(2 * std::numbers::pi));
    log_members("holdout_nll_", nll.masked_fill(constant, 0).mean({1, 2}));
  }
  log_members("elite_", elites_);
  return metrics;
}

GaussianPrediction GaussianEnsemble::Predict(const torch::Tensor& obs, const torch::Tensor& action,
                                             Members members) const {
  const torch::Tensor inputs = (Inputs(obs, action) - input_mean_) / input_std_;
  const bool all = members == Members::kAll;
  const torch::Tensor output = torch::GradMode::is_enabled() ? (all ? mlp_ : elite_mlp_).Forward(inputs)
                               : all                         ? mlp_.Infer(inputs)
                                                             : packed_elites_.Infer(inputs);
  const torch::Tensor mean = Mean(output) * target_scale_ + target_offset_;
  return {.mean = mean,
          .var = spec_.probabilistic ? torch::exp(LogVar(output)) * target_scale_ * target_scale_
                                     : torch::zeros_like(mean)};
}

void GaussianEnsemble::Sample(const torch::Tensor& obs, const torch::Tensor& action, const torch::Tensor& deal,
                              torch::Generator& generator, ModelSample& sample) const {
  // Each elite computes only its own rows, and no count has to come back to the host.
  const torch::NoGradGuard no_grad;
  const int64_t rows = obs.size(0);
  const int64_t share = (rows + config_.elites - 1) / config_.elites;
  const auto empty = [&](int64_t width) { return torch::empty({config_.elites, share, width}, obs.options()); };
  torch::Tensor inputs = empty(input_mean_.size(0));
  DealInputs(spec_.features ? spec_.features(obs) : obs, action, deal, input_mean_, input_std_, inputs);
  const torch::Tensor output = packed_elites_.Infer(inputs);
  if (!spec_.probabilistic) {
    const torch::Tensor dealt = output.view({-1, target_dim_}).narrow(0, 0, rows);
    const torch::Tensor target = torch::empty_like(dealt).index_copy_(0, deal, dealt);
    WriteSample(target * target_scale_ + target_offset_, obs, sample);
    const torch::Tensor slots = torch::arange(rows, deal.options());
    sample.member.index_copy_(0, deal, slots.div_(share, "floor"));
    return;
  }
  const torch::Tensor noise = empty(target_dim_).normal_(0, 1, generator);
  DrawTargets(output, noise, deal,
              {.max_log_var = max_log_var_.value,
               .min_log_var = min_log_var_.value,
               .offset = target_offset_,
               .scale = target_scale_,
               .add_obs = config_.target == ModelTarget::kDelta},
              obs, sample);
}

void GaussianEnsemble::SampleFrom(const GaussianPrediction& prediction, const torch::Tensor& obs,
                                  torch::Generator& generator, ModelSample& sample) const {
  const int64_t rows = obs.size(0);
  sample.member.random_(0, config_.elites, generator);
  const torch::Tensor index = sample.member.view({1, rows, 1}).expand({1, rows, target_dim_});
  const torch::Tensor mean = prediction.mean.gather(0, index).squeeze(0);
  const torch::Tensor std = SafeSqrt(prediction.var.gather(0, index).squeeze(0));
  const torch::Tensor target = mean + std * torch::randn(mean.sizes(), generator, mean.options());
  WriteSample(target, obs, sample);
}

void GaussianEnsemble::WriteSample(const torch::Tensor& target, const torch::Tensor& obs, ModelSample& sample) const {
  sample.next_obs.copy_(DecodeObs(target, obs));
  if (spec_.learn_reward) {
    sample.reward.copy_(target.select(-1, spec_.layout.obs_dim));
  }
}

torch::Tensor GaussianEnsemble::DecodeObs(const torch::Tensor& target, const torch::Tensor& obs) const {
  const torch::Tensor observed = target.slice(-1, 0, spec_.layout.obs_dim);
  return config_.target == ModelTarget::kDelta ? obs + observed : observed;
}

void GaussianEnsemble::VisitState(StateVisitor& state) {
  state("parameters", parameters_.values());
  state("adam", adam_);
  state("input_mean", input_mean_);
  state("input_std", input_std_);
  state("target_mean", target_mean_);
  state("target_std", target_std_);
  if (!state.loading() || state.Has("target_scale")) {
    state("target_offset", target_offset_);
    state("target_scale", target_scale_);
  } else if (config_.normalize_targets) {  // an older version's state
    target_offset_.copy_(target_mean_);
    target_scale_.copy_(target_std_);
  }
  state("elites", elites_);
  state.Resizable("holdout", holdout_.rows);
  if (state.loading()) {
    holdout_.rows = holdout_.rows.to(parameters_.values().device());
    SetElites(elites_);
  }
}

}  // namespace reverie
