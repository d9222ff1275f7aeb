#include "reverie/learners/sac_learner.h"

#include <ATen/ATen.h>

#include <array>
#include <cmath>
#include <stdexcept>
#include <string>

namespace reverie {
namespace {

constexpr std::array<const char*, 6> kMetricNames{"critic_loss", "actor_loss", "alpha_loss", "alpha", "entropy", "q"};

MlpShape CriticShape(const SacConfig& config, const TransitionLayout& layout) {
  MlpShape shape{.members = 2, .widths = {layout.obs_dim + layout.act_dim}, .activation = Activation::kRelu};
  shape.widths.insert(shape.widths.end(), config.hidden.begin(), config.hidden.end());
  shape.widths.push_back(1);
  return shape;
}

}  // namespace

void SacConfig::Visit(Fields& fields) {
  fields("hidden", hidden, "widths of the hidden layers of actor and critics", AtLeast(1));
  fields.Check([this] { return !hidden.empty(); }, "at least one hidden layer");
  fields("learning_rate", learning_rate, "Adam's step size for actor, critics and alpha", Above(0));
  fields("discount", discount, "discount factor per step", Between(0, 1));
  fields("batch_size", batch_size, "rows in a minibatch", AtLeast(1));
  fields("target_entropy", target_entropy, "entropy that alpha is steered towards; auto: minus the action dimension");
  fields("tau", tau, "share of the critics that the targets take over in each update", Between(0, 1));
}

SacLearner::SacLearner(const SacConfig& config, const TransitionLayout& layout, const Rng& rng,
                       const torch::Device& device)
    : config_(config),
      layout_(layout),
      target_entropy_(config.target_entropy.value_or(-static_cast<double>(layout.act_dim))),
      actor_(layout.obs_dim, layout.act_dim, config.hidden, rng.Split("actor"), device),
      critic_parameters_(CriticShape(config, layout).ParameterCount(), device),
      target_parameters_(CriticShape(config, layout).ParameterCount(), device),
      log_alpha_(1, device),
      critics_(CriticShape(config, layout), critic_parameters_),
      target_critics_(CriticShape(config, layout), target_parameters_),
      actor_adam_(actor_.parameters(), config.learning_rate),
      critic_adam_(critic_parameters_, config.learning_rate),
      alpha_adam_(log_alpha_, config.learning_rate),
      generator_(MakeGenerator(rng.Split("updates"), device)),
      batch_(TransitionBatch::Empty(layout, config.batch_size, device)),
      sums_(torch::zeros({static_cast<int64_t>(kMetricNames.size())}, torch::device(device))) {
  torch::Generator init = MakeGenerator(rng.Split("critics"), device);
  critics_.InitXavierUniform(init);
  target_parameters_.values().copy_(critic_parameters_.values());
}

void SacLearner::Update(const MixedSampler& sampler, int64_t updates) {
  const at::TensorOptions options = batch_.rows.options();
  for (int64_t i = 0; i < updates; ++i) {
    sampler.SampleInto(batch_, generator_);
    const torch::Tensor noise = torch::randn({2, config_.batch_size, layout_.act_dim}, generator_, options);
    UpdateOn(batch_, noise[0], noise[1]);
  }
  FiniteMeans();
}

void SacLearner::UpdateOn(const TransitionBatch& batch, const torch::Tensor& next_noise, const torch::Tensor& noise) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor critic_loss = CriticGradients(batch, next_noise);
  critic_adam_.StepWithTarget(target_parameters_, config_.tau);  // nothing below looks at the targets
  const torch::Tensor q = critic_tape_.output().mean();
  const torch::Tensor actor_loss = ActorGradients(batch, noise);
  actor_adam_.Step();
  const torch::Tensor alpha_loss = AlphaGradient();
  alpha_adam_.Step();
  sums_.add_(torch::stack({critic_loss, actor_loss, alpha_loss, alpha_, -mean_log_prob_, q}));
  ++drained_updates_;
  ++updates_;
}

