#include "reverie/learners/value_gradient_learner.h"

#include <ATen/ATen.h>

#include <cmath>

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

}  // namespace

void ValueGradientConfig::Visit(Fields& fields) {
  fields("hidden", hidden, "widths of the actor's hidden layers", AtLeast(1));
  fields.Check([this] { return !hidden.empty(); }, "at least one hidden layer");
  fields("horizon", horizon, "imagined steps that values are expanded over and gradients go through (H)", AtLeast(1));
  fields("batch_size", batch_size, "start states in a minibatch", AtLeast(1));
  fields("learning_rate", learning_rate, "Adam's step size for actor and alpha", Above(0));
  fields("discount", discount, "discount factor per step, below 1", Between(0, 1));
  fields.Check([this] { return discount < 1; }, "below 1, as 1 / (1 - discount) scales the critics");
  fields("initial_alpha", initial_alpha, "alpha at first", Above(0));
  fields("target_entropy", target_entropy, "entropy that alpha is steered towards; auto: minus the action dimension");
  fields("critics", critics, "the critics");
}

ValueGradientLearner::ValueGradientLearner(const ValueGradientConfig& config, const TransitionLayout& layout,
                                           const Rng& rng, const torch::TensorOptions& options)
    : config_(config),
      layout_(layout),
      target_entropy_(config.target_entropy.value_or(-static_cast<double>(layout.act_dim))),
      normalizer_(layout.obs_dim, options.device()),
      actor_(layout.obs_dim, layout.act_dim,
             {.hidden = config.hidden, .activation = Activation::kSilu, .std = ActorStd::kSoftplus, .orthogonal = true},
             rng.Split("actor"), options, normalizer_),
      log_alpha_(1, options),
      log_alpha_leaf_(log_alpha_.Take({1}).Leaf()),
      critics_(config.critics, layout, config.discount, normalizer_, rng.Split("critics"), options),
      actor_adam_(actor_.parameters(), config.learning_rate),
      alpha_adam_(log_alpha_, config.learning_rate),
      discounts_(PowersOf(config.discount, config.horizon + 1, options)),
      generator_(MakeGenerator(rng.Split("updates"), options.device())),
      update_("the value gradient's update", options.device(), {generator_}),
      critic_update_("the critics' update", options.device(), {generator_}),
      starts_(torch::zeros({config.batch_size, layout.obs_dim}, options)),
      critic_means_("the critics'", {"critic_loss", "q", "q_spread", "q_low", "q_high", "critic_grad_norm"},
                    options.device()),
      actor_means_("the actor's",
                   {"actor_loss", "alpha_loss", "alpha", "entropy", "imagined_reward", "alive", "actor_grad_norm"},
                   options.device()) {
  log_alpha_.values().fill_(std::log(config.initial_alpha));
}

void ValueGradientLearner::Update(const DrawStarts& starts, const ModelEnv& model_env, int64_t updates) {
  const torch::NoGradGuard no_grad;
  for (int64_t i = 0; i < updates; ++i) {
    update_.Run(
        {},
        [&] {
          starts(starts_, generator_);
          Step(model_env, /*actor_too=*/true);
        },
        [this] { return StateTensors(*this); });
  }
  updates_ += updates;
  critic_updates_ += updates;
  critic_means_.Count(updates);
  actor_means_.Count(updates);
  critic_means_.FiniteMeans(critic_updates_);
  actor_means_.FiniteMeans(updates_);
}

void ValueGradientLearner::UpdateCritics(const DrawStarts& starts, const ModelEnv& model_env, int64_t updates) {
  const torch::NoGradGuard no_grad;
  for (int64_t i = 0; i < updates; ++i) {
    critic_update_.Run(
        {},
        [&] {
          starts(starts_, generator_);
          Step(model_env, /*actor_too=*/false);
        },
        [this] { return StateTensors(*this); });
  }
  critic_updates_ += updates;
  critic_means_.Count(updates);
  critic_means_.FiniteMeans(critic_updates_);
}

