#include "reverie/algorithms/planning_model.h"

#include "reverie/planning/simulator_problem.h"

namespace reverie {

ModelDefaults PlanningModelDefaults() {
  return {.ensemble = {.members = 5,
                       .elites = 5,
                       .hidden = {500, 500, 500},
                       .batch_size = 32,
                       .weight_decay = {1e-4, 2.5e-4, 2.5e-4, 5e-4},
                       .holdout = {.ratio = 0, .max_epochs = 5}},
          .retrain_every = 200,
          .with_simulator = true};
}

std::string TrajectoryMisfit(const ModelConfig& model, const EnvConfig& env) {
  if (!model.learned()) {
    return SimulatorProblemMisfit(env.maker);
  }
  const ModelCard card = model.card();
  if (!card.is_gaussian || !card.has_derivatives) {
    return "iLQR follows derivatives of steps without noise, the mean of a Gaussian's, which model.kind: " +
           model.choice.kind() + " does not have; expected one of " +
           LearnedModelsWith([](const ModelCard& one) { return one.is_gaussian && one.has_derivatives; });
  }
  return !LearnsReward(model.reward, env.maker.task_functions()) && !RewardHasDerivatives(env.maker)
             ? "iLQR needs derivatives by the actions, which the known reward of " + env.id +
                   " does not have; model.reward: learned does"
             : "";
}

std::string SeenMisfit(const ModelConfig& model, const EnvConfig& env) {
  return model.learned() || env.observe.changes_nothing()
             ? ""
             : "kind: simulator plans from the environment's state; expected env.observe as it is by default";
}

PlanningModel::PlanningModel(const ModelConfig& config, const EnvMaker& env, const EnvSpec& spec,
                             int64_t replay_capacity, const Rng& rng, const torch::Device& device)
    : buffer({spec.obs_dim(), spec.act_dim()}, replay_capacity, device, 0, "replay_capacity"),
      model(config.Make(buffer.layout(), env.task_functions(), rng, device)),
      model_env(*model, env.task_functions(), spec, device),
      trainer(config.retrain_every, rng) {}

void PlanningModel::VisitState(StateVisitor& state) {
  state("buffer", buffer);
  state("model", *model);
  trainer.VisitState(state);
}

}  // namespace reverie
