#include "reverie/learners/sac_learner.h"

#include <ATen/ATen.h>

#include <array>
#include <cmath>
#include <sstream>
#include <string>
#include <utility>

#include "reverie/core/log.h"
#include "sac_losses.h"

namespace reverie {
namespace {

// The metrics and their places in one tensor.
enum Metric : int64_t {
  kCriticLoss,
  kActorLoss,
  kAlphaLoss,
  kAlpha,
  kEntropy,
  kQ,
  kCriticGradNorm,
  kActorGradNorm,
  kMetrics
};
constexpr std::array<const char*, kMetrics> kMetricNames{
    "critic_loss", "actor_loss", "alpha_loss", "alpha", "entropy", "q", "critic_grad_norm", "actor_grad_norm"};

// Beyond them alpha is 0 or swamps every reward; its logarithm could run on until exp() overflows.
constexpr double kLowestLogAlpha = -20;
constexpr double kHighestLogAlpha = 10;

// |Q| this many times what the rewards allow is no error of estimation any more.
constexpr double kDivergence = 10;

MlpShape CriticShape(const SacConfig& config, const TransitionLayout& layout) {
  return {.members = 2, .widths = Widths(layout.obs_dim + layout.act_dim, config.hidden, 1)};
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
                       const torch::Device& device, std::optional<ValueExpansion> expansion)
    : config_(config),
      layout_(layout),
      expansion_(std::move(expansion)),
      target_entropy_(config.target_entropy.value_or(-static_cast<double>(layout.act_dim))),
      actor_(layout.obs_dim, layout.act_dim, {.hidden = config.hidden}, rng.Split("actor"), device),
      critic_parameters_(CriticShape(config, layout).ParameterCount(), device),
      target_parameters_(CriticShape(config, layout).ParameterCount(), device),
      log_alpha_(1, device),
      critics_(CriticShape(config, layout), critic_parameters_),
      target_critics_(CriticShape(config, layout), target_parameters_),
      actor_adam_(actor_.parameters(), config.learning_rate),
      critic_adam_(critic_parameters_, config.learning_rate),
      alpha_adam_(log_alpha_, config.learning_rate),
      generator_(MakeGenerator(rng.Split("updates"), device)),
      update_("SAC's update", device, {generator_}),
      batch_(TransitionBatch::Empty(layout, config.batch_size, device)),
      noise_(torch::empty({2, config.batch_size, layout.act_dim}, torch::device(device))),
      losses_(torch::zeros({kMetrics}, torch::device(device))),
      means_("SAC's", {kMetricNames.begin(), kMetricNames.end()}, device),
      largest_reward_(torch::zeros({}, torch::device(device))) {
  torch::Generator init = MakeGenerator(rng.Split("critics"), device);
  critics_.InitXavierUniform(init);
  target_parameters_.values().copy_(critic_parameters_.values());
}

void SacLearner::Update(MixedSampler& sampler, int64_t updates) {
  const torch::NoGradGuard no_grad;
  Prepare(config_.batch_size);
  std::vector<int64_t> key = sampler.Key(config_.batch_size);
  key.push_back(workspaces_);
  for (int64_t i = 0; i < updates; ++i) {
    update_.Run(
        key,
        [&] {
          sampler.SampleInto(batch_, generator_);
          noise_.normal_(0, 1, generator_);
          Step(batch_, noise_[0], noise_[1]);
        },
        [this] { return StateTensors(*this); });
  }
  Count(batch_, updates);
  means_.FiniteMeans(updates_);
}

void SacLearner::UpdateOn(const TransitionBatch& batch, const torch::Tensor& next_noise, const torch::Tensor& noise) {
  Step(batch, next_noise, noise);
  Count(batch, 1);
}

void SacLearner::Count(const TransitionBatch& batch, int64_t updates) {
  at::maximum_out(largest_reward_, largest_reward_, batch.reward().abs().max());
  means_.Count(updates);
  updates_ += updates;
}

void SacLearner::Step(const TransitionBatch& batch, const torch::Tensor& next_noise, const torch::Tensor& noise) {
  const torch::NoGradGuard no_grad;
  CriticGradients(batch, next_noise);
  torch::Tensor norm = losses_[kCriticGradNorm];
  at::linalg_vector_norm_out(norm, critic_parameters_.grads());
  critic_adam_.StepWithTarget(target_parameters_, config_.tau);  // nothing below looks at the targets
  ActorGradients(batch, noise);
  norm = losses_[kActorGradNorm];
  at::linalg_vector_norm_out(norm, actor_.parameters().grads());
  actor_adam_.Step();
  AlphaGradient();
  alpha_adam_.Step();
  log_alpha_.values().clamp_(kLowestLogAlpha, kHighestLogAlpha);
  means_.Add(losses_);
}

torch::Tensor SacLearner::CriticGradients(const TransitionBatch& batch, const torch::Tensor& next_noise) {
  const torch::NoGradGuard no_grad;
  Prepare(batch.size());
  torch::Tensor alpha = losses_[kAlpha];
  at::exp_out(alpha, log_alpha_.values()[0]);
  torch::Tensor loss = losses_[kCriticLoss];
  torch::Tensor q_mean = losses_[kQ];
  const torch::Tensor& q = critics_.Forward(batch.obs_action(), critic_tape_);
  if (expansion_) {
    const torch::Tensor y =
        expansion_->Target(batch, actor_, target_critics_, alpha, expansion_->Draw(next_noise, generator_));
    CriticLossTowards(batch, q, y, q_grad_, loss, q_mean);
  } else {
    SampleSquashed(actor_.mlp().Forward(batch.next_obs(), actor_tape_), next_noise, sample_);
    JoinObsAction(batch.next_obs());
    const torch::Tensor& next_q = target_critics_.Forward(obs_action_, target_tape_);
    CriticLoss(batch, q, next_q, sample_.log_prob, alpha, config_.discount, q_grad_, loss, q_mean);
  }
  critics_.Backward(q_grad_, critic_tape_);
  return loss;
}

torch::Tensor SacLearner::ActorGradients(const TransitionBatch& batch, const torch::Tensor& noise) {
  const torch::NoGradGuard no_grad;
  SampleSquashed(actor_.mlp().Forward(batch.obs(), actor_tape_), noise, sample_);
  JoinObsAction(batch.obs());
  const torch::Tensor& q = critics_.Forward(obs_action_, critic_tape_);
  torch::Tensor loss = losses_[kActorLoss];
  torch::Tensor entropy = losses_[kEntropy];
  ActorLoss(q, sample_.log_prob, losses_[kAlpha], q_grad_, log_prob_grad_, loss, entropy);
  critics_.InputGradient(q_grad_, critic_tape_, layout_.obs_dim, layout_.obs_dim + layout_.act_dim, action_grad_);
  SquashedHeadGradient(sample_, action_grad_[0].add_(action_grad_[1]), log_prob_grad_, head_grad_[0]);
  actor_.mlp().Backward(head_grad_, actor_tape_);
  return loss;
}

torch::Tensor SacLearner::AlphaGradient() {
  const torch::NoGradGuard no_grad;
  torch::Tensor loss = losses_[kAlphaLoss];
  AlphaLoss(log_alpha_.values(), losses_[kEntropy], target_entropy_, log_alpha_.grads(), loss);
  return loss;
}

void SacLearner::JoinObsAction(const torch::Tensor& obs) {
  obs_action_.narrow(1, 0, layout_.obs_dim).copy_(obs);
  obs_action_.narrow(1, layout_.obs_dim, layout_.act_dim).copy_(sample_.action);
}

void SacLearner::Prepare(int64_t rows) {
  if (obs_action_.defined() && obs_action_.size(0) == rows) {
    return;
  }
  ++workspaces_;
  const torch::Device device = losses_.device();
  const auto empty = [&](at::IntArrayRef sizes) { return torch::empty(sizes, torch::device(device)); };
  sample_ = SquashedSample::Empty(rows, layout_.act_dim, device);
  obs_action_ = empty({rows, layout_.obs_dim + layout_.act_dim});
  q_grad_ = empty({2, rows, 1});
  action_grad_ = empty({2, rows, layout_.act_dim});
  head_grad_ = empty({1, rows, 2 * layout_.act_dim});
  log_prob_grad_ = empty({});
}

Metrics SacLearner::DrainMetrics() {
  Metrics metrics = means_.Drain(updates_);
  if (!metrics.empty()) {
    metrics.Set("q_max", LargestValue(metrics.Find("alpha").value() * std::abs(metrics.Find("entropy").value())));
  }
  return metrics;
}

double SacLearner::LargestValue(double entropy_bonus) {
  const torch::Tensor largest = torch::stack({critic_tape_.output().abs().max(), largest_reward_}).cpu();
  const double value = largest[0].item<double>();
  const double reward = largest[1].item<double>();
  const double allowed = (reward + entropy_bonus) / (1 - config_.discount);
  if (value > kDivergence * allowed && !std::exchange(warned_, true)) {
    std::ostringstream text;
    text << "the critics diverge: |Q| is " << value << " at update " << updates_ << ", where rewards up to " << reward
         << " and the discount " << config_.discount << " allow about " << allowed
         << "; lower sac.learning_rate, sac.tau or updates_per_step";
    LogWarning(text.str());
  }
  return value;
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
  means_.VisitState(state);
  state("largest_reward", largest_reward_);
  state("updates", updates_);
}

}  // namespace reverie