ValueGradientLearner::Draws ValueGradientLearner::DrawNoise(const DynamicsModel& model, int64_t rows) {
  Draws draws;
  for (int64_t t = 0; t <= config_.horizon; ++t) {
    draws.policy.push_back(torch::randn({rows, layout_.act_dim}, generator_, starts_.options()));
    if (t < config_.horizon) {
      draws.model.push_back(DrawStep(model, rows, generator_));
    }
  }
  return draws;
}

ValueGradientLearner::Trajectories ValueGradientLearner::Roll(const torch::Tensor& start, const ModelEnv& model_env,
                                                              const Draws& draws) const {
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
    const ModelEnv::Transition next =
        model_env.Next(Gated(obs, finite), Gated(action, finite), draws.model[static_cast<size_t>(t)]);
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

torch::Tensor ValueGradientLearner::CriticTarget(const Trajectories& trajectories) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor entropy_bonus = -Alpha() * trajectories.log_prob;
  if (config_.horizon > 0) {
    critics_.FollowRewards(trajectories.reward + entropy_bonus.narrow(0, 0, config_.horizon));
  }
  const Imagined& steps = trajectories.steps;
  const torch::Tensor q = critics_.TargetQ(steps.obs.back(), steps.action.back(), generator_);
  const torch::Tensor gains = torch::cat({trajectories.reward, q.unsqueeze(0)});
  torch::Tensor later_bonus = entropy_bonus.clone();
  later_bonus[0].zero_();
  return ((gains + later_bonus) * trajectories.discount_alive).sum(0);
}

torch::Tensor ValueGradientLearner::ActorLoss(const Trajectories& trajectories, torch::Generator* dropout) const {
  const Imagined& steps = trajectories.steps;
  const torch::Tensor q = critics_.Q(steps.obs.back(), steps.action.back(), dropout).mean(0);
  const torch::Tensor gains = torch::cat({trajectories.reward, q.unsqueeze(0)});
  return -((gains - Alpha() * trajectories.log_prob) * trajectories.discount_alive).sum(0).mean();
}

void ValueGradientLearner::Step(const ModelEnv& model_env, bool actor_too) {
  const Draws draws = DrawNoise(model_env.model(), starts_.size(0));
  const torch::AutoGradMode gradients_of_the_actor(actor_too);
  const Trajectories trajectories = Roll(starts_, model_env, draws);
  const ValueCritics::Update critics =
      critics_.Learn(starts_, trajectories.steps.action.front().detach(), CriticTarget(trajectories), generator_);
  if (actor_too) {
    const torch::Tensor actor_loss = ActorLoss(trajectories, &generator_);
    const torch::Tensor entropy = -trajectories.log_prob[0].detach().mean();
    const torch::Tensor alpha_loss = (torch::exp(log_alpha_leaf_) * (entropy - target_entropy_)).sum();
    std::vector<torch::Tensor> leaves = actor_.leaves();
    leaves.push_back(log_alpha_leaf_);
    const torch::Tensor alpha = Alpha();
    BackPropagate(actor_loss + alpha_loss, {&actor_.parameters(), &log_alpha_}, leaves);
    const torch::NoGradGuard no_grad;
    actor_means_.Add(torch::stack(
        {actor_loss.detach(), alpha_loss.detach(), alpha, entropy,
         trajectories.reward.numel() > 0 ? trajectories.reward.detach().mean() : torch::zeros_like(alpha),
         trajectories.steps.Alive()[-1].to(alpha.scalar_type()).mean(), actor_.parameters().grads().norm()}));
    actor_adam_.Step();
    alpha_adam_.Step();
  }
  const torch::NoGradGuard no_grad;
  critic_means_.Add(torch::stack(
      {critics.loss, critics.q, critics.spread, critics_.bounds()[0], critics_.bounds()[1], critics.grad_norm}));
}

void ValueGradientLearner::ResetOptimizers() {
  actor_adam_.Reset();
  alpha_adam_.Reset();
  critics_.ResetOptimizer();
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
  state("critics", critics_);
  state("actor_adam", actor_adam_);
  state("alpha_adam", alpha_adam_);
  state("generator", generator_);
  state("critic_means", critic_means_);
  state("actor_means", actor_means_);
  state("updates", updates_);
  state("critic_updates", critic_updates_);
}

}  // namespace reverie
