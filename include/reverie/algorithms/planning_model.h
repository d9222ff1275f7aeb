// What planning through a learned model takes, however plans are found: the model, the real transitions that it is
// fitted to, the task that it is dressed with, and when it is fitted.
#ifndef REVERIE_ALGORITHMS_PLANNING_MODEL_H_
#define REVERIE_ALGORITHMS_PLANNING_MODEL_H_

#include <memory>
#include <string>

#include "reverie/data/replay_buffer.h"
#include "reverie/env/env_config.h"
#include "reverie/models/model_env.h"
#include "reverie/models/model_trainer.h"
#include "reverie/models/registry.h"

namespace reverie {

// PETS' own, by default: its cart-pole's networks; all members predict, and a fit is a few epochs over everything.
ModelDefaults PlanningModelDefaults();

// Why iLQR cannot follow trajectories in that model of the task, or "". A model's precision is not looked at.
std::string TrajectoryMisfit(const ModelConfig& model, const EnvConfig& env);

// Why plans cannot see of the task what env.observe says, or "": those in the simulator see its state.
std::string SeenMisfit(const ModelConfig& model, const EnvConfig& env);

struct PlanningModel {
  PlanningModel(const ModelConfig& config, const EnvMaker& env, const EnvSpec& spec, int64_t replay_capacity,
                const Rng& rng, const torch::Device& device);

  ReplayBuffer buffer;
  std::unique_ptr<DynamicsModel> model;
  ModelEnv model_env;
  ModelTrainer trainer;

  void VisitState(StateVisitor& state);
};

}  // namespace reverie

#endif  // REVERIE_ALGORITHMS_PLANNING_MODEL_H_
