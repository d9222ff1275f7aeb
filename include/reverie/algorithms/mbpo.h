// Model-Based Policy Optimization (Janner et al. 2019, algorithm 2).
//
//   for each env step t:
//     every F steps: fit p_theta on D_env; roll k steps from states of D_env into D_model
//     act with pi in the environment, add to D_env
//     G times: update pi, Q on a batch of D_env (share rho) and D_model (share 1 - rho)
//
// Symbols: F model.retrain_every, k rollout.length, G updates_per_step, rho real_ratio.
#ifndef REVERIE_ALGORITHMS_MBPO_H_
#define REVERIE_ALGORITHMS_MBPO_H_

#include <memory>

#include "reverie/algorithms/algorithm.h"
#include "reverie/data/replay_buffer.h"
#include "reverie/env/env_config.h"
#include "reverie/learners/sac_learner.h"
#include "reverie/models/model_env.h"
#include "reverie/models/model_trainer.h"
#include "reverie/models/registry.h"
#include "reverie/policies/uniform_policy.h"
#include "reverie/rollout/branched_rollout.h"
#include "reverie/rollout/collector.h"
#include "reverie/run/run_config.h"

namespace reverie {

class Mbpo final : public Algorithm {
 public:
  struct Config {
    explicit Config(const EnvRegistry& envs) : env(envs) {}

    RunConfig run;
    EnvConfig env;
    int64_t updates_per_step = 20;
    double real_ratio = 0.05;
    int64_t epoch_length = 1000;
    int64_t replay_capacity = 1'000'000;
    ModelConfig model{ModelDefaults()};
    RolloutConfig rollout;
    UncertaintyConfig uncertainty;
    SacConfig sac;

    void Visit(Fields& fields);
  };

  Mbpo(const Config& config, const torch::Device& device);

  void Train(RunContext& run) override;
  bool Rehearse() override;
  const Policy& policy() const override { return learner_.actor(); }
  const DynamicsModel* model() const override { return model_.get(); }
  std::vector<std::filesystem::path> Export(const std::filesystem::path& torchscript) override;
  void VisitState(StateVisitor& state) override;

 private:
  int64_t StepsOfLearning() const { return collector_.env_steps() - config_.run.exploration_steps; }
  int64_t Epoch() const { return StepsOfLearning() / config_.epoch_length; }

  Config config_;
  Rng rng_;
  Collector collector_;
  UniformPolicy random_policy_;
  ReplayBuffer env_buffer_;
  std::unique_ptr<DynamicsModel> model_;
  ModelEnv model_env_;
  ModelTrainer model_trainer_;
  BranchedRollout rollout_;
  ReplayBuffer model_buffer_;
  MixedSampler sampler_;
  SacLearner learner_;
};

}  // namespace reverie

#endif  // REVERIE_ALGORITHMS_MBPO_H_
