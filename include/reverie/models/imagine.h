// Imagination: the loop behind planners and policy gradients through the model.
//
//   s_1 given;   for t = 1 ... H:   a_t = action(s_t, t);   (s_{t+1}, r_t, end_t) = step(s_t, a_t, t)
//
// Every row makes all H steps; what follows its first end does not count, which `alive` says. Differentiable where
// action and step are. Who stores rows on the way, and goes on with the live ones alone, has a loop of its own
// (rollout/branched_rollout.h).
#ifndef REVERIE_MODELS_IMAGINE_H_
#define REVERIE_MODELS_IMAGINE_H_

#include <c10/util/FunctionRef.h>

#include <vector>

#include "reverie/core/tensor.h"

namespace reverie {

// One step of B rows.
struct ImaginedTransition {
  torch::Tensor next_obs;  // [B, obs_dim]
  torch::Tensor reward;    // [B]
  torch::Tensor ended;     // [B] bool: nothing after this step counts
  torch::Tensor finite;    // [B] bool: the step met no number that is not finite
};

// H steps of B rows, each element those of one step.
struct Imagined {
  std::vector<torch::Tensor> obs;     // H + 1 of [B, obs_dim]
  std::vector<torch::Tensor> action;  // [B, act_dim]
  std::vector<torch::Tensor> reward;  // [B]
  std::vector<torch::Tensor> ended;   // [B] bool
  std::vector<torch::Tensor> finite;  // [B] bool

  // [H + 1, B] bool: the row had not ended before step t, the last row being what is left after all of them.
  torch::Tensor Alive() const;
};

using ActionAt = c10::function_ref<torch::Tensor(const torch::Tensor& obs, int64_t t)>;
using StepAt = c10::function_ref<ImaginedTransition(const torch::Tensor& obs, const torch::Tensor& action, int64_t t)>;

// From start [B, obs_dim], t counted from 0. Cost: H calls of each.
Imagined Imagine(const torch::Tensor& start, int64_t horizon, ActionAt action_at, StepAt step);

}  // namespace reverie

#endif  // REVERIE_MODELS_IMAGINE_H_