torch::Tensor SacLearner::CriticGradients(const TransitionBatch& batch, const torch::Tensor& next_noise) {
  const torch::NoGradGuard no_grad;
  alpha_ = log_alpha_.values()[0].exp();
  const int64_t rows = batch.size();
  if (!obs_action_.defined() || obs_action_.size(0) != rows) {
    obs_action_ = torch::empty({rows, layout_.obs_dim + layout_.act_dim}, batch.rows.options());
  }
  const SquashedSample next = SampleSquashed(actor_.mlp().Forward(batch.next_obs(), actor_tape_)[0], next_noise);
  obs_action_.narrow(1, 0, layout_.obs_dim).copy_(batch.next_obs());
  obs_action_.narrow(1, layout_.obs_dim, layout_.act_dim).copy_(next.action);
  const torch::Tensor& next_q = target_critics_.Forward(obs_action_, target_tape_);  // [2, B, 1]
  const torch::Tensor next_value = at::minimum(next_q[0], next_q[1]).squeeze(1) - alpha_ * next.log_prob;
  const torch::Tensor target = batch.reward() + config_.discount * (1 - batch.terminated()) * next_value;  // [B]

  const torch::Tensor error = critics_.Forward(batch.obs_action(), critic_tape_) - target.unsqueeze(1);  // [2, B, 1]
  const torch::Tensor weighted = error * batch.log_weight().exp().unsqueeze(1);
  critics_.Backward(weighted / static_cast<double>(rows), critic_tape_);
  return 0.5 * (weighted * error).sum() / static_cast<double>(rows);
}

torch::Tensor SacLearner::ActorGradients(const TransitionBatch& batch, const torch::Tensor& noise) {
  const torch::NoGradGuard no_grad;
  const auto rows = static_cast<double>(batch.size());
  const SquashedSample sample = SampleSquashed(actor_.mlp().Forward(batch.obs(), actor_tape_)[0], noise);
  obs_action_.narrow(1, 0, layout_.obs_dim).copy_(batch.obs());
  obs_action_.narrow(1, layout_.obs_dim, layout_.act_dim).copy_(sample.action);
  const torch::Tensor& q = critics_.Forward(obs_action_, critic_tape_);  // [2, B, 1]
  const torch::Tensor first_is_min = (q[0] <= q[1]).to(q.scalar_type());
  const torch::Tensor q_grad = torch::stack({first_is_min, 1 - first_is_min}).mul_(-1 / rows);
  const torch::Tensor action_grad =
      critics_.InputGradient(q_grad, critic_tape_, layout_.obs_dim, layout_.obs_dim + layout_.act_dim);
  const torch::Tensor head_grad = SquashedHeadGradient(sample, action_grad, alpha_ / rows);
  actor_.mlp().Backward(head_grad.unsqueeze(0), actor_tape_);
  mean_log_prob_ = sample.log_prob.mean();
  return alpha_ * mean_log_prob_ - at::minimum(q[0], q[1]).mean();
}

torch::Tensor SacLearner::AlphaGradient() {
  const torch::NoGradGuard no_grad;
  const torch::Tensor excess = mean_log_prob_ + target_entropy_;
  log_alpha_.grads().copy_(-excess.view(1));
  return -log_alpha_.values()[0] * excess;
}

std::vector<double> SacLearner::FiniteMeans() const {
  const torch::Tensor means = (sums_ / static_cast<double>(drained_updates_)).cpu();
  std::vector<double> values(means.data_ptr<float>(), means.data_ptr<float>() + means.numel());
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      throw std::runtime_error(std::string("SAC's ") + kMetricNames[i] + " is not finite at update " +
                               std::to_string(updates_));
    }
  }
  return values;
}

Metrics SacLearner::DrainMetrics() {
  Metrics metrics;
  if (drained_updates_ == 0) {
    return metrics;
  }
  const std::vector<double> means = FiniteMeans();
  for (size_t i = 0; i < kMetricNames.size(); ++i) {
    metrics.Set(kMetricNames[i], means[i]);
  }
  sums_.zero_();
  drained_updates_ = 0;
  return metrics;
}

void SacLearner::VisitState(StateVisitor& state) {
  state("actor", actor_.parameters().values());
  state("critics", critic_parameters_.values());
  state("targets", target_parameters_.values());
  state("log_alpha", log_alpha_.values());
  state("actor_adam", actor_adam_);
  state("critic_adam", critic_adam_);
  state("alpha_adam", alpha_adam_);
  state("generator", generator_);
  state("sums", sums_);
  state("drained_updates", drained_updates_);
  state("updates", updates_);
}

}  // namespace reverie
