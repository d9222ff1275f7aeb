#include "reverie/learners/value_gradient_learner.h"

#include <ATen/ATen.h>

#include <cmath>

#include "reverie/models/inferred_noise.h"

namespace reverie {
namespace {

torch::Tensor PowersOf(double discount, int64_t count, const torch::TensorOptions& options) {
  return torch::pow(discount, torch::arange(count, options.dtype(torch::kFloat64))).to(options).unsqueeze(1);
}

// x [B, n] as it is, whose gradient does not pass in rows that `passes` [B] says no of by the time it comes back.
torch::Tensor Gated(const torch::Tensor& x, const torch::Tensor& passes) {
  if (!x.requires_grad()) {
    return x;
  }
  torch::Tensor gated = x.view_as(x);
  gated.register_hook([passes](const torch::Tensor& grad) { return torch::where(passes.unsqueeze(1), grad, 0); });
  return gated;
}

ActorShape ShapeOfActor(const ValueGradientConfig& config) {
  const bool gaussian = config.policy == PolicyKind::kGaussian;
  return {.hidden = config.hidden,
          .activation = Activation::kSilu,
          .std = gaussian ? ActorStd::kSoftplus : ActorStd::kNone,
          .orthogonal = true,
          .exploration_std = config.exploration_std};
}

// Scales gradients down to that norm where theirs [] is above it. 0: leaves them alone.
void LimitNorm(torch::Tensor& grads, const torch::Tensor& norm, double most) {
  if (most > 0) {
    grads.mul_(torch::clamp_max(most / norm, 1));
  }
}

}  // namespace

ValueGradientLearner::ValueGradientLearner(const ValueGradientConfig& config, const TransitionLayout& layout,
                                           const Rng& rng, const torch::TensorOptions& options)
    : config_(config),
      layout_(layout),
      target_entropy_(config.target_entropy.value_or(-static_cast<double>(layout.act_dim))),
      normalizer_(layout.obs_dim, options.device()),
      actor_(layout.obs_dim, layout.act_dim, ShapeOfActor(config), rng.Split("actor"), options, normalizer_),
      log_alpha_(1, options),
      log_alpha_leaf_(log_alpha_.Take({1}).Leaf()),
      actor_adam_(actor_.parameters(), config.learning_rate),
      alpha_adam_(log_alpha_, config.learning_rate),
      discounts_(PowersOf(config.discount, config.horizon + 1, options)),
      generator_(MakeGenerator(rng.Split("updates"), options.device())),
      update_("the value gradient's update", options.device(), {generator_}),
      critic_update_("the critics' update", options.device(), {generator_}),
      starts_{layout, torch::zeros({config.batch_size, layout.width()}, options)},
      critic_means_("the critics'", {"critic_loss", "q", "q_spread", "q_low", "q_high", "critic_grad_norm"},
                    options.device()),
      actor_means_("the actor's",
                   {"actor_loss", "alpha_loss", "alpha", "entropy", "imagined_reward", "alive", "actor_grad_norm"},
                   options.device()) {
  log_alpha_.values().fill_(std::log(config.initial_alpha));
  if (config.HasCritics()) {
    critics_.emplace(config.critics, layout, config.discount, normalizer_, rng.Split("critics"), options);
  }
}

void ValueGradientLearner::Update(const DrawStarts& starts, const ModelEnv* model_env, int64_t updates) {
  const torch::NoGradGuard no_grad;
  for (int64_t i = 0; i < updates; ++i) {
    update_.Run(
        {}, [&] { Step(starts, model_env, /*actor_too=*/true); }, [this] { return StateTensors(*this); });
  }
  updates_ += updates;
  actor_means_.Count(updates);
  if (critics_) {
    critic_updates_ += updates;
    critic_means_.Count(updates);
    critic_means_.FiniteMeans(critic_updates_);
  }
  actor_means_.FiniteMeans(updates_);
}

void ValueGradientLearner::UpdateCritics(const DrawStarts& starts, const ModelEnv* model_env, int64_t updates) {
  const torch::NoGradGuard no_grad;
  for (int64_t i = 0; i < updates; ++i) {
    critic_update_.Run(
        {}, [&] { Step(starts, model_env, /*actor_too=*/false); }, [this] { return StateTensors(*this); });
  }
  critic_updates_ += updates;
  critic_means_.Count(updates);
  critic_means_.FiniteMeans(critic_updates_);
}

ValueGradientLearner::Draws ValueGradientLearner::DrawNoise(const DynamicsModel* model, int64_t rows) {
  const auto for_actions = [&] { return torch::randn({rows, layout_.act_dim}, generator_, starts_.rows.options()); };
  Draws draws;
  for (int64_t t = 0; t <= config_.horizon; ++t) {
    draws.policy.push_back(for_actions());
    if (t < config_.horizon) {
      draws.model.push_back(DrawStep(*model, rows, generator_));
    }
  }
  if (config_.HasCritics() && !config_.Expands()) {
    draws.td = for_actions();
  }
  return draws;
}

void ValueGradientLearner::InferNoise(const TransitionBatch& real, const DynamicsModel& model, Draws& draws) const {
  draws.policy.front() = actor_.NoiseOf(real.obs(), real.action());
  draws.model.front() = reverie::InferNoise(model, real, draws.model.front().deal);
}

ValueGradientLearner::Trajectories ValueGradientLearner::Roll(const torch::Tensor& start, const ModelEnv* model_env,
                                                              const Draws& draws, const TransitionBatch* real) const {
  std::vector<torch::Tensor> log_probs;
  const auto act = [&](const torch::Tensor& obs, int64_t t) {
    const ActionSample sample = actor_.Sample(obs, draws.policy[static_cast<size_t>(t)]);
    log_probs.push_back(sample.log_prob);
    return sample.action;
  };
  const auto step = [&](const torch::Tensor& obs, const torch::Tensor& action, int64_t t) -> ImaginedTransition {
    // 0 times a derivative that is not a number would be none: a row that is not finite stays where it was, and no
    // gradient comes out of its step.
    torch::Tensor finite = torch::ones({obs.size(0)}, obs.options().dtype(torch::kBool).requires_grad(false));
    const torch::Tensor from = Gated(obs, finite);
    const torch::Tensor by = Gated(action, finite);
    const StepDraws& step_draws = draws.model[static_cast<size_t>(t)];
    const ModelEnv::Transition next =
        real != nullptr ? model_env->NextAlong(*real, from, by, step_draws) : model_env->Next(from, by, step_draws);
    finite.copy_(torch::isfinite(next.next_obs).all(1).logical_and(torch::isfinite(next.reward)));
    return {.next_obs = torch::where(finite.unsqueeze(1), next.next_obs, obs),
            .reward = torch::where(finite, next.reward, 0),
            .ended = next.terminated.logical_or(finite.logical_not()),
            .finite = finite};
  };
  Trajectories trajectories{.steps = Imagine(start, config_.horizon, act, step)};
  Imagined& steps = trajectories.steps;
  steps.action.push_back(act(steps.obs.back(), config_.horizon));
  trajectories.reward =
      steps.reward.empty() ? torch::empty({0, start.size(0)}, start.options()) : torch::stack(steps.reward);
  trajectories.log_prob = torch::stack(log_probs);
  trajectories.discount_alive = discounts_ * steps.Alive();
  return trajectories;
}

torch::Tensor ValueGradientLearner::EntropyBonus(const torch::Tensor& log_prob) const {
  return config_.HasEntropy() ? -Alpha() * log_prob : torch::zeros_like(log_prob);
}

torch::Tensor ValueGradientLearner::CriticTarget(const Trajectories& trajectories) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor entropy_bonus = EntropyBonus(trajectories.log_prob);
  if (config_.horizon > 0) {
    critics_->FollowRewards(trajectories.reward + entropy_bonus.narrow(0, 0, config_.horizon));
  }
  const Imagined& steps = trajectories.steps;
  const torch::Tensor q = critics_->TargetQ(steps.obs.back(), steps.action.back(), generator_);
  const torch::Tensor gains = torch::cat({trajectories.reward, q.unsqueeze(0)});
  torch::Tensor later_bonus = entropy_bonus.clone();
  later_bonus[0].zero_();
  return ((gains + later_bonus) * trajectories.discount_alive).sum(0);
}

