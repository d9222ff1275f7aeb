// Model-Based Policy Optimization (Janner et al. 2019, algorithm 2).
//
//   for each env step t:
//     every F steps: fit p_theta on D_env; roll k steps from states of D_env into D_model
//     act with pi in the environment, add to D_env
//     G times: update pi, Q on a batch of D_env (share rho) and D_model (share 1 - rho)
//
// Symbols: F model.retrain_every, k rollout.length, G updates_per_step, rho real_ratio.
//
// sac.expansion adds imagined steps to the critics' targets (learners/value_expansion.h). With rho = 1 there is no
// D_model and nothing is rolled out: what is left is SAC, whose model serves the expansion alone (MVE, STEVE).
//
// model.kind: simulator rolls out the environment itself, from saved states of it: the mark that a learned model can
// reach. Nothing is fitted then, and nothing is expanded.
#ifndef REVERIE_ALGORITHMS_MBPO_H_
#define REVERIE_ALGORITHMS_MBPO_H_

#include <memory>

#include "reverie/algorithms/algorithm.h"
#include "reverie/data/replay_buffer.h"
#include "reverie/data/snapshot_buffer.h"
#include "reverie/env/env_config.h"
#include "reverie/learners/sac_learner.h"
#include "reverie/learners/value_expansion.h"
#include "reverie/models/model_env.h"
#include "reverie/models/model_trainer.h"
#include "reverie/models/registry.h"
#include "reverie/policies/uniform_policy.h"
#include "reverie/rollout/branched_rollout.h"
#include "reverie/rollout/collector.h"
#include "reverie/rollout/simulator_rollout.h"
#include "reverie/run/run_config.h"

namespace reverie {

class Mbpo final : public Algorithm {
 public:
  struct Config {
    explicit Config(const EnvRegistry& envs) : env(envs) {}

    bool RollsOut() const { return real_ratio < 1; }
    int64_t RolloutsPerEpoch() const;

    RunConfig run;
    EnvConfig env;
    int64_t updates_per_step = 20;
    double real_ratio = 0.05;
    int64_t epoch_length = 1000;
    int64_t replay_capacity = 1'000'000;
    ModelConfig model{ModelDefaults{.with_simulator = true, .rolls_out = true}};
    RolloutConfig rollout;
    UncertaintyConfig uncertainty;
    SacConfig sac;
    ValueExpansionConfig expansion;  // in the section `sac`

    void Visit(Fields& fields);
  };

  Mbpo(const Config& config, const torch::Device& device);

  void Train(RunContext& run) override;
  bool Rehearse() override;
  const Policy& policy() const override { return learner_.actor(); }
  const ReplayBuffer* transitions() const override { return &env_buffer_; }
  std::optional<LearnedModel> learned_model() const override;
  std::vector<std::filesystem::path> Export(const std::filesystem::path& torchscript) override;
  void VisitState(StateVisitor& state) override;

 private:
  // All that a learned model takes.
  struct Learned {
    Learned(const Config& config, const EnvSpec& spec, const Rng& rng, const torch::Device& device);

    std::unique_ptr<DynamicsModel> model;
    ModelEnv model_env;
    BranchedRollout rollout;
  };
  // All that the simulator takes.
  struct Simulator {
    Simulator(const Config& config, const Rng& rng, const torch::Device& device);

    SnapshotBuffer snapshots;  // of the real buffer's rows
    SimulatorRollout rollout;
  };

  // Returns false where the run is to stop: the fit is then done again when it goes on.
  bool FitModel(RunContext& run);
  Metrics RollOut();
  int64_t StepsOfLearning() const { return collector_.env_steps() - config_.run.exploration_steps; }
  int64_t Epoch() const { return StepsOfLearning() / config_.epoch_length; }

  Config config_;
  Rng rng_;
  Collector collector_;
  UniformPolicy random_policy_;
  ReplayBuffer env_buffer_;
  std::unique_ptr<Learned> learned_;      // or
  std::unique_ptr<Simulator> simulator_;  // the other
  ModelTrainer model_trainer_;
  std::unique_ptr<ReplayBuffer> model_buffer_;  // null where nothing is rolled out
  MixedSampler sampler_;
  SacLearner learner_;
};

}  // namespace reverie

#endif  // REVERIE_ALGORITHMS_MBPO_H_
