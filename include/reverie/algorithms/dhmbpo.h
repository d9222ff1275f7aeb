// Double-horizon model-based policy optimisation (Kubo et al., TMLR 2025): DHMBPO.
//
//   for each env step: act with pi in the environment (uniformly at first), add to D_env
//   every F steps:
//     fit p_theta and the observations' units on D_env; forget the optimisers' moments
//     roll k detached steps from states of D_env into D_state; C times: update Q from states of D_state
//     G F times, of which every u-th is preceded by a rollout as above:
//       update Q, pi, alpha through H differentiable steps from states of D_state
//
// The long rollout brings the start states near to those that the policy visits, the short one gives the critics a
// target with little bias and the actor its gradient: an update a step suffices.
//
// Symbols: F model.retrain_every, k rollout.length, C critic_updates, G updates_per_step, u rollout.every_updates, H
// learner.horizon. The first time G F first_iteration of them are done.
//
// Without the short rollout, learner.horizon 1 with learner.actor_horizon 0, it is an MBPO with one update a step: the
// critics learn from single imagined steps, by actions of the present policy where MBPO has those of the rollout, and
// no gradient passes the model.
//
// Beside the published code: states are kept in the environment's units; the units of networks are those of the rows in
// D_env, not of all that ever were, and of a column that does not vary they are 1, not 1e-4; rows are dealt to the
// model's members one by one, not in blocks; the environment is not reset after an evaluation.
#ifndef REVERIE_ALGORITHMS_DHMBPO_H_
#define REVERIE_ALGORITHMS_DHMBPO_H_

#include <memory>
#include <optional>

#include "reverie/algorithms/algorithm.h"
#include "reverie/data/replay_buffer.h"
#include "reverie/env/env_config.h"
#include "reverie/learners/value_gradient_learner.h"
#include "reverie/models/model_env.h"
#include "reverie/models/model_trainer.h"
#include "reverie/models/registry.h"
#include "reverie/policies/uniform_policy.h"
#include "reverie/rollout/collector.h"
#include "reverie/rollout/state_rollout.h"
#include "reverie/run/run_config.h"

namespace reverie {

class Dhmbpo final : public Algorithm {
 public:
  struct Config {
    explicit Config(const EnvRegistry& envs) : env(envs) {}

    RunConfig run;
    EnvConfig env;
    int64_t updates_per_step = 1;
    std::optional<int64_t> critic_updates;
    int64_t first_iteration = 5;
    int64_t replay_capacity = 1'000'000;
    ModelConfig model{{.kind = "homoscedastic", .retrain_every = 1000, .reward = ModelReward::kLearned}};
    StateRolloutConfig rollout;
    ValueGradientConfig learner;

    void Visit(Fields& fields);

    int64_t CriticUpdates() const { return critic_updates.value_or(model.retrain_every / 4); }
  };

  Dhmbpo(const Config& config, const torch::Device& device);

  void Train(RunContext& run) override;
  bool Rehearse() override;
  const Policy& policy() const override { return learner_.actor(); }
  const ReplayBuffer* transitions() const override { return &env_buffer_; }
  std::optional<LearnedModel> learned_model() const override;
  std::vector<std::filesystem::path> Export(const std::filesystem::path& torchscript) override;
  void VisitState(StateVisitor& state) override;

 private:
  int64_t StepsOfLearning() const { return collector_.env_steps() - config_.run.exploration_steps; }

  // What is left to do of an iteration, which a run may be stopped in the middle of.
  struct Iteration {
    bool fit = false;
    int64_t critic_updates = 0;
    int64_t updates = 0;
    int64_t until_rollout = 0;  // updates

    bool IsOver() const { return !fit && critic_updates == 0 && updates == 0; }
    void VisitState(StateVisitor& state);
  };
  void BeginIteration();
  // Returns false where a signal stopped it.
  bool FinishIteration(RunContext& run);
  void RollStates(int64_t wanted);

  Config config_;
  Rng rng_;
  Collector collector_;
  UniformPolicy random_policy_;
  ReplayBuffer env_buffer_;
  std::unique_ptr<DynamicsModel> model_;
  ModelEnv model_env_;
  ModelTrainer model_trainer_;
  StateRollout rollout_;
  ValueGradientLearner learner_;
  ValueGradientLearner::DrawStarts imagined_states_;  // the columns of obs
  Iteration iteration_;
};

}  // namespace reverie

#endif  // REVERIE_ALGORITHMS_DHMBPO_H_
