// What imagined rollouts need to know of a task: its reward and its end, for whole batches.
#ifndef REVERIE_ENV_TASK_FUNCTIONS_H_
#define REVERIE_ENV_TASK_FUNCTIONS_H_

#include <functional>

#include "reverie/core/tensor.h"

namespace reverie {

// obs, next_obs [B, obs_dim] float32; action [B, act_dim] float32 in the env's own bounds; one device.
// Both are differentiable where the task is, synchronise nothing and keep no state.
struct TaskFunctions {
  using Batched = std::function<torch::Tensor(const torch::Tensor& obs, const torch::Tensor& action,
                                              const torch::Tensor& next_obs)>;
  Batched reward;      // [B] float32; empty: the observation does not determine it
  Batched terminated;  // [B] bool; empty: unknown, imagined trajectories never end
};

}  // namespace reverie

#endif  // REVERIE_ENV_TASK_FUNCTIONS_H_
