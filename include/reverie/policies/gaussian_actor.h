// The actor of SAC and its kin: an MLP whose head is a tanh-squashed Gaussian (nn/squashed_gaussian.h), or, without a
// standard deviation, the deterministic actor of DDPG and its kin.
//
//   Gaussian      : a = tanh(mean(s) + std(s) eta)                                eta ~ N(0, I)
//   deterministic : a = tanh(mean(s)),   it explores with clamp(a + exploration_std eta, -1, 1)
#ifndef REVERIE_POLICIES_GAUSSIAN_ACTOR_H_
#define REVERIE_POLICIES_GAUSSIAN_ACTOR_H_

#include <filesystem>
#include <optional>
#include <vector>

#include "reverie/core/rng.h"
#include "reverie/data/normalizer.h"
#include "reverie/env/env_config.h"
#include "reverie/nn/ensemble_mlp.h"
#include "reverie/nn/layer_norm_mlp.h"
#include "reverie/nn/squashed_gaussian.h"
#include "reverie/policies/export.h"
#include "reverie/policies/policy.h"

namespace reverie {

// What the second half of an actor's head, raw, says of the standard deviation.
enum class ActorStd {
  kExp,       // exp(raw), raw clamped to its bounds
  kSoftplus,  // softplus(raw) + kLeastStd
  kNone,      // nothing: the actor is deterministic, and its head has no second half
};
inline constexpr double kLeastStd = 1e-5;

struct ActorShape {
  std::vector<int64_t> hidden;
  Activation activation = Activation::kRelu;
  ActorStd std = ActorStd::kExp;
  bool orthogonal = false;     // weights orthogonal at first (Saxe et al. 2014) instead of Xavier-uniform
  double exploration_std = 0;  // of a deterministic actor
};

// An action with what autograd knows of it.
struct ActionSample {
  torch::Tensor action;    // [B, act_dim] in (-1, 1)
  torch::Tensor log_prob;  // [B]; 0 of a deterministic actor
};

class GaussianActor final : public Policy {
 public:
  // Biases 0. options: a device, or float64 on one for gradients to be checked. Sees observations as they are, or, with
  // one, in the units of `normalizer`, which is shared with whoever fits it.
  GaussianActor(int64_t obs_dim, int64_t act_dim, const ActorShape& shape, const Rng& rng,
                const torch::TensorOptions& options, std::optional<Normalizer> normalizer = std::nullopt);

  torch::Tensor Act(const ActInput& input, PolicyMemory* memory, ActMode mode,
                    torch::Generator& generator) const override;
  torch::Device device() const override { return parameters_.values().device(); }

  // The action that standard normal noise [B, act_dim] gives at obs [B, obs_dim]. Differentiable in obs and the leaves,
  // in the caller's gradient mode (Kingma and Welling 2014: reparameterisation).
  // A deterministic actor does not look at the noise.
  ActionSample Sample(const torch::Tensor& obs, const torch::Tensor& noise) const;
  // The noise [B, act_dim] that gives those actions [B, act_dim], without gradients: (atanh(a) - mean) / std. Actions
  // are held 1e-6 away from the bounds, which no noise reaches. Throws std::logic_error where the actor is
  // deterministic.
  torch::Tensor NoiseOf(const torch::Tensor& obs, const torch::Tensor& action) const;
  // The parameters as leaves for autograd, whose gradients lie in parameters().grads().
  const std::vector<torch::Tensor>& leaves() const { return leaves_; }

  int64_t act_dim() const { return act_dim_; }
  const ActorShape& shape() const { return shape_; }
  const std::optional<Normalizer>& normalizer() const { return normalizer_; }
  FlatParameters& parameters() { return parameters_; }
  EnsembleMlp& mlp() { return mlp_; }  // one member; head [1, B, 2 act_dim]: mean, raw; [1, B, act_dim] without a std
  const EnsembleMlp& mlp() const { return mlp_; }

 private:
  torch::Tensor Seen(const torch::Tensor& obs) const { return normalizer_ ? (*normalizer_)(obs) : obs; }
  // The head for autograd, [B, act_dim or 2 act_dim].
  torch::Tensor Head(const torch::Tensor& obs) const;

  int64_t act_dim_;
  ActorShape shape_;
  std::optional<Normalizer> normalizer_;
  FlatParameters parameters_;
  EnsembleMlp mlp_;
  std::vector<torch::Tensor> leaves_, weight_leaves_, bias_leaves_;  // the first is both of the others
  std::optional<LayerNormMlp> silu_mlp_;                             // mlp_ of SiLUs, for autograd
};

// The actor's mean action as a network of its own, in the bounds of `spec`, with the options of `env`.
FrozenPolicy FreezeActor(const GaussianActor& actor, const EnvSpec& spec, const EnvConfig& env);

// Writes that as TorchScript, and as JSON under the same name, held against the actor on 1,000 observations
// (ExportPolicy). Returns the two files.
std::vector<std::filesystem::path> ExportActor(GaussianActor& actor, const EnvSpec& spec, const EnvConfig& env,
                                               const std::filesystem::path& torchscript);

}  // namespace reverie

#endif  // REVERIE_POLICIES_GAUSSIAN_ACTOR_H_
