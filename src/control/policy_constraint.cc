#include "reverie/control/policy_constraint.h"

#include <memory>
#include <utility>

#include "doubles.h"

namespace reverie {

PolicyConstraint PolicyConstraint::Of(int64_t horizon, int64_t controls, double penalty) {
  return {.duals = torch::zeros({horizon, controls}, torch::kFloat64), .penalty = penalty};
}

ShootingProblem Constrained(ShootingProblem problem, const DifferentiablePolicy& policy,
                            const PolicyConstraint& constraint) {
  const int64_t horizon = problem.horizon;
  const int64_t m = problem.controls;
  RequireDoubles("duals", constraint.duals, {horizon, m});
  const torch::Tensor duals = constraint.duals.clone();
  const double rho = constraint.penalty;
  problem.cost = [of_task = std::move(problem.cost), mean = policy.mean, duals, rho](
                     const torch::Tensor& x, const torch::Tensor& u, const torch::Tensor& next, torch::Tensor& cost) {
    of_task(x, u, next, cost);
    const torch::NoGradGuard no_gradients;
    const torch::Tensor residual = mean(x.flatten(0, 1).contiguous()).view_as(u) - u;
    cost += (residual * (duals.unsqueeze(1) + 0.5 * rho * residual)).sum(2);
  };
  // A task's expansion may leave out what is zero, so that it needs a place where nothing else is added.
  const auto expansion =
      std::make_shared<QuadraticCost>(QuadraticCost::Of(horizon, problem.tangent_size, problem.controls));
  problem.quadratise = [of_task = std::move(problem.quadratise), expansion, policy, duals, rho, horizon](
                           const torch::Tensor& x, const torch::Tensor& u, const LinearDynamics& dynamics,
                           const torch::Tensor& curvature, QuadraticCost* cost) {
    of_task(x, u, dynamics, curvature, expansion.get());
    const torch::NoGradGuard no_gradients;
    cost->xx.copy_(expansion->xx);
    cost->ux.copy_(expansion->ux);
    cost->uu.copy_(expansion->uu);
    cost->x.copy_(expansion->x);
    cost->u.copy_(expansion->u);
    const torch::Tensor acting = x.slice(0, 0, horizon);
    const torch::Tensor slope = duals + rho * (policy.mean(acting) - u);  // dL / d(pi - u)
    const torch::Tensor jacobian = policy.jacobian(acting);
    const torch::Tensor transposed = jacobian.transpose(1, 2);
    cost->x.slice(0, 0, horizon) += torch::matmul(transposed, slope.unsqueeze(2)).squeeze(2);
    cost->u -= slope;
    cost->xx.slice(0, 0, horizon) += rho * torch::matmul(transposed, jacobian);
    cost->ux -= rho * jacobian;
    cost->uu.diagonal(0, 1, 2) += rho;
  };
  return problem;
}

}  // namespace reverie
