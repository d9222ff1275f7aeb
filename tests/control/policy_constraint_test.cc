#include "reverie/control/policy_constraint.h"

#include <gtest/gtest.h>

#include <torch/autograd.h>

#include "control/static_gain.h"
#include "reverie/core/state.h"

namespace reverie {
namespace {

TEST(PolicyConstraint, MultipliersFindTheBestStaticGain) {
  // As a prototype in NumPy, by Riccati's recursion instead of iLQR, has them.
  StaticGain gain(1);
  EXPECT_NEAR(gain.Step(1).ratio, 1.028288, 1e-6);
  EXPECT_NEAR(gain.Step(1).ratio, 1.001163, 1e-6);
  EXPECT_NEAR(gain.Step(1).ratio, 1.000082, 1e-6);
  StaticGain::Outer last;
  for (int i = 3; i < 10; ++i) {
    last = gain.Step(1);
  }
  EXPECT_NEAR(last.ratio, 1, 1e-8);
  EXPECT_NEAR(last.residual, 2.2985e-4, 1e-7);
}

TEST(PolicyConstraint, APenaltyAloneKeepsAResidual) {
  StaticGain gain(1);
  StaticGain::Outer last;
  for (int i = 0; i < 10; ++i) {
    last = gain.Step(0);
  }
  EXPECT_NEAR(last.ratio, 1.000144, 1e-6);
  EXPECT_NEAR(last.residual, 0.077277, 1e-5);
}

TEST(PolicyConstraint, SlowerMultipliersAndLargerPenaltiesGoThereMoreSlowly) {
  StaticGain slow(1);
  StaticGain stiff(10);
  StaticGain::Outer of_slow, of_stiff;
  for (int i = 0; i < 10; ++i) {
    of_slow = slow.Step(0.1);
    of_stiff = stiff.Step(1);
  }
  EXPECT_NEAR(of_slow.ratio, 1.000032, 1e-6);
  EXPECT_NEAR(of_slow.residual, 0.046022, 1e-5);
  EXPECT_NEAR(of_stiff.ratio, 1.003203, 1e-6);
}

TEST(PolicyConstraint, ItsExpansionIsThatOfAutograd) {
  // pi(x) = sin(W x), whose second derivatives are left out: at pi(x) = u and lambda = 0 they do not count.
  torch::Generator generator = MakeGenerator(Rng(0), torch::kCPU);
  const torch::Tensor w = torch::randn({2, 4}, generator, torch::kFloat64);
  const DifferentiablePolicy policy{
      .mean = [w](const torch::Tensor& x) { return x.mm(w.t()).sin(); },
      .jacobian = [w](const torch::Tensor& x) { return x.mm(w.t()).cos().unsqueeze(2) * w; }};
  ShootingProblem problem = LinearQuadraticProblem();
  problem.horizon = 3;
  PolicyConstraint constraint = PolicyConstraint::Of(3, 2, 0.7);
  const torch::Tensor x = torch::randn({4, 4}, generator, torch::kFloat64);
  for (const bool at_the_solution : {false, true}) {
    const torch::Tensor acting = x.slice(0, 0, 3);
    const torch::Tensor u = at_the_solution ? policy.mean(acting) : torch::randn({3, 2}, generator, torch::kFloat64);
    if (!at_the_solution) {
      constraint.duals = torch::randn({3, 2}, generator, torch::kFloat64);
    } else {
      constraint.duals.zero_();
    }
    const auto lagrangian = [&](const torch::Tensor& states, const torch::Tensor& controls) {
      const torch::Tensor residual = states.mm(w.t()).sin() - controls;
      return (residual * (constraint.duals + 0.35 * residual)).sum();
    };
    const auto expand = [&](const ShootingProblem& of) {
      LinearDynamics dynamics = LinearDynamics::Of(3, 4, 2);
      QuadraticCost cost = QuadraticCost::Of(3, 4, 2);
      of.linearise(x, u, &dynamics);
      of.quadratise(x, u, dynamics, {}, &cost);
      of.quadratise(x, u, dynamics, {}, &cost);  // a second time nothing is added up
      return cost;
    };
    const QuadraticCost with = expand(Constrained(problem, policy, constraint));
    const QuadraticCost without = expand(problem);
    const torch::Tensor leaf_x = acting.clone().requires_grad_();
    const torch::Tensor leaf_u = u.clone().requires_grad_();
    const auto gradients =
        torch::autograd::grad({lagrangian(leaf_x, leaf_u)}, {leaf_x, leaf_u}, {}, true, /*create_graph=*/true);
    EXPECT_LT((with.x - without.x).slice(0, 0, 3).sub(gradients[0]).abs().max().item<double>(), 1e-12);
    EXPECT_LT((with.u - without.u).sub(gradients[1]).abs().max().item<double>(), 1e-12);
    EXPECT_TRUE(torch::equal(with.x[3], without.x[3]));
    for (int64_t j = 0; j < 4 && at_the_solution; ++j) {
      const auto row = torch::autograd::grad({gradients[0].select(1, j).sum()}, {leaf_x, leaf_u}, {}, true);
      EXPECT_LT((with.xx - without.xx).slice(0, 0, 3).select(1, j).sub(row[0]).abs().max().item<double>(), 1e-12);
      EXPECT_LT((with.ux - without.ux).select(2, j).sub(row[1]).abs().max().item<double>(), 1e-12);
    }
    torch::Tensor costs = torch::empty({3, 1}, torch::kFloat64);
    torch::Tensor of_task = torch::empty({3, 1}, torch::kFloat64);
    const torch::Tensor rows = x.unsqueeze(1);
    Constrained(problem, policy, constraint).cost(rows.slice(0, 0, 3), u.unsqueeze(1), rows.slice(0, 1), costs);
    problem.cost(rows.slice(0, 0, 3), u.unsqueeze(1), rows.slice(0, 1), of_task);
    EXPECT_NEAR((costs - of_task).sum().item<double>(), lagrangian(acting, u).item<double>(), 1e-12);
  }
}

TEST(PolicyConstraint, RefusesMultipliersOfAnotherLength) {
  StaticGain gain(1);
  EXPECT_THROW(Constrained(LinearQuadraticProblem(), gain.policy(), PolicyConstraint::Of(StaticGain::kT + 1, 2, 1)),
               std::invalid_argument);
}

}  // namespace
}  // namespace reverie
