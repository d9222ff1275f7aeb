// What imagined rollouts need to know of a task: its reward and its end, for whole batches, and how a model should see
// it.
#ifndef REVERIE_ENV_TASK_FUNCTIONS_H_
#define REVERIE_ENV_TASK_FUNCTIONS_H_

#include <functional>

#include "reverie/core/tensor.h"

namespace reverie {

// obs, next_obs [B, obs_dim] float32 (or all float64); action [B, act_dim] in the env's own bounds; one device.
// Reward and end are differentiable where the task is, synchronise nothing and keep no state.
//
// A policy's export traces them (planning/export.h): sizes that are numbers in C++ come from the shapes they are traced
// with, so a tensor of as many rows is made like another (zeros_like), not of a size.
//
// A row whose next_obs is not finite is never `terminated`: whoever predicted it drops it instead of ending there.
struct TaskFunctions {
  using Batched = std::function<torch::Tensor(const torch::Tensor& obs, const torch::Tensor& action,
                                              const torch::Tensor& next_obs)>;
  Batched reward;      // [B], next_obs' dtype; empty: the observation does not determine it
  Batched terminated;  // [B] bool; empty: unknown, imagined trajectories never end

  // What optimal control minimises: the negative reward as a function of states (Env::SetState), [B] float64, or where
  // that has no curvature a smooth stand-in for it, of which the task's header tells. Differentiable twice. Empty:
  // none.
  Batched state_cost;

  // [B, obs_dim] -> [B, features]: what a model is shown of an observation, such as the sine and cosine of an angle
  // that is not wrapped. Differentiable. Empty: the observation itself.
  using Features = std::function<torch::Tensor(const torch::Tensor& obs)>;
  Features features;
};

// The `terminated` of a task that has no end.
inline torch::Tensor NeverTerminated(const torch::Tensor&, const torch::Tensor&, const torch::Tensor& next_obs) {
  return torch::zeros_like(next_obs.select(1, 0), torch::kBool);
}

// Whether an episode of the task may end before a time limit, as far as is known.
inline bool MayTerminate(const TaskFunctions& task) {
  using Function = torch::Tensor (*)(const torch::Tensor&, const torch::Tensor&, const torch::Tensor&);
  const Function* function = task.terminated.target<Function>();
  return function == nullptr || *function != &NeverTerminated;
}

}  // namespace reverie

#endif  // REVERIE_ENV_TASK_FUNCTIONS_H_
