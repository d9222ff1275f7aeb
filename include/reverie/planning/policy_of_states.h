// A policy of observations as a function of the simulator's state, with derivatives.
#ifndef REVERIE_PLANNING_POLICY_OF_STATES_H_
#define REVERIE_PLANNING_POLICY_OF_STATES_H_

#include <functional>
#include <memory>

#include "reverie/control/policy_constraint.h"
#include "reverie/planning/simulator_dynamics.h"

namespace reverie {

// mean: observations [R, obs_dim] float32 on the CPU to actions [R, m], row by row and differentiable. What is observed
// is that of an episode's first step: a task whose observations tell of earlier states is none for it.
//
// States are those of `dynamics`, differences in its tangent space: d pi / dx = (d pi / do) (d o / dx). Cost: one
// observation of the simulator for a mean, 2 n + 2 for a Jacobian, and m backward passes for a batch of them.
DifferentiablePolicy PolicyOfStates(std::shared_ptr<SimulatorDynamics> dynamics,
                                    std::function<torch::Tensor(const torch::Tensor& obs)> mean);

}  // namespace reverie

#endif  // REVERIE_PLANNING_POLICY_OF_STATES_H_