torch::Tensor ValueGradientLearner::TdTarget(const TransitionBatch& real, const torch::Tensor& noise) {
  const torch::NoGradGuard no_grad;
  const ActionSample next = actor_.Sample(real.next_obs(), noise);
  const torch::Tensor entropy_bonus = EntropyBonus(next.log_prob);
  critics_->FollowRewards(real.reward() + entropy_bonus);
  const torch::Tensor q = critics_->TargetQ(real.next_obs(), next.action, generator_);
  return real.reward() + config_.discount * (1 - real.terminated()) * (q + entropy_bonus);
}

torch::Tensor ValueGradientLearner::ActorLoss(const Trajectories& trajectories, torch::Generator* dropout) const {
  const int64_t horizon = config_.ActorHorizon();
  torch::Tensor gains = trajectories.reward.narrow(0, 0, horizon);
  if (critics_) {
    const auto last = static_cast<size_t>(horizon);
    const Imagined& steps = trajectories.steps;
    gains = torch::cat({gains, critics_->Q(steps.obs[last], steps.action[last], dropout).mean(0).unsqueeze(0)});
  }
  const int64_t terms = gains.size(0);
  torch::Tensor bonus = EntropyBonus(trajectories.log_prob.narrow(0, 0, terms));
  if (config_.entropy == EntropyTerms::kFirst) {
    bonus = torch::constant_pad_nd(bonus.narrow(0, 0, 1), {0, 0, 0, terms - 1});
  }
  return -((gains + bonus) * trajectories.discount_alive.narrow(0, 0, terms)).sum(0).mean();
}

