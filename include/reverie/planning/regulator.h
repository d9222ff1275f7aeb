// The linear-quadratic regulator of a simulator about a state.
//
//   x' ~ x* + A (x - x*) + B (u - u*),   u = u* + K (x - x*) at the least sum of x^T Q x + u^T R u   (control/lqr.h)
//
// A and B are derivatives of whole env steps (planning/simulator_dynamics.h), Q and R diagonal.
#ifndef REVERIE_PLANNING_REGULATOR_H_
#define REVERIE_PLANNING_REGULATOR_H_

#include <vector>

#include "reverie/config/fields.h"
#include "reverie/control/lqr.h"
#include "reverie/env/env.h"
#include "reverie/planning/simulator_dynamics.h"

namespace reverie {

struct RegulatorConfig {
  std::vector<double> state;              // x*, as Env::SetState takes it; empty: the model's rest, or zeros
  std::vector<double> action{0};          // u* in [-1, 1]; one number stands for all, here and below
  std::vector<double> state_weights{1};   // the diagonal of Q, by SimulatorDynamics::tangent_names
  std::vector<double> action_weights{1};  // the diagonal of R

  void Visit(Fields& fields);
};

struct Regulator {
  torch::Tensor x, u;   // x* [nx] as SimulatorDynamics has it, u* [m]
  torch::Tensor drift;  // x* one step on less x*, [n]: 0 at a rest
  torch::Tensor a;      // A [n, n]
  torch::Tensor q_uu;   // R + B^T P B [m, m]: the cost of another action is (u - u*)^T Q_uu (u - u*) more
  DareResult solution;  // solved
};

// `env` is one of the task in which an episode has begun; it is put into the state. Throws std::invalid_argument where
// a list has not the numbers, or there is no regulator about the state, and names the keys, or the flags that
// `reverie control lqr` has for them.
Regulator RegulatorOf(SimulatorDynamics& dynamics, Env& env, const RegulatorConfig& config,
                      bool names_are_flags = false);

}  // namespace reverie

#endif  // REVERIE_PLANNING_REGULATOR_H_
