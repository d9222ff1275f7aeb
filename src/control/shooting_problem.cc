#include "reverie/control/shooting_problem.h"

#include <torch/autograd.h>

#include <cmath>
#include <memory>
#include <utility>

#include "eigen.h"
#include "reverie/core/text.h"

namespace reverie {
namespace {

torch::Tensor Leaf(const torch::Tensor& values) { return values.detach().clone().requires_grad_(); }

// d output / d input of every row, where row i of the output depends on row i of the input alone: output [B] or a
// column of it, input [B, k]. Zeros where it does not depend on it.
torch::Tensor RowGradient(const torch::Tensor& output, const torch::Tensor& input, bool differentiable) {
  if (!output.requires_grad()) {
    return torch::zeros_like(input);
  }
  const torch::Tensor gradient = torch::autograd::grad({output.sum()}, {input}, {}, /*retain_graph=*/true,
                                                       differentiable, /*allow_unused=*/true)[0];
  return gradient.defined() ? gradient : torch::zeros_like(input);
}

// [B, k, k'] of a gradient [B, k].
torch::Tensor RowJacobian(const torch::Tensor& gradient, const torch::Tensor& input, bool differentiable = false) {
  std::vector<torch::Tensor> rows;
  for (int64_t i = 0; i < gradient.size(1); ++i) {
    rows.push_back(RowGradient(gradient.select(1, i), input, differentiable));
  }
  return torch::stack(rows, 1);
}

// The functions at T rows, with x and u side by side as z [T, n + m] so that one pass gives both derivatives.
struct Batch {
  Batch(const torch::Tensor& states, const torch::Tensor& controls, int64_t n)
      : z(Leaf(torch::cat({states.slice(0, 0, controls.size(0)), controls}, 1))),
        x(z.slice(1, 0, n)),
        u(z.slice(1, n)) {}
  torch::Tensor z, x, u;
};

}  // namespace

std::string WhatDiverges(const ShootingProblem& problem, double max_state) {
  torch::Tensor u = torch::zeros({1, problem.controls}, torch::kFloat64);
  if (problem.low.defined()) {
    u = u.maximum(problem.low).minimum(problem.high);
  }
  torch::Tensor x = problem.start.unsqueeze(0).clone();
  for (int64_t t = 0; t < problem.horizon; ++t) {
    torch::Tensor next = torch::zeros_like(x);
    problem.step(t, x, u, next);
    for (int64_t i = 0; i < problem.state_size; ++i) {
      const double value = next.data_ptr<double>()[i];
      if (!(std::abs(value) <= max_state)) {
        return Text("along zero controls, number ", i, " of the state after step ", t,
                    std::isfinite(value) ? Text(" is ", value) : " is not finite");
      }
    }
    torch::Tensor cost = torch::zeros({1, 1}, torch::kFloat64);
    problem.cost(x.unsqueeze(0), u.unsqueeze(0), next.unsqueeze(0), cost);
    if (!std::isfinite(cost.item<double>())) {
      return Text("along zero controls, the cost of step ", t, " is not finite");
    }
    x = next;
  }
  return "";
}

StageExpansion ExpandStageCost(
    const std::function<torch::Tensor(const torch::Tensor& x, const torch::Tensor& u, const torch::Tensor& next)>& cost,
    const torch::Tensor& x, const torch::Tensor& u, const torch::Tensor& next, const torch::Tensor& jacobian,
    const torch::Tensor& curvature) {
  const torch::AutoGradMode with_gradients(true);
  const Batch at(x, u, x.size(1));
  const torch::Tensor next_leaf = Leaf(next);
  const torch::Tensor values = cost(at.x, at.u, next_leaf);
  const torch::Tensor of_z = RowGradient(values, at.z, true);          // [B, n + m]
  const torch::Tensor of_next = RowGradient(values, next_leaf, true);  // [B, n]
  const torch::Tensor jt = jacobian.transpose(1, 2);
  const torch::Tensor across = torch::matmul(jt, RowJacobian(of_next, at.z));
  torch::Tensor hessian = RowJacobian(of_z, at.z) + across + across.transpose(1, 2) +
                          torch::matmul(jt, torch::matmul(RowJacobian(of_next, next_leaf), jacobian));
  if (curvature.defined()) {
    hessian = hessian + (of_next.detach().unsqueeze(2).unsqueeze(3) * curvature).sum(1);
  }
  return {.gradient = (of_z + torch::matmul(jt, of_next.unsqueeze(2)).squeeze(2)).detach(),
          .hessian = hessian.detach()};
}

void ExpandCost(const DifferentiableFunctions& functions, const torch::Tensor& x, const torch::Tensor& u,
                const LinearDynamics& dynamics, const torch::Tensor& curvature, QuadraticCost* cost) {
  const int64_t n = x.size(1);
  const int64_t horizon = u.size(0);
  const torch::AutoGradMode with_gradients(true);
  const StageExpansion stage = ExpandStageCost(functions.cost, x.slice(0, 0, horizon), u, x.slice(0, 1),
                                               torch::cat({dynamics.a, dynamics.b}, 2), curvature);
  cost->xx.slice(0, 0, horizon).copy_(stage.hessian.slice(1, 0, n).slice(2, 0, n));
  cost->ux.copy_(stage.hessian.slice(1, n).slice(2, 0, n));
  cost->uu.copy_(stage.hessian.slice(1, n).slice(2, n));
  cost->x.slice(0, 0, horizon).copy_(stage.gradient.slice(1, 0, n));
  cost->u.copy_(stage.gradient.slice(1, n));
  torch::Tensor last_gradient = torch::zeros({1, n}, torch::kFloat64);
  torch::Tensor last_hessian = torch::zeros({1, n, n}, torch::kFloat64);
  if (functions.terminal_cost) {
    const torch::Tensor last = Leaf(x.slice(0, horizon));
    last_gradient = RowGradient(functions.terminal_cost(last), last, true);
    last_hessian = RowJacobian(last_gradient, last);
  }
  cost->x.slice(0, horizon).copy_(last_gradient.detach());
  cost->xx.slice(0, horizon).copy_(last_hessian);
}

ShootingProblem ProblemOf(DifferentiableFunctions functions, const torch::Tensor& start, int64_t controls) {
  const int64_t n = start.defined() ? start.numel() : 0;
  RequireDoubles("start", start, {n});
  const auto shared = std::make_shared<const DifferentiableFunctions>(std::move(functions));
  ShootingProblem problem;
  problem.state_size = problem.tangent_size = n;
  problem.controls = controls;
  problem.start = start;
  problem.step = [shared](int64_t, const torch::Tensor& x, const torch::Tensor& u, torch::Tensor& next) {
    const torch::NoGradGuard no_gradients;
    next.copy_(shared->dynamics(x, u));
  };
  problem.cost = [shared](const torch::Tensor& x, const torch::Tensor& u, const torch::Tensor& next,
                          torch::Tensor& cost) {
    const torch::NoGradGuard no_gradients;
    cost.copy_(shared->cost(x.flatten(0, 1), u.flatten(0, 1), next.flatten(0, 1)).view_as(cost));
  };
  if (shared->terminal_cost) {
    problem.terminal_cost = [shared](const torch::Tensor& x, torch::Tensor& cost) {
      const torch::NoGradGuard no_gradients;
      cost.copy_(shared->terminal_cost(x));
    };
  }
  problem.linearise = [shared, n](const torch::Tensor& x, const torch::Tensor& u, LinearDynamics* dynamics) {
    const torch::AutoGradMode with_gradients(true);
    const Batch at(x, u, n);
    const torch::Tensor jacobian = RowJacobian(shared->dynamics(at.x, at.u), at.z);
    dynamics->a.copy_(jacobian.slice(2, 0, n));
    dynamics->b.copy_(jacobian.slice(2, n));
  };
  problem.curvature = [shared, n](const torch::Tensor& x, const torch::Tensor& u, torch::Tensor& curvature) {
    const torch::AutoGradMode with_gradients(true);
    const Batch at(x, u, n);
    const torch::Tensor next = shared->dynamics(at.x, at.u);
    for (int64_t i = 0; i < n; ++i) {
      curvature.select(1, i).copy_(RowJacobian(RowGradient(next.select(1, i), at.z, /*differentiable=*/true), at.z));
    }
  };
  problem.quadratise = [shared](const torch::Tensor& x, const torch::Tensor& u, const LinearDynamics& dynamics,
                                const torch::Tensor& curvature,
                                QuadraticCost* cost) { ExpandCost(*shared, x, u, dynamics, curvature, cost); };
  return problem;
}

}  // namespace reverie