void ValueGradientLearner::Step(const DrawStarts& starts, const ModelEnv* model_env, bool actor_too) {
  starts(starts_, generator_);
  Draws draws = DrawNoise(model_env != nullptr ? &model_env->model() : nullptr, starts_.size());
  const bool inferred = config_.noise == NoiseSource::kInferred;
  if (inferred) {
    InferNoise(starts_, model_env->model(), draws);
  }
  const torch::AutoGradMode gradients_of_the_actor(actor_too);
  const Trajectories trajectories = Roll(starts_.obs(), model_env, draws, inferred ? &starts_ : nullptr);
  if (critics_) {
    StepCritics(trajectories, draws);
  }
  if (actor_too) {
    StepActor(trajectories);
  }
}

void ValueGradientLearner::StepCritics(const Trajectories& trajectories, const Draws& draws) {
  const torch::NoGradGuard no_grad;
  const bool expands = config_.Expands();
  const torch::Tensor action = expands ? trajectories.steps.action.front().detach() : starts_.action();
  const torch::Tensor y = expands ? CriticTarget(trajectories) : TdTarget(starts_, draws.td);
  const ValueCritics::Update update = critics_->Learn(starts_.obs(), action, y, generator_);
  critic_means_.Add(torch::stack(
      {update.loss, update.q, update.spread, critics_->bounds()[0], critics_->bounds()[1], update.grad_norm}));
}

void ValueGradientLearner::StepActor(const Trajectories& trajectories) {
  const torch::Tensor actor_loss = ActorLoss(trajectories, &generator_);
  const torch::Tensor entropy = -trajectories.log_prob[0].detach().mean();
  torch::Tensor alpha = torch::zeros_like(entropy);
  torch::Tensor alpha_loss = torch::zeros_like(entropy);
  std::vector<torch::Tensor> leaves = actor_.leaves();
  if (config_.HasEntropy()) {
    alpha = Alpha();
    alpha_loss = (torch::exp(log_alpha_leaf_) * (entropy - target_entropy_)).sum();
    leaves.push_back(log_alpha_leaf_);
  }
  BackPropagate(actor_loss + alpha_loss, {&actor_.parameters(), &log_alpha_}, leaves);
  const torch::NoGradGuard no_grad;
  const torch::Tensor grad_norm = actor_.parameters().grads().norm();
  actor_means_.Add(torch::stack({actor_loss.detach(), alpha_loss.detach(), alpha, entropy,
                                 config_.horizon > 0 ? trajectories.reward.detach().mean() : torch::zeros_like(entropy),
                                 trajectories.steps.Alive()[-1].to(entropy.scalar_type()).mean(), grad_norm}));
  LimitNorm(actor_.parameters().grads(), grad_norm, config_.max_grad_norm);
  actor_adam_.Step();
  if (config_.HasEntropy()) {
    alpha_adam_.Step();
  }
}

void ValueGradientLearner::ResetOptimizers() {
  actor_adam_.Reset();
  alpha_adam_.Reset();
  if (critics_) {
    critics_->ResetOptimizer();
  }
}

Metrics ValueGradientLearner::DrainMetrics() {
  Metrics metrics = critic_means_.Drain(critic_updates_);
  metrics.Merge("", actor_means_.Drain(updates_));
  return metrics;
}

void ValueGradientLearner::VisitState(StateVisitor& state) {
  state("normalizer", normalizer_);
  state("actor", actor_.parameters().values());
  state("log_alpha", log_alpha_.values());
  if (critics_) {
    state("critics", *critics_);
  }
  state("actor_adam", actor_adam_);
  state("alpha_adam", alpha_adam_);
  state("generator", generator_);
  state("critic_means", critic_means_);
  state("actor_means", actor_means_);
  state("updates", updates_);
  state("critic_updates", critic_updates_);
}

}  // namespace reverie
