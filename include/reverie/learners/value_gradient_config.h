// The config of learners/value_gradient_learner.h, which has the formulas.
#ifndef REVERIE_LEARNERS_VALUE_GRADIENT_CONFIG_H_
#define REVERIE_LEARNERS_VALUE_GRADIENT_CONFIG_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/learners/value_critics.h"

namespace reverie {

enum class PolicyKind {
  kGaussian,       // tanh-squashed
  kDeterministic,  // tanh of a mean
};
enum class NoiseSource {
  kSampled,   // from N(0, I)
  kInferred,  // what would have made the real transition
};
enum class EntropyTerms {
  kAll,    // of every step
  kFirst,  // of the first step alone, in the actor's loss
  kNone,
};
enum class TerminalValue {
  kCritic,  // the critics' value of the last state
  kNone,    // 0: rewards alone count
};
enum class ValueTarget {
  kExpansion,  // along the imagined steps
  kTd,         // of one real step
};
std::vector<std::pair<std::string, PolicyKind>> EnumNames(PolicyKind);
std::vector<std::pair<std::string, NoiseSource>> EnumNames(NoiseSource);
std::vector<std::pair<std::string, EntropyTerms>> EnumNames(EntropyTerms);
std::vector<std::pair<std::string, TerminalValue>> EnumNames(TerminalValue);
std::vector<std::pair<std::string, ValueTarget>> EnumNames(ValueTarget);

// The keys of a section `learner`. The defaults are DHMBPO's.
struct ValueGradientConfig {
  // Whether the config chooses between the members of the family, SVG(H), SAC-SVG(H), MAAC and their kin. If not, the
  // keys policy, noise, entropy, terminal_value, critic_target, exploration_std and max_grad_norm do not exist.
  bool offers_switches = false;

  PolicyKind policy = PolicyKind::kGaussian;
  std::vector<int64_t> hidden{256, 256, 256};
  int64_t horizon = 5;
  int64_t batch_size = 256;
  double learning_rate = 3e-4;
  double discount = 0.995;
  EntropyTerms entropy = EntropyTerms::kAll;
  double initial_alpha = 0.1;
  std::optional<double> target_entropy;
  double exploration_std = 0.1;
  double max_grad_norm = 0;
  NoiseSource noise = NoiseSource::kSampled;
  TerminalValue terminal_value = TerminalValue::kCritic;
  ValueTarget critic_target = ValueTarget::kExpansion;
  std::optional<int64_t> actor_horizon;
  ValueCriticsConfig critics;

  void Visit(Fields& fields);

  // For what is read only where a model imagines.
  Condition Imagines() const;

  bool HasEntropy() const { return policy == PolicyKind::kGaussian && entropy != EntropyTerms::kNone; }
  bool HasCritics() const { return terminal_value == TerminalValue::kCritic; }
  bool Expands() const { return HasCritics() && critic_target == ValueTarget::kExpansion; }
  // Of the steps, those that the actor's loss sums over.
  int64_t ActorHorizon() const { return Expands() ? actor_horizon.value_or(horizon) : horizon; }
};

}  // namespace reverie

#endif  // REVERIE_LEARNERS_VALUE_GRADIENT_CONFIG_H_
