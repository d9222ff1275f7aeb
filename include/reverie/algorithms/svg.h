// Stochastic value gradients from real states: SVG(H) (Heess et al. 2015), with an entropy SAC-SVG(H) (Amos et al.
// 2021).
//
//   for each env step:
//     every F steps: fit p_theta and the observations' units on D
//     act with pi in the environment (uniformly at first), add to D
//     G times: on a batch of D, update Q by the real step, then pi, alpha through H differentiable steps from its
//     states
//
// Symbols: F model.retrain_every, G updates_per_step, H learner.horizon. What an update is, and its other kinds, are
// those of learners/value_gradient_learner.h: with noise: inferred SVG(1) of Heess et al.; with policy: deterministic
// and terminal_value: none plain backpropagation through time; with horizon: 0 there is no model, and the units are
// those of the exploration's rows.
//
// Beside the published code of SAC-SVG: models are this library's (model.kind), not recurrent; reward and end are the
// task's own where it knows them, and an end is never learned; the target entropy does not change in a run.
#ifndef REVERIE_ALGORITHMS_SVG_H_
#define REVERIE_ALGORITHMS_SVG_H_

#include <memory>
#include <optional>

#include "reverie/algorithms/algorithm.h"
#include "reverie/data/mixed_sampler.h"
#include "reverie/data/replay_buffer.h"
#include "reverie/env/env_config.h"
#include "reverie/learners/value_gradient_learner.h"
#include "reverie/models/model_env.h"
#include "reverie/models/model_trainer.h"
#include "reverie/models/registry.h"
#include "reverie/policies/uniform_policy.h"
#include "reverie/rollout/collector.h"
#include "reverie/run/run_config.h"

namespace reverie {

class Svg final : public Algorithm {
 public:
  struct Config {
    explicit Config(const EnvRegistry& envs) : env(envs) {}

    RunConfig run;
    EnvConfig env;
    int64_t updates_per_step = 1;
    int64_t replay_capacity = 1'000'000;
    ValueGradientConfig learner{.offers_switches = true,
                                .horizon = 2,
                                .discount = 0.99,
                                .critic_target = ValueTarget::kTd,
                                .critics = {.members = 2, .dropout = 0}};
    ModelConfig model{ModelDefaults()};

    void Visit(Fields& fields);
  };

  Svg(const Config& config, const torch::Device& device);

  void Train(RunContext& run) override;
  bool Rehearse() override;
  const Policy& policy() const override { return learner_.actor(); }
  const ReplayBuffer* transitions() const override { return &env_buffer_; }
  std::optional<LearnedModel> learned_model() const override;
  std::vector<std::filesystem::path> Export(const std::filesystem::path& torchscript) override;
  void VisitState(StateVisitor& state) override;

 private:
  int64_t StepsOfLearning() const { return collector_.env_steps() - config_.run.exploration_steps; }
  // Returns false where a signal stopped it.
  bool FitModel(RunContext& run);
  void Update(int64_t updates);

  Config config_;
  Rng rng_;
  Collector collector_;
  UniformPolicy random_policy_;
  ReplayBuffer env_buffer_;
  std::unique_ptr<DynamicsModel> model_;  // null where the horizon is 0
  std::optional<ModelEnv> model_env_;     // there with the model
  ModelTrainer model_trainer_;
  MixedSampler sampler_;
  ValueGradientLearner learner_;
};

}  // namespace reverie

#endif  // REVERIE_ALGORITHMS_SVG_H_
