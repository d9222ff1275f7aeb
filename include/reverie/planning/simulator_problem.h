// A task in its true simulator as a control problem.
#ifndef REVERIE_PLANNING_SIMULATOR_PROBLEM_H_
#define REVERIE_PLANNING_SIMULATOR_PROBLEM_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "reverie/control/linear_gaussian.h"
#include "reverie/control/shooting_problem.h"
#include "reverie/env/env.h"
#include "reverie/env/registry.h"
#include "reverie/planning/problem_from.h"
#include "reverie/planning/simulator_dynamics.h"

namespace reverie {

// Why a task cannot be one, or "": it has no state_cost, or states with quaternions, of which the cost has no
// derivatives in the tangent space.
std::string SimulatorProblemMisfit(const EnvMaker& maker);

// Steps and derivatives are those of `dynamics`; the cost is the task's TaskFunctions::state_cost, differentiated by
// autograd; the bounds are those of actions, [-1, 1]. Horizon and start are left to be set. The end of an episode is
// not seen. Throws std::invalid_argument with a misfit.
ShootingProblem SimulatorProblem(std::shared_ptr<SimulatorDynamics> dynamics, const EnvMaker& maker);

// The problem from the state that the environment is in, with `dynamics` made to follow it. Throws
// std::invalid_argument where there is none: an observation is not enough.
ShootingProblem FollowedFrom(ShootingProblem problem, SimulatorDynamics& dynamics, const Env* env);

// The same with a simulator of its own, on so many threads, which the problem borrows until the next is asked for.
// Throws std::invalid_argument with a misfit.
ProblemFrom SimulatorProblemFrom(const EnvMaker& maker, int64_t threads);

// The environment at the beginning of an episode in that state. What a reset draws beside it is the same at every call.
std::unique_ptr<Env> EnvIn(const EnvMaker& maker, const std::vector<double>& state);

// The simulator around the mean trajectory x_t, u_t of a controller, its actions held in [-1, 1], from the state that
// the environment is in:
//
//   A, B the derivatives there,  f_t = x_{t+1} - A x_t - B u_t,  W = 0
//
// States are those of Env::GetState. Where the simulator becomes unstable they are not numbers. Throws
// std::invalid_argument with a misfit.
LinearGaussianDynamics DynamicsAlong(SimulatorDynamics& dynamics, const Env& env,
                                     const LinearGaussianController& controller);
// Why a task has none, or "": random steps, states with quaternions, or of more than qpos and qvel.
std::string DerivativesMisfit(const EnvMaker& maker);
// The same from that state, with a simulator of its own.
std::function<LinearGaussianDynamics(const LinearGaussianController&)> DynamicsFrom(const EnvMaker& maker,
                                                                                    const std::vector<double>& start);

}  // namespace reverie

#endif  // REVERIE_PLANNING_SIMULATOR_PROBLEM_H_
