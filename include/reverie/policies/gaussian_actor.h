// SAC's actor: an MLP whose head is a tanh-squashed Gaussian (nn/squashed_gaussian.h).
#ifndef REVERIE_POLICIES_GAUSSIAN_ACTOR_H_
#define REVERIE_POLICIES_GAUSSIAN_ACTOR_H_

#include <filesystem>
#include <vector>

#include "reverie/core/rng.h"
#include "reverie/env/env_config.h"
#include "reverie/nn/ensemble_mlp.h"
#include "reverie/nn/squashed_gaussian.h"
#include "reverie/policies/export.h"
#include "reverie/policies/policy.h"

namespace reverie {

class GaussianActor final : public Policy {
 public:
  // Weights Xavier-uniform, biases 0.
  GaussianActor(int64_t obs_dim, int64_t act_dim, const std::vector<int64_t>& hidden, const Rng& rng,
                const torch::Device& device);

  torch::Tensor Act(const ActInput& input, PolicyMemory* memory, ActMode mode,
                    torch::Generator& generator) const override;
  torch::Device device() const override { return parameters_.values().device(); }

  int64_t act_dim() const { return act_dim_; }
  FlatParameters& parameters() { return parameters_; }
  EnsembleMlp& mlp() { return mlp_; }  // one member; head [1, B, 2 act_dim]: mean, log_std before its clamp
  const EnsembleMlp& mlp() const { return mlp_; }

 private:
  int64_t act_dim_;
  FlatParameters parameters_;
  EnsembleMlp mlp_;
};

// The actor's mean action as a network of its own, in the bounds of `spec`, with the options of `env`.
FrozenPolicy FreezeActor(const GaussianActor& actor, const EnvSpec& spec, const EnvConfig& env);

// Writes that as TorchScript, and as JSON under the same name, held against the actor on 1,000 observations
// (ExportPolicy). Returns the two files.
std::vector<std::filesystem::path> ExportActor(GaussianActor& actor, const EnvSpec& spec, const EnvConfig& env,
                                               const std::filesystem::path& torchscript);

}  // namespace reverie

#endif  // REVERIE_POLICIES_GAUSSIAN_ACTOR_H_
