// Control under the constraint that a policy acts so: u_t = pi(x_t) along a trajectory.
//
//   L = sum_t  l_t(x_t, u_t) + lambda_t^T (pi(x_t) - u_t) + rho / 2 |pi(x_t) - u_t|^2
//
//   repeat: (x, u) <- argmin L, by iLQR on Constrained(problem, ...)
//           pi     <- argmin L: a regression of pi(x_t) on Targets, u_t - lambda_t / rho
//           lambda_t <- lambda_t + alpha rho (pi(x_t) - u_t)
//
// With lambda = 0 for ever it is the method of penalties, whose solution keeps a residual for any finite rho; alpha = 1
// is the exact method of multipliers. Sources: Nocedal and Wright 2006, chapter 17; Mordatch and Todorov 2014
// ("Combining the benefits of function approximation and trajectory optimization") for a network.
//
// All tensors are float64, contiguous, on the CPU.
#ifndef REVERIE_CONTROL_POLICY_CONSTRAINT_H_
#define REVERIE_CONTROL_POLICY_CONSTRAINT_H_

#include <functional>

#include "reverie/control/shooting_problem.h"

namespace reverie {

// pi, a function of the state. Of a state that is not finite both are not numbers, and nothing is thrown.
struct DifferentiablePolicy {
  std::function<torch::Tensor(const torch::Tensor& x)> mean;      // [R, nx] -> [R, m]
  std::function<torch::Tensor(const torch::Tensor& x)> jacobian;  // d pi / dx, [R, nx] -> [R, m, n]
};

// Of one trajectory.
struct PolicyConstraint {
  torch::Tensor duals;  // lambda [T, m]
  double penalty = 1;   // rho, above 0

  static PolicyConstraint Of(int64_t horizon, int64_t controls, double penalty);

  // What the policy is taught in place of the controls u [T, m].
  torch::Tensor Targets(const torch::Tensor& u) const { return u - duals / penalty; }
  // residual = pi(x_t) - u_t [T, m]; rate is alpha.
  void StepDuals(const torch::Tensor& residual, double rate) { duals = duals + rate * penalty * residual; }
};

// The problem with L as its cost. Its expansion has the policy's first derivatives alone (Gauss-Newton). The problem's
// horizon is the constraint's; throws std::invalid_argument where it is not.
ShootingProblem Constrained(ShootingProblem problem, const DifferentiablePolicy& policy,
                            const PolicyConstraint& constraint);

}  // namespace reverie

#endif  // REVERIE_CONTROL_POLICY_CONSTRAINT_H_
