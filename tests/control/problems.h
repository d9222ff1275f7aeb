// Problems of control whose optimum others have found, for the tests.
#ifndef REVERIE_TESTS_CONTROL_PROBLEMS_H_
#define REVERIE_TESTS_CONTROL_PROBLEMS_H_

#include <memory>
#include <numbers>
#include <span>

#include "reverie/control/shooting_problem.h"
#include "reverie/env/toy/cart_pole_swing_up.h"
#include "reverie/env/toy/linear_quadratic.h"

namespace reverie {

inline torch::Tensor Column(const torch::Tensor& tensor, int64_t i) { return tensor.select(1, i); }

// LinearQuadratic-v0 for 50 steps from (0.3, -0.3, 0.1, -0.1).
inline ShootingProblem LinearQuadraticProblem() {
  torch::Tensor a = torch::zeros({4, 4}, torch::kFloat64);
  torch::Tensor b = torch::zeros({4, 2}, torch::kFloat64);
  for (int64_t i = 0; i < 4; ++i) {
    for (int64_t j = 0; j < 4; ++j) {
      a[i][j] = LinearQuadratic::A()[static_cast<size_t>(i)][static_cast<size_t>(j)];
    }
    for (int64_t j = 0; j < 2; ++j) {
      b[i][j] = LinearQuadratic::B()[static_cast<size_t>(i)][static_cast<size_t>(j)];
    }
  }
  const auto reward = LinearQuadratic::MakeTaskFunctions({}).reward;
  ShootingProblem problem = ProblemOf(
      {.dynamics = [a, b](const torch::Tensor& x, const torch::Tensor& u) { return x.mm(a.t()) + u.mm(b.t()); },
       .cost = [reward](const torch::Tensor& x, const torch::Tensor& u,
                        const torch::Tensor& next) { return -reward(x, u, next); }},
      torch::tensor({0.3, -0.3, 0.1, -0.1}, torch::kFloat64), 2);
  problem.horizon = 50;
  return problem;
}

// CartPoleSwingUp-v0 from rest; the cost is the reward's negative.
inline ShootingProblem CartPoleProblem(int64_t horizon) {
  const auto derivative = [](const torch::Tensor& state, const torch::Tensor& force) {
    constexpr double kM = CartPoleSwingUp::kPoleMass;
    constexpr double kL = CartPoleSwingUp::kPoleLength;
    constexpr double kG = CartPoleSwingUp::kGravity;
    const torch::Tensor sin = Column(state, 1).sin();
    const torch::Tensor cos = Column(state, 1).cos();
    const torch::Tensor x_acc = (force - 0.1 * Column(state, 2) + 0.5 * kM * kL * sin * Column(state, 3).square() +
                                 0.75 * kM * kG * sin * cos) /
                                (CartPoleSwingUp::kCartMass + kM - 0.75 * kM * cos.square());
    return torch::stack({Column(state, 2), Column(state, 3), x_acc, -1.5 / kL * (cos * x_acc + kG * sin)}, 1);
  };
  const auto reward = CartPoleSwingUp::MakeTaskFunctions({}).reward;
  ShootingProblem problem = ProblemOf({.dynamics =
                                           [derivative](torch::Tensor x, const torch::Tensor& u) {
                                             const torch::Tensor force = CartPoleSwingUp::kMaxForce * Column(u, 0);
                                             for (int i = 0; i < 4; ++i) {
                                               const torch::Tensor k1 = derivative(x, force);
                                               const torch::Tensor k2 = derivative(x + 0.005 * k1, force);
                                               const torch::Tensor k3 = derivative(x + 0.005 * k2, force);
                                               const torch::Tensor k4 = derivative(x + 0.01 * k3, force);
                                               x = x + 0.01 / 6 * (k1 + 2 * k2 + 2 * k3 + k4);
                                             }
                                             return x;
                                           },
                                       .cost = [reward](const torch::Tensor& x, const torch::Tensor& u,
                                                        const torch::Tensor& next) { return -reward(x, u, next); }},
                                      torch::zeros({4}, torch::kFloat64), 1);
  problem.horizon = horizon;
  return problem;
}

// The same, stepped by the task itself, which is much faster than by tensors. It clips actions to [-1, 1].
inline ShootingProblem SteppedCartPoleProblem(int64_t horizon) {
  ShootingProblem problem = CartPoleProblem(horizon);
  const auto env = std::make_shared<CartPoleSwingUp>("CartPoleSwingUp-v0", CartPoleSwingUp::Options{});
  problem.step = [env](int64_t, const torch::Tensor& x, const torch::Tensor& u, torch::Tensor& next) {
    for (int64_t r = 0; r < x.size(0); ++r) {
      const std::span<double> after(next.data_ptr<double>() + 4 * r, 4);
      env->SetState({x.data_ptr<double>() + 4 * r, 4}, after);
      env->Step({u.data_ptr<double>() + r, 1}, after);
    }
  };
  problem.high = torch::ones({1}, torch::kFloat64);
  problem.low = -problem.high;
  return problem;
}

// An acrobot to be swung up in 50 Euler steps of 0.1 s: the problem of trajax's tests, whose masses, lengths and
// inertias are Sutton's. The last state costs 500 |x - goal|^2, a step 0.05 |x - goal|^2 + 0.005 u^2.
inline ShootingProblem AcrobotProblem() {
  const auto from_goal = [](const torch::Tensor& x) {
    return (x - torch::tensor({std::numbers::pi, 0.0, 0.0, 0.0}, torch::kFloat64)).square().sum(1);
  };
  ShootingProblem problem = ProblemOf(
      {.dynamics =
           [](const torch::Tensor& x, const torch::Tensor& u) {
             constexpr double kG = 9.8;
             const torch::Tensor cos_2 = Column(x, 1).cos();
             const torch::Tensor sin_2 = Column(x, 1).sin();
             const torch::Tensor d1 = 0.25 + (1.25 + cos_2) + 2;
             const torch::Tensor d2 = 0.25 + 0.5 * cos_2 + 1;
             const torch::Tensor phi2 = 0.5 * kG * (Column(x, 0) + Column(x, 1)).sin();
             const torch::Tensor phi1 = -0.5 * Column(x, 3).square() * sin_2 - Column(x, 3) * Column(x, 2) * sin_2 +
                                        1.5 * kG * Column(x, 0).sin() + phi2;
             const torch::Tensor acc_2 = (Column(u, 0) + d2 / d1 * phi1 - 0.5 * Column(x, 2).square() * sin_2 - phi2) /
                                         (1.25 - d2.square() / d1);
             const torch::Tensor acc_1 = -(d2 * acc_2 + phi1) / d1;
             return x + 0.1 * torch::stack({Column(x, 2), Column(x, 3), acc_1, acc_2}, 1);
           },
       .cost = [from_goal](const torch::Tensor& x, const torch::Tensor& u,
                           const torch::Tensor&) { return 0.05 * from_goal(x) + 0.005 * u.square().sum(1); },
       .terminal_cost = [from_goal](const torch::Tensor& x) { return 500 * from_goal(x); }},
      torch::zeros({4}, torch::kFloat64), 1);
  problem.horizon = 50;
  return problem;
}

// A car to be parked at the origin in 15 s, its wheel's angle and acceleration limited: Tassa, Mansard and Todorov
// 2014, section IV.C.
inline ShootingProblem CarProblem() {
  const auto smooth_abs = [](const torch::Tensor& x, double p) { return (x.square() + p * p).sqrt() - p; };
  ShootingProblem problem =
      ProblemOf({.dynamics =
                     [](const torch::Tensor& x, const torch::Tensor& u) {
                       constexpr double kAxles = 2.0;
                       constexpr double kH = 0.03;
                       const torch::Tensor front = kH * Column(x, 3);
                       const torch::Tensor sideways = front * Column(u, 0).sin();
                       const torch::Tensor back =
                           kAxles + front * Column(u, 0).cos() - (kAxles * kAxles - sideways.square()).sqrt();
                       return x + torch::stack({back * Column(x, 2).cos(), back * Column(x, 2).sin(),
                                                (sideways / kAxles).asin(), kH * Column(u, 1)},
                                               1);
                     },
                 .cost =
                     [smooth_abs](const torch::Tensor& x, const torch::Tensor& u, const torch::Tensor&) {
                       return 1e-2 * Column(u, 0).square() + 1e-4 * Column(u, 1).square() +
                              1e-3 * (smooth_abs(Column(x, 0), 0.1) + smooth_abs(Column(x, 1), 0.1));
                     },
                 .terminal_cost =
                     [smooth_abs](const torch::Tensor& x) {
                       return 0.1 * (smooth_abs(Column(x, 0), 0.01) + smooth_abs(Column(x, 1), 0.01)) +
                              smooth_abs(Column(x, 2), 0.01) + 0.3 * smooth_abs(Column(x, 3), 1) +
                              1e-3 * (smooth_abs(Column(x, 0), 0.1) + smooth_abs(Column(x, 1), 0.1));
                     }},
                torch::tensor({1.0, 1.0, 1.5 * std::numbers::pi, 0.0}, torch::kFloat64), 2);
  problem.horizon = 500;
  problem.low = torch::tensor({-0.5, -2.0}, torch::kFloat64);
  problem.high = torch::tensor({0.5, 2.0}, torch::kFloat64);
  return problem;
}

}  // namespace reverie

#endif  // REVERIE_TESTS_CONTROL_PROBLEMS_H_
