// A dynamics model dressed as a batched environment: learned dynamics, the task's own reward and end where known.
#ifndef REVERIE_MODELS_MODEL_ENV_H_
#define REVERIE_MODELS_MODEL_ENV_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "reverie/env/action_bounds.h"
#include "reverie/env/env.h"
#include "reverie/env/registry.h"
#include "reverie/env/task_functions.h"
#include "reverie/models/dynamics_model.h"

namespace reverie {

// Where imagined rewards come from.
enum class ModelReward {
  kAuto,     // the task's function where it has one, else learned
  kLearned,  // predicted beside the observation
  kKnown,    // the task's function
};
std::vector<std::pair<std::string, ModelReward>> EnumNames(ModelReward);

// What is wrong with asking that of the task, or "": for Fields::Check.
std::string RewardMisfit(ModelReward reward, const std::string& env_id, const TaskFunctions& task);

// Whether the task's reward, which it has to have, depends on anything. One that is 1 for every step does not.
bool RewardHasDerivatives(const EnvMaker& maker);

// Whether a model is to learn the reward.
bool LearnsReward(ModelReward reward, const TaskFunctions& task);

// What of the task is known to a model and what is not, in words for the log.
std::string WhatIsLearned(bool learns_reward, const TaskFunctions& task);

// What B imagined steps came to, beside the transitions themselves.
struct ImaginedStep {
  torch::Tensor terminated;  // [B] bool
  torch::Tensor finite;      // [B] bool: next_obs and reward are all finite
  torch::Tensor hypothesis;  // [B] int64: the model's that moved the row
};

class ModelEnv {
 public:
  // Borrows the model, which must outlive this. Throws std::logic_error where neither the model nor the task gives a
  // reward.
  ModelEnv(const DynamicsModel& model, TaskFunctions task, const EnvSpec& spec, const torch::Device& device);

  // From obs and action (in [-1, 1]) of each row of `batch`: writes its next_obs and reward. A task without a
  // termination function never ends.
  ImaginedStep Step(TransitionBatch& batch, const StepDraws& draws) const;
  // By a hypothesis drawn for each row.
  ImaginedStep Step(TransitionBatch& batch, torch::Generator& generator) const;

  // Its two halves, for whoever completes many steps at once. Move writes next_obs, and the reward where it is learned,
  // and returns the hypotheses, [B] int64.
  torch::Tensor Move(TransitionBatch& batch, const StepDraws& draws) const;
  // The task's own reward and end. `hypothesis` is only handed on.
  ImaginedStep Complete(TransitionBatch& batch, const torch::Tensor& hypothesis = {}) const;

  // The same by a hypothesis drawn for each row, from their prediction at (obs, action), where the caller needs that
  // anyway; a model that is not Gaussian draws its steps itself.
  ImaginedStep StepFrom(const GaussianPrediction& prediction, TransitionBatch& batch,
                        torch::Generator& generator) const;

  // One step of B rows for autograd (DynamicsModel::Next), with the task's own reward and end. Differentiable where
  // model and task are.
  struct Transition {
    torch::Tensor next_obs;    // [B, obs_dim]
    torch::Tensor reward;      // [B]
    torch::Tensor terminated;  // [B] bool
  };
  Transition Next(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws) const;
  // The same along real steps: its values are those of the rows, its derivatives those of Next. `draws` are what made
  // the rows (InferNoise); what they leave of a difference, all of it where the model has no noise, is an addend that
  // depends on nothing.
  Transition NextAlong(const TransitionBatch& real, const torch::Tensor& obs, const torch::Tensor& action,
                       const StepDraws& draws) const;

  // What the task itself says of B transitions, action in [-1, 1]. Differentiable where the task is.
  struct Verdict {
    torch::Tensor reward;      // [B] float32; undefined where the model learns it
    torch::Tensor terminated;  // [B] bool
  };
  Verdict Judge(const torch::Tensor& obs, const torch::Tensor& action, const torch::Tensor& next_obs) const;

  const DynamicsModel& model() const { return model_; }

 private:
  ModelSample SampleOf(TransitionBatch& batch) const;

  const DynamicsModel& model_;
  TaskFunctions task_;
  BatchedActionBounds bounds_;
};

// The mean of the hypotheses' mean next observations (propagation "E"): obs [B, obs_dim], action [B, act_dim] -> [B,
// obs_dim].
torch::Tensor MeanNextObs(const DynamicsModel& model, const torch::Tensor& obs, const torch::Tensor& action);

// Root mean square error of open-loop prediction after each of `horizons` steps, observations in units of their
// standard deviation over `rows`, or as they are where they do not vary there.
//
// rows: consecutive real transitions in the order they happened, which the model was not fitted to. From every start
// whose next h steps stay inside one episode the real actions are fed to the model, each step's prediction being
// MeanNextObs. Metrics "open_loop_error_<h>"; a horizon with no such start is left out.
Metrics OpenLoopError(const DynamicsModel& model, const TransitionBatch& rows, const std::vector<int64_t>& horizons);

}  // namespace reverie

#endif  // REVERIE_MODELS_MODEL_ENV_H_
