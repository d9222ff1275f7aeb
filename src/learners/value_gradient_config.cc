#include "reverie/learners/value_gradient_config.h"

#include <functional>

namespace reverie {

std::vector<std::pair<std::string, PolicyKind>> EnumNames(PolicyKind) {
  return {{"gaussian", PolicyKind::kGaussian}, {"deterministic", PolicyKind::kDeterministic}};
}

std::vector<std::pair<std::string, NoiseSource>> EnumNames(NoiseSource) {
  return {{"sampled", NoiseSource::kSampled}, {"inferred", NoiseSource::kInferred}};
}

std::vector<std::pair<std::string, EntropyTerms>> EnumNames(EntropyTerms) {
  return {{"all", EntropyTerms::kAll}, {"first", EntropyTerms::kFirst}, {"none", EntropyTerms::kNone}};
}

std::vector<std::pair<std::string, TerminalValue>> EnumNames(TerminalValue) {
  return {{"critic", TerminalValue::kCritic}, {"none", TerminalValue::kNone}};
}

std::vector<std::pair<std::string, ValueTarget>> EnumNames(ValueTarget) {
  return {{"expansion", ValueTarget::kExpansion}, {"td", ValueTarget::kTd}};
}

Condition ValueGradientConfig::Imagines() const {
  return {.key = "learner.horizon", .wanted = "above 0", .holds = [this] { return horizon > 0; }};
}

void ValueGradientConfig::Visit(Fields& fields) {
  // Without switches the conditions hold always, and the keys that they speak of are none.
  const auto where = [&](const Condition& condition, const std::function<void()>& add) {
    offers_switches ? fields.When(condition, add) : add();
  };
  const Condition gaussian{
      .key = "learner.policy", .wanted = "gaussian", .holds = [this] { return policy == PolicyKind::kGaussian; }};
  const Condition deterministic{.key = "learner.policy", .wanted = "deterministic", .holds = [this] {
                                  return policy == PolicyKind::kDeterministic;
                                }};
  const Condition with_entropy{
      .key = "learner.entropy", .wanted = "not none", .holds = [this] { return entropy != EntropyTerms::kNone; }};
  const Condition with_critics{
      .key = "learner.terminal_value", .wanted = "critic", .holds = [this] { return HasCritics(); }};
  const Condition expanding{
      .key = "learner.critic_target", .wanted = "expansion", .holds = [this] { return Expands(); }};

  if (offers_switches) {
    fields("policy", policy, "gaussian: squashed by tanh; deterministic: the tanh of a mean, without entropy");
  }
  fields("hidden", hidden, "widths of the actor's hidden layers", AtLeast(1));
  fields.Check([this] { return !hidden.empty(); }, "at least one hidden layer");
  fields("horizon", horizon,
         offers_switches ? "imagined steps that gradients go through (H); 0: no model is made"
                         : "imagined steps that values are expanded over and gradients go through (H)",
         AtLeast(offers_switches ? 0 : 1));
  if (offers_switches) {
    fields("terminal_value", terminal_value, "what stands for all after the last step: the critics' value, or nothing");
    fields.Check([this] { return horizon > 0 || HasCritics(); },
                 "critic, as without an imagined step (learner.horizon) there is nothing else to learn from");
    fields.When(with_critics, [&] {
      fields("critic_target", critic_target,
             "td: of the real step; expansion: along the imagined steps, with the critics' at the first state");
      fields.Check([this] { return horizon > 0 || !Expands(); },
                   "td, as without an imagined step (learner.horizon) there is nothing to expand over");
    });
  }
  where(with_critics, [&] {
    where(expanding, [&] {
      fields("actor_horizon", actor_horizon,
             "those of the steps that the actor's loss sums over; auto: all; 0: its gradient does not pass the model",
             AtLeast(0));
      fields.Check([this] { return ActorHorizon() <= horizon; }, "at most learner.horizon");
    });
  });
  fields("batch_size", batch_size, "start states in a minibatch", AtLeast(1));
  fields("learning_rate", learning_rate, "Adam's step size for actor and alpha", Above(0));
  if (offers_switches) {
    fields("max_grad_norm", max_grad_norm,
           "norm that the actor's gradient is scaled down to where it is above; 0: none", AtLeast(0));
  }
  fields("discount", discount, "discount factor per step; below 1 with critics", Between(0, 1));
  fields.Check([this] { return discount < 1 || !HasCritics(); }, "below 1, as 1 / (1 - discount) scales the critics");
  where(gaussian, [&] {
    if (offers_switches) {
      fields("entropy", entropy, "entropies that the actor's loss has: of all steps, of the first alone, or none");
    }
    where(with_entropy, [&] {
      fields("initial_alpha", initial_alpha, "alpha at first", Above(0));
      fields("target_entropy", target_entropy,
             "entropy that alpha is steered towards; auto: minus the action dimension");
    });
  });
  if (offers_switches) {
    fields.When(deterministic, [&] {
      fields("exploration_std", exploration_std, "standard deviation of what is added to actions in the environment",
             AtLeast(0));
    });
    fields.When(Imagines(), [&] {
      fields("noise", noise,
             "of policy and model: sampled, or inferred: what would have made the real transition (SVG(1))");
      fields.Check([this] {
        const bool heess = horizon == 1 && policy == PolicyKind::kGaussian && entropy == EntropyTerms::kNone;
        return noise == NoiseSource::kSampled || heess
                   ? ""
                   : "inferred is of one real step of a Gaussian policy without entropy: expected sampled, or horizon: "
                     "1, policy: gaussian and entropy: none";
      });
    });
  }
  where(with_critics, [&] { fields("critics", critics, "the critics"); });
}

}  // namespace reverie
