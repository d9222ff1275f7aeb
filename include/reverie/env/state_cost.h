// A task's cost of states for actions in [-1, 1].
#ifndef REVERIE_ENV_STATE_COST_H_
#define REVERIE_ENV_STATE_COST_H_

#include <string>

#include "reverie/env/action_bounds.h"
#include "reverie/env/registry.h"

namespace reverie {

// Why there is none, or "".
inline std::string StateCostMisfit(const EnvMaker& maker) {
  return maker.task_functions().state_cost
             ? ""
             : maker.make()->spec().id +
                   " has no cost of its states to minimise (`reverie envs ID` says of a task whether it has)";
}

// TaskFunctions::state_cost, which the task has to have: x, next [B, n] states (Env::SetState), u [B, m] in [-1, 1] ->
// [B], all float64 on the CPU. Differentiable twice.
inline TaskFunctions::Batched StateCostOf(const EnvMaker& maker) {
  const EnvSpec spec = maker.make()->spec();
  return [state_cost = maker.task_functions().state_cost,
          bounds = BatchedActionBounds(spec.action_low, spec.action_high, torch::dtype(torch::kFloat64))](
             const torch::Tensor& x, const torch::Tensor& u, const torch::Tensor& next) {
    return state_cost(x, bounds.ToEnvAction(u), next);
  };
}

}  // namespace reverie

#endif  // REVERIE_ENV_STATE_COST_H_
