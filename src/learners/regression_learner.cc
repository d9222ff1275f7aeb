#include "reverie/learners/regression_learner.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "reverie/core/text.h"

namespace reverie {
namespace {

std::vector<DecaySegment> DecayOfWeights(const EnsembleMlp& mlp, double factor) {
  std::vector<DecaySegment> segments;
  int64_t begin = 0;
  for (size_t l = 0; factor > 0 && l < mlp.weights().size(); ++l) {
    segments.push_back({begin, begin + mlp.weights()[l].numel(), static_cast<float>(factor)});
    begin += mlp.weights()[l].numel() + mlp.biases()[l].numel();
  }
  return segments;
}

}  // namespace

void RegressionConfig::Visit(Fields& fields) {
  fields("hidden", hidden, "units of the hidden layers", AtLeast(1));
  fields("learning_rate", learning_rate, "Adam's learning rate", Above(0));
  fields("batch_size", batch_size, "labels of an update", AtLeast(1));
  fields("updates", updates, "updates of a fit", AtLeast(1));
  fields("weight_decay", weight_decay, "L2 decay of the weights", AtLeast(0));
}

RegressionLearner::RegressionLearner(const RegressionConfig& config, int64_t obs_dim, int64_t act_dim, const Rng& rng,
                                     const torch::Device& device)
    : config_(config),
      obs_dim_(obs_dim),
      act_dim_(act_dim),
      generator_(MakeGenerator(rng.Split("batches"), device)),
      normalizer_(obs_dim, device),
      actor_(obs_dim, act_dim, {.hidden = config.hidden, .activation = Activation::kSilu, .std = ActorStd::kNone},
             rng.Split("actor"), device, normalizer_),
      adam_(actor_.parameters(), config.learning_rate, DecayOfWeights(actor_.mlp(), config.weight_decay)),
      rows_(torch::empty({0, obs_dim + act_dim + act_dim * act_dim}, torch::device(device))) {}

void RegressionLearner::Add(const torch::Tensor& obs, const torch::Tensor& action, const torch::Tensor& precision) {
  const int64_t count = obs.size(0);
  const auto as_rows = [&](const torch::Tensor& tensor) {
    return tensor.to(rows_.options()).reshape({count, tensor.numel() / count});
  };
  const torch::Tensor weights =
      precision.defined() ? precision : torch::eye(act_dim_).expand({count, act_dim_, act_dim_});
  added_.push_back(torch::cat({as_rows(obs), as_rows(action), as_rows(weights)}, 1));
}

void RegressionLearner::ForgetRows() {
  added_.clear();
  rows_ = rows_.slice(0, 0, 0).clone();
}

int64_t RegressionLearner::rows() const {
  int64_t count = rows_.size(0);
  for (const torch::Tensor& rows : added_) {
    count += rows.size(0);
  }
  return count;
}

void RegressionLearner::Gather() {
  if (!added_.empty()) {
    added_.insert(added_.begin(), rows_);
    rows_ = torch::cat(added_);
    added_.clear();
  }
}

torch::Tensor RegressionLearner::precision() {
  Gather();
  return rows_.slice(1, obs_dim_ + act_dim_).to(torch::kCPU, torch::kFloat64).mean(0).view({act_dim_, act_dim_});
}

Metrics RegressionLearner::Fit() {
  Gather();
  if (rows() == 0) {
    throw std::logic_error("RegressionLearner: no labels to fit");
  }
  normalizer_.Fit(rows_.slice(1, 0, obs_dim_));
  adam_.Reset();
  const torch::Tensor mean_trace =
      rows_.slice(1, obs_dim_ + act_dim_).view({-1, act_dim_, act_dim_}).diagonal(0, 1, 2).mean();
  torch::Tensor loss_sum = torch::zeros({}, rows_.options());
  const bool draws = rows() > config_.batch_size;
  const int64_t batch_size = std::min(config_.batch_size, rows());
  const auto index_options = torch::device(rows_.device()).dtype(torch::kInt64);
  for (int64_t i = 0; i < config_.updates; ++i) {
    const torch::Tensor batch =
        draws ? rows_.index_select(0, torch::randint(rows(), {batch_size}, generator_, index_options)) : rows_;
    const torch::Tensor mean = actor_.Sample(batch.slice(1, 0, obs_dim_), {}).action;
    const torch::Tensor error = (mean - batch.slice(1, obs_dim_, obs_dim_ + act_dim_)).unsqueeze(2);
    const torch::Tensor precision = batch.slice(1, obs_dim_ + act_dim_).view({batch_size, act_dim_, act_dim_});
    const torch::Tensor loss = 0.5 * (error * torch::matmul(precision, error)).sum({1, 2}).mean() / mean_trace;
    loss_sum += loss.detach();
    BackPropagate(loss, {&actor_.parameters()}, actor_.leaves());
    adam_.Step();
  }
  const double loss = loss_sum.item<double>() / static_cast<double>(config_.updates);
  if (!std::isfinite(loss)) {
    throw std::runtime_error(Text("the loss of a fit to ", rows(), " labels is not finite"));
  }
  Metrics metrics;
  metrics.Set("loss", loss);
  metrics.Set("rows", static_cast<double>(rows()));
  return metrics;
}

void RegressionLearner::VisitState(StateVisitor& state) {
  state("generator", generator_);
  state("normalizer", normalizer_);
  state("actor", actor_.parameters().values());
  state("adam", adam_);
  Gather();
  state.Resizable("rows", rows_);
}

}  // namespace reverie
