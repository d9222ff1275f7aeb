// A deterministic control problem, with its derivatives along a trajectory.
//
//   minimise sum_{t<T} l(t, x_t, u_t) + l_T(x_T)   over u,   x_{t+1} = f(t, x_t, u_t),   low <= u_t <= high
//
// A state is nx numbers. Where they move on a curved space, such as the unit quaternions of a free body, small
// differences between states have n < nx numbers; derivatives, gains and values are in those.
//
// All tensors are float64, contiguous, on the CPU.
#ifndef REVERIE_CONTROL_SHOOTING_PROBLEM_H_
#define REVERIE_CONTROL_SHOOTING_PROBLEM_H_

#include <cstdint>
#include <functional>
#include <string>

#include "reverie/control/linear_quadratic.h"

namespace reverie {

struct ShootingProblem {
  int64_t horizon = 0;       // T
  int64_t state_size = 0;    // nx
  int64_t tangent_size = 0;  // n
  int64_t controls = 0;      // m

  torch::Tensor start;      // x_0 [nx]
  torch::Tensor low, high;  // [m], or neither: no bounds

  // f(t, x, u) of R trajectories, x [R, nx], u [R, m], into next [R, nx]. A row that cannot be computed, or comes as
  // not a number, is written as that, and nothing is thrown.
  std::function<void(int64_t t, const torch::Tensor& x, const torch::Tensor& u, torch::Tensor& next)> step;
  // l of all steps of R trajectories, x [T, R, nx], u [T, R, m], next = f(x, u) [T, R, nx], into cost [T, R].
  std::function<void(const torch::Tensor& x, const torch::Tensor& u, const torch::Tensor& next, torch::Tensor& cost)>
      cost;
  // l_T of x [R, nx] into cost [R]. None: no cost of the last state.
  std::function<void(const torch::Tensor& x, torch::Tensor& cost)> terminal_cost;

  // A and B of f along x [T + 1, nx], u [T, m] into `dynamics`, which has the sizes; its f stays zero. What this and
  // the next two do not write is zero, or what their last call of the same search wrote.
  std::function<void(const torch::Tensor& x, const torch::Tensor& u, LinearDynamics* dynamics)> linearise;
  // d2f_i / d[x; u]^2 along the same into [T, n, n + m, n + m], for differential dynamic programming; none where the
  // problem cannot say.
  std::function<void(const torch::Tensor& x, const torch::Tensor& u, torch::Tensor& curvature)> curvature;
  // The expansion of l and l_T about the same, in differences from it, into `cost`, which has the sizes; its c is left
  // as it is. A cost of the next state needs the derivatives of f: the first, and for its exact Hessian the second,
  // which are not there (undefined) where only the first are asked for.
  std::function<void(const torch::Tensor& x, const torch::Tensor& u, const LinearDynamics& dynamics,
                     const torch::Tensor& curvature, QuadraticCost* cost)>
      quadratise;

  // The difference x - y of states [R, nx] into [R, n]. None: the difference of the numbers, n = nx.
  std::function<void(const torch::Tensor& x, const torch::Tensor& y, torch::Tensor& difference)> difference;
};

// "along zero controls, number 2 of the state after step 3 is not finite", "... is 1e+300" where max_state is less, or
// "along zero controls, the cost of step 0 is not finite"; "" where nothing is wrong with that trajectory.
std::string WhatDiverges(const ShootingProblem& problem, double max_state);

// A problem given by functions of tensors, differentiated by autograd in float64.
//
// Each takes a batch of rows, x [B, n], u [B, m], next [B, n], and is differentiable twice. f: [B, n]. l: [B]; it may
// use the next state, whose derivatives go through f. terminal: [B], or none. The rows of a batch are steps of
// trajectories in any order; t is not told.
struct DifferentiableFunctions {
  std::function<torch::Tensor(const torch::Tensor& x, const torch::Tensor& u)> dynamics;
  std::function<torch::Tensor(const torch::Tensor& x, const torch::Tensor& u, const torch::Tensor& next)> cost;
  std::function<torch::Tensor(const torch::Tensor& x)> terminal_cost;
};

// The expansion of a stage cost l(x, u, f(x, u)) at B rows, in differences of z = [x; u] from them.
struct StageExpansion {
  torch::Tensor gradient;  // [B, n + m]
  torch::Tensor hessian;   // [B, n + m, n + m]
};

// x [B, n], u [B, m], next = f(x, u) [B, n]; jacobian d next / dz [B, n, n + m]; curvature d2 next / dz2 [B, n, n + m,
// n + m], or none, without which its term is left out of the Hessian.
StageExpansion ExpandStageCost(
    const std::function<torch::Tensor(const torch::Tensor& x, const torch::Tensor& u, const torch::Tensor& next)>& cost,
    const torch::Tensor& x, const torch::Tensor& u, const torch::Tensor& next, const torch::Tensor& jacobian,
    const torch::Tensor& curvature = {});

// The quadratic expansion of cost and terminal_cost about x [T + 1, n], u [T, m], in differences from it, as
// ShootingProblem::quadratise gives it. `dynamics` has A and B of the functions' dynamics, which themselves are not
// asked.
void ExpandCost(const DifferentiableFunctions& functions, const torch::Tensor& x, const torch::Tensor& u,
                const LinearDynamics& dynamics, const torch::Tensor& curvature, QuadraticCost* cost);

// start [n]. Horizon and bounds are left to be set. Throws std::invalid_argument where start is not [n] doubles.
// Cost of the derivatives: some 4 n + m backward passes for a batch of T rows, and n (n + m) more for the curvature.
ShootingProblem ProblemOf(DifferentiableFunctions functions, const torch::Tensor& start, int64_t controls);

}  // namespace reverie

#endif  // REVERIE_CONTROL_SHOOTING_PROBLEM_H_
