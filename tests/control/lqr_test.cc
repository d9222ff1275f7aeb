#include "reverie/control/lqr.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "oracle.h"
#include "reverie/env/toy/linear_quadratic.h"

namespace reverie {
namespace {

using torch::indexing::Slice;

torch::Tensor Matrix(std::vector<std::vector<double>> rows) {
  std::vector<torch::Tensor> tensors;
  for (std::vector<double>& row : rows) {
    tensors.push_back(torch::tensor(std::move(row), torch::kFloat64));
  }
  return torch::stack(tensors);
}

double Distance(const torch::Tensor& a, const torch::Tensor& b) { return (a - b).abs().max().item<double>(); }

template <size_t kRows, size_t kColumns>
torch::Tensor Of(const LinearQuadratic::Matrix<kRows, kColumns>& matrix) {
  torch::Tensor tensor = torch::zeros({kRows, kColumns}, torch::kFloat64);
  for (size_t i = 0; i < kRows; ++i) {
    for (size_t j = 0; j < kColumns; ++j) {
      tensor[static_cast<int64_t>(i)][static_cast<int64_t>(j)] = matrix[i][j];
    }
  }
  return tensor;
}

struct RandomNumbers {
  torch::Generator rng;
  explicit RandomNumbers(uint64_t seed) : rng(torch::make_generator<at::CPUGeneratorImpl>(seed)) {}
  torch::Tensor operator()(at::IntArrayRef shape) { return torch::randn(shape, rng, torch::kFloat64); }
};

struct Problem {
  LinearDynamics dynamics;
  QuadraticCost cost;
};

// Time-varying in all of its terms, convex in [x; u] together.
Problem RandomProblem(int64_t n, int64_t m, int64_t horizon, uint64_t seed) {
  RandomNumbers normal(seed);
  Problem problem{LinearDynamics::Of(horizon, n, m), QuadraticCost::Of(horizon, n, m)};
  problem.dynamics.a = normal({horizon, n, n}) / std::sqrt(n);
  problem.dynamics.b = normal({horizon, n, m});
  problem.dynamics.f = normal({horizon, n});
  const torch::Tensor root = normal({horizon + 1, n + m, n + m});
  const torch::Tensor hessian = torch::matmul(root, root.transpose(1, 2)) / (n + m);
  problem.cost.xx = hessian.slice(1, 0, n).slice(2, 0, n).contiguous();
  problem.cost.ux = hessian.slice(0, 0, horizon).slice(1, n).slice(2, 0, n).contiguous();
  problem.cost.uu =
      hessian.slice(0, 0, horizon).slice(1, n).slice(2, n).contiguous() + 0.1 * torch::eye(m, torch::kFloat64);
  problem.cost.x = normal({horizon + 1, n});
  problem.cost.u = normal({horizon, m});
  problem.cost.c = normal({horizon + 1});
  return problem;
}

// The cost of acting u = K x + k from x_0, or of the controls themselves.
double RolledOut(const Problem& problem, const LinearGains& gains, torch::Tensor x) {
  const int64_t horizon = problem.dynamics.b.size(0);
  const QuadraticCost& cost = problem.cost;
  const auto of_state = [&](int64_t t) { return 0.5 * x.dot(torch::mv(cost.xx[t], x)) + cost.x[t].dot(x) + cost.c[t]; };
  torch::Tensor sum = torch::zeros({}, torch::kFloat64);
  for (int64_t t = 0; t < horizon; ++t) {
    const torch::Tensor u = torch::mv(gains.feedback[t], x) + gains.feedforward[t];
    sum =
        sum + of_state(t) + u.dot(torch::mv(cost.ux[t], x)) + 0.5 * u.dot(torch::mv(cost.uu[t], u)) + cost.u[t].dot(u);
    x = torch::mv(problem.dynamics.a[t], x) + torch::mv(problem.dynamics.b[t], u) + problem.dynamics.f[t];
  }
  return (sum + of_state(horizon)).item<double>();
}

double ValueAt(const QuadraticValue& value, int64_t t, const torch::Tensor& x) {
  return (0.5 * x.dot(torch::mv(value.xx[t], x)) + value.x[t].dot(x) + value.c[t]).item<double>();
}

// All controls and states of the optimum from x_0 by one dense solve of the conditions of Karush, Kuhn and Tucker.
struct DenseOptimum {
  DenseOptimum(const Problem& problem, const torch::Tensor& x_0) {
    const int64_t horizon = problem.dynamics.b.size(0);
    const int64_t n = problem.dynamics.b.size(1);
    const int64_t m = problem.dynamics.b.size(2);
    const int64_t variables = horizon * (n + m);  // u_0, x_1, u_1, ... x_T
    const auto u_at = [&](int64_t t) { return Slice(t * (n + m), t * (n + m) + m); };
    const auto x_at = [&](int64_t t) { return Slice((t - 1) * (n + m) + m, t * (n + m)); };
    const auto row_at = [&](int64_t t) { return Slice(variables + t * n, variables + (t + 1) * n); };
    torch::Tensor kkt = torch::zeros({variables + horizon * n, variables + horizon * n}, torch::kFloat64);
    torch::Tensor right = torch::zeros({variables + horizon * n}, torch::kFloat64);
    for (int64_t t = 0; t < horizon; ++t) {
      kkt.index_put_({u_at(t), u_at(t)}, problem.cost.uu[t]);
      kkt.index_put_({x_at(t + 1), x_at(t + 1)}, problem.cost.xx[t + 1]);
      right.index_put_({u_at(t)}, -problem.cost.u[t]);
      right.index_put_({x_at(t + 1)}, -problem.cost.x[t + 1]);
      if (t > 0) {
        kkt.index_put_({u_at(t), x_at(t)}, problem.cost.ux[t]);
        kkt.index_put_({x_at(t), u_at(t)}, problem.cost.ux[t].t());
        kkt.index_put_({row_at(t), x_at(t)}, problem.dynamics.a[t]);
        kkt.index_put_({x_at(t), row_at(t)}, problem.dynamics.a[t].t());
      } else {
        right.index_put_({u_at(0)}, -problem.cost.u[0] - torch::mv(problem.cost.ux[0], x_0));
      }
      kkt.index_put_({row_at(t), u_at(t)}, problem.dynamics.b[t]);
      kkt.index_put_({u_at(t), row_at(t)}, problem.dynamics.b[t].t());
      kkt.index_put_({row_at(t), x_at(t + 1)}, -torch::eye(n, torch::kFloat64));
      kkt.index_put_({x_at(t + 1), row_at(t)}, -torch::eye(n, torch::kFloat64));
      right.index_put_({row_at(t)}, -problem.dynamics.f[t] - (t == 0 ? torch::mv(problem.dynamics.a[0], x_0)
                                                                     : torch::zeros({n}, torch::kFloat64)));
    }
    const torch::Tensor solution = torch::linalg_solve(kkt, right).slice(0, 0, variables).reshape({horizon, n + m});
    u = solution.slice(1, 0, m);
    x = torch::cat({x_0.unsqueeze(0), solution.slice(1, m)});
  }
  torch::Tensor u, x;  // [T, m], [T + 1, n]
};

TEST(Lqr, IsTheDenseOptimum) {
  for (const auto& [n, m, horizon] :
       {std::tuple<int64_t, int64_t, int64_t>{8, 2, 16}, {1, 1, 1}, {3, 5, 7}, {36, 12, 20}}) {
    const Problem problem = RandomProblem(n, m, horizon, 7);
    const torch::Tensor x_0 = RandomNumbers(8)({n});
    const LqrResult result = SolveLqr(problem.dynamics, problem.cost);
    ASSERT_EQ(result.status, LqrStatus::kSolved);
    const DenseOptimum optimum(problem, x_0);
    torch::Tensor x = x_0;
    for (int64_t t = 0; t < horizon; ++t) {
      const torch::Tensor u = torch::mv(result.gains.feedback[t], x) + result.gains.feedforward[t];
      EXPECT_LT(Distance(u, optimum.u[t]), 1e-9) << n << ", step " << t;
      x = torch::mv(problem.dynamics.a[t], x) + torch::mv(problem.dynamics.b[t], u) + problem.dynamics.f[t];
      EXPECT_LT(Distance(x, optimum.x[t + 1]), 1e-9);
    }
    const double cost = RolledOut(problem, result.gains, x_0);
    EXPECT_NEAR(ValueAt(result.value, 0, x_0), cost, 1e-10 * std::abs(cost));
  }
}

TEST(Lqr, TheHandCalculatedExample) {
  // x1' = x1 + x2, x2' = x2 + u, costs 1/2 |x|^2 + 1/2 u^2 about u = 1/2, three steps, of which the last has no
  // control: test/lqr.cc of MuJoCo MPC.
  Problem problem{LinearDynamics::Of(2, 2, 1), QuadraticCost::Of(2, 2, 1)};
  problem.dynamics.a.copy_(Matrix({{1, 1}, {0, 1}}).expand({2, 2, 2}));
  problem.dynamics.b.copy_(Matrix({{0}, {1}}).expand({2, 2, 1}));
  problem.cost.xx.copy_(torch::eye(2, torch::kFloat64).expand({3, 2, 2}));
  problem.cost.uu.fill_(1);
  problem.cost.u.fill_(0.5);
  problem.cost.x[1] = torch::tensor({0.0, 0.5}, torch::kFloat64);  // where u = 1/2 leads from 0
  problem.cost.x[2] = torch::tensor({0.5, 1.0}, torch::kFloat64);
  const LqrResult result = SolveLqr(problem.dynamics, problem.cost);
  EXPECT_LT(Distance(result.value.xx[0], Matrix({{19.0 / 7, 2}, {2, 4}})), 1e-12);
  EXPECT_LT(Distance(result.gains.feedback[0], Matrix({{-2.0 / 7, -1}})), 1e-12);
  EXPECT_LT(Distance(result.gains.feedforward, Matrix({{-0.5}, {-0.75}})), 1e-12);
}

TEST(Lqr, IsTheTasksOwnSolution) {
  const int64_t horizon = 200;
  Problem problem{LinearDynamics::Of(horizon, 4, 2), QuadraticCost::Of(horizon, 4, 2)};
  problem.dynamics.a.copy_(Of(LinearQuadratic::A()).expand({horizon, 4, 4}));
  problem.dynamics.b.copy_(Of(LinearQuadratic::B()).expand({horizon, 4, 2}));
  for (int64_t i = 0; i < 4; ++i) {
    problem.cost.xx.slice(0, 0, horizon)
        .select(1, i)
        .select(1, i)
        .fill_(2 * LinearQuadratic::QDiagonal()[static_cast<size_t>(i)]);
  }
  for (int64_t i = 0; i < 2; ++i) {
    problem.cost.uu.select(1, i).select(1, i).fill_(2 * LinearQuadratic::RDiagonal()[static_cast<size_t>(i)]);
  }
  const LqrResult result = SolveLqr(problem.dynamics, problem.cost);
  const LinearQuadratic::Solution solution = LinearQuadratic::Solve(horizon);
  EXPECT_LT(Distance(result.value.xx[0], 2 * Of(solution.p)), 1e-12);
  EXPECT_LT(Distance(result.gains.feedback[0], -Of(solution.k)), 1e-12);
  EXPECT_EQ(result.value.x.abs().max().item<double>(), 0);
}

TEST(Lqr, AGoalElsewhereIsTheShiftedController) {
  Problem problem = RandomProblem(4, 2, 12, 3);
  const torch::Tensor goal = RandomNumbers(4)({4});
  problem.dynamics.f.zero_();
  for (torch::Tensor* linear : {&problem.cost.x, &problem.cost.u, &problem.cost.c}) {
    linear->zero_();
  }
  const LqrResult at_zero = SolveLqr(problem.dynamics, problem.cost);
  for (int64_t t = 0; t <= 12; ++t) {  // y = x - goal moves as x did
    problem.cost.x[t] = -torch::mv(problem.cost.xx[t], goal);
    problem.cost.c[t] = 0.5 * goal.dot(torch::mv(problem.cost.xx[t], goal));
    if (t < 12) {
      problem.cost.u[t] = -torch::mv(problem.cost.ux[t], goal);
      problem.dynamics.f[t] = goal - torch::mv(problem.dynamics.a[t], goal);
    }
  }
  const LqrResult shifted = SolveLqr(problem.dynamics, problem.cost);
  EXPECT_LT(Distance(shifted.gains.feedback, at_zero.gains.feedback), 1e-10);
  EXPECT_LT(Distance(shifted.gains.feedforward, -torch::matmul(at_zero.gains.feedback, goal)), 1e-10);
  for (int64_t t = 0; t <= 12; ++t) {
    const torch::Tensor p_goal = torch::mv(at_zero.value.xx[t], goal);
    EXPECT_LT(Distance(shifted.value.xx[t], at_zero.value.xx[t]), 1e-10);
    EXPECT_LT(Distance(shifted.value.x[t], -p_goal), 1e-10);
    EXPECT_NEAR(shifted.value.c[t].item<double>(), 0.5 * goal.dot(p_goal).item<double>(), 1e-10);
  }
}

TEST(Lqr, TheValueIsThatOfTheGainsWhateverMadeThem) {
  const Problem problem = RandomProblem(5, 3, 10, 11);
  const torch::Tensor x_0 = RandomNumbers(12)({5});
  const torch::Tensor bound = torch::full({10, 3}, 0.2, torch::kFloat64);
  const double least = ValueAt(SolveLqr(problem.dynamics, problem.cost).value, 0, x_0);
  for (const LqrOptions& options : {LqrOptions{.control_regularisation = 3}, LqrOptions{.state_regularisation = 2},
                                    LqrOptions{.low = -bound, .high = bound}}) {
    const LqrResult result = SolveLqr(problem.dynamics, problem.cost, options);
    ASSERT_EQ(result.status, LqrStatus::kSolved);
    const double value = ValueAt(result.value, 0, x_0);
    EXPECT_NEAR(value, RolledOut(problem, result.gains, x_0), 1e-9 * std::abs(value));
    EXPECT_GT(value, least + 1e-3);
  }
}

TEST(Lqr, RegularisationOfStatesIsThatOfTheNextValue) {
  Problem problem = RandomProblem(3, 2, 1, 5);
  const LqrResult result = SolveLqr(problem.dynamics, problem.cost, {.state_regularisation = 0.7});
  problem.cost.xx[1] += 0.7 * torch::eye(3, torch::kFloat64);
  const torch::Tensor b = problem.dynamics.b[0];
  const torch::Tensor p = problem.cost.xx[1];
  const torch::Tensor quu = problem.cost.uu[0] + b.t().mm(p).mm(b);
  const torch::Tensor qux = problem.cost.ux[0] + b.t().mm(p).mm(problem.dynamics.a[0]);
  EXPECT_LT(Distance(result.gains.feedback[0], -torch::linalg_solve(quu, qux)), 1e-12);
}

TEST(Lqr, ClampedControlsHaveNoFeedback) {
  const Problem problem = RandomProblem(4, 3, 20, 17);
  const torch::Tensor bound = torch::full({20, 3}, 0.15, torch::kFloat64);
  const LqrResult result = SolveLqr(problem.dynamics, problem.cost, {.low = -bound, .high = bound});
  const torch::Tensor at_bound = result.gains.feedforward.abs() >= 0.15;
  EXPECT_LE(result.gains.feedforward.abs().max().item<double>(), 0.15);
  EXPECT_GT(at_bound.sum().item<int64_t>(), 10);
  EXPECT_GT((~at_bound).sum().item<int64_t>(), 5);
  EXPECT_TRUE(torch::equal(result.gains.feedback.abs().sum(2) == 0, at_bound));
  const LqrResult wide = SolveLqr(problem.dynamics, problem.cost, {.low = -1e6 * bound, .high = 1e6 * bound});
  const LqrResult none = SolveLqr(problem.dynamics, problem.cost);
  EXPECT_LT(Distance(wide.gains.feedforward, none.gains.feedforward), 1e-9);
  EXPECT_LT(Distance(wide.gains.feedback, none.gains.feedback), 1e-9);
}

TEST(Lqr, TheExpectedChangeIsThatOfFeedforwardSteps) {
  Problem problem = RandomProblem(4, 2, 9, 23);
  problem.dynamics.f.zero_();
  const LqrResult result = SolveLqr(problem.dynamics, problem.cost);
  const torch::Tensor zero = torch::zeros({4}, torch::kFloat64);
  const auto cost = [&](double alpha) {
    return RolledOut(problem, {.feedback = result.gains.feedback, .feedforward = alpha * result.gains.feedforward},
                     zero);
  };
  for (const double alpha : {0.1, 0.5, 1.0}) {
    EXPECT_NEAR(cost(alpha) - cost(0), alpha * result.linear_change + 0.5 * alpha * alpha * result.quadratic_change,
                1e-9);
  }
  EXPECT_NEAR(cost(1), result.value.c[0].item<double>(), 1e-9);
}

TEST(Lqr, WhatHasNoLeastCostIsToldByStepAndLeavesNoNan) {
  Problem problem = RandomProblem(3, 2, 8, 29);
  problem.cost.uu[5] -= 100 * torch::eye(2, torch::kFloat64);
  LqrResult result = SolveLqr(problem.dynamics, problem.cost);
  EXPECT_EQ(result.status, LqrStatus::kNotPositiveDefinite);
  EXPECT_EQ(result.failed_at, 5);
  EXPECT_EQ(SolveLqr(problem.dynamics, problem.cost, {.control_regularisation = 200}).status, LqrStatus::kSolved);
  problem = RandomProblem(3, 2, 8, 29);
  problem.dynamics.a[2][1][1] = NAN;
  result = SolveLqr(problem.dynamics, problem.cost);
  EXPECT_EQ(result.status, LqrStatus::kNotFinite);
  EXPECT_EQ(result.failed_at, 2);
  EXPECT_TRUE(result.gains.feedback.isfinite().all().item<bool>());
  problem.cost.xx[8] = INFINITY;
  EXPECT_EQ(SolveLqr(problem.dynamics, problem.cost).failed_at, 7);
  problem = RandomProblem(3, 2, 8, 29);
  problem.cost.c[1] = NAN;
  EXPECT_EQ(SolveLqr(problem.dynamics, problem.cost).failed_at, 1);
  problem = RandomProblem(3, 2, 8, 29);
  problem.cost.u[0] = 1e200;  // whose square is too large
  EXPECT_EQ(SolveLqr(problem.dynamics, problem.cost).status, LqrStatus::kNotFinite);
}

TEST(Lqr, RandomIndefiniteProblemsEndInAStatus) {
  RandomNumbers normal(31);
  int solved = 0;
  LqrSolver solver;
  LqrResult result;
  for (int i = 0; i < 300; ++i) {
    Problem problem = RandomProblem(3, 2, 6, static_cast<uint64_t>(i));
    const torch::Tensor noise = normal({6, 2, 2});
    problem.cost.uu += 0.2 * i / 100.0 * (noise + noise.transpose(1, 2));
    problem.dynamics.a *= std::pow(10.0, i % 60);
    const torch::Tensor bound = torch::full({6, 2}, 0.5, torch::kFloat64);
    LqrOptions options;
    if (i % 2 == 0) {
      options.low = -bound;
      options.high = bound;
    }
    solver.Solve(problem.dynamics, problem.cost, options, &result);
    solved += result.status == LqrStatus::kSolved ? 1 : 0;
    EXPECT_EQ(result.failed_at >= 0, result.status != LqrStatus::kSolved);
    const int64_t first = result.failed_at + 1;
    EXPECT_TRUE(result.gains.feedback.slice(0, first).isfinite().all().item<bool>());
    EXPECT_TRUE(result.gains.feedforward.slice(0, first).isfinite().all().item<bool>());
  }
  EXPECT_GT(solved, 20);
  EXPECT_LT(solved, 280);
}

TEST(Lqr, ShapesAreLookedAt) {
  Problem problem = RandomProblem(3, 2, 4, 1);
  problem.cost.u = problem.cost.u.to(torch::kFloat32);
  try {
    SolveLqr(problem.dynamics, problem.cost);
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_STREQ(error.what(), "cost.u is Float[4, 2] on cpu, expected contiguous doubles[4, 2] on the CPU");
  }
  problem = RandomProblem(3, 2, 4, 1);
  problem.cost.ux = problem.cost.ux.transpose(1, 2);
  EXPECT_THROW(SolveLqr(problem.dynamics, problem.cost), std::invalid_argument);
}

TEST(Dare, PublishedAndScipysNumbers) {
  // scipy.linalg.solve_discrete_are for the task's matrices.
  const DareResult task =
      SolveDare(Of(LinearQuadratic::A()), Of(LinearQuadratic::B()),
                Matrix({{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 0.1, 0}, {0, 0, 0, 0.1}}), torch::eye(2, torch::kFloat64));
  ASSERT_EQ(task.status, LqrStatus::kSolved);
  const torch::Tensor p_rows = Matrix({{14.6359542634, 0.942313197, 7.7138923375, 2.9413151428}});
  EXPECT_LT(Distance(task.p.slice(0, 0, 1), p_rows), 1e-9);
  EXPECT_LT(Distance(task.p[2].slice(0, 2), Matrix({{11.323982468, 2.2094639815}})[0]), 1e-9);
  EXPECT_LT(Distance(task.k[0], -Matrix({{0.646184073, 0.2923241652, 1.0621914036, 0.1998418312}})[0]), 1e-9);
  EXPECT_LT(Distance(task.moduli, Matrix({{0.95252, 0.95252, 0.92908, 0.92908}})[0]), 1e-5);

  // Drake's test of the double integrator, and the same with a cross term by scipy.
  const torch::Tensor a = Matrix({{1, 1}, {0, 1}});
  const torch::Tensor b = Matrix({{0}, {1}});
  const torch::Tensor q = torch::eye(2, torch::kFloat64);
  const torch::Tensor r = torch::eye(1, torch::kFloat64);
  const DareResult plain = SolveDare(a, b, q, r);
  EXPECT_LT(Distance(plain.k, -Matrix({{0.422082440385453, 1.243928853903714}})), 1e-10);
  EXPECT_LT(Distance(plain.p, Matrix({{2.947122966707012, 2.369205407092467}, {2.369205407092467, 4.613134260996183}})),
            1e-10);
  const DareResult crossed = SolveDare(a, b, q, r, Matrix({{0.1, 0.2}}));
  EXPECT_LT(Distance(crossed.p, Matrix({{2.8591357845, 2.1577608249}, {2.1577608249, 4.0974839425}})), 1e-9);
  EXPECT_LT(Distance(crossed.k, -Matrix({{0.4429167115, 1.2663590195}})), 1e-9);
}

TEST(Dare, IsTheLimitOfTheRecursionAndScipys) {
  const TemporaryFolder folder;
  std::vector<std::pair<std::string, torch::Tensor>> tensors;
  RandomNumbers normal(41);
  for (int i = 0; i < 20; ++i) {
    const int64_t n = 1 + i % 7;
    const int64_t m = 1 + i % 3;
    const torch::Tensor a = normal({n, n});
    const torch::Tensor b = normal({n, m});
    const torch::Tensor root = normal({n + m, n + m});
    const torch::Tensor cost = torch::mm(root, root.t());
    const torch::Tensor q = cost.slice(0, 0, n).slice(1, 0, n).contiguous();
    const torch::Tensor r = cost.slice(0, n).slice(1, n).contiguous();
    const torch::Tensor s = cost.slice(0, n).slice(1, 0, n).contiguous();
    const DareResult result = SolveDare(a, b, q, r, s);
    ASSERT_EQ(result.status, LqrStatus::kSolved) << Text(result.status);
    EXPECT_LT(result.moduli[0].item<double>(), 1);
    const torch::Tensor bpa = s + b.t().mm(result.p).mm(a);
    const torch::Tensor residual =
        q + a.t().mm(result.p).mm(a) - bpa.t().mm(torch::linalg_solve(r + b.t().mm(result.p).mm(b), bpa)) - result.p;
    EXPECT_LT(residual.norm().item<double>(), 1e-9 * result.p.norm().item<double>());
    EXPECT_LT(Distance(result.p, result.p.t()), 1e-12 * result.p.norm().item<double>());
    const std::string name = std::to_string(i) + ".";
    for (const auto& [key, value] : {std::pair("a", a), {"b", b}, {"q", q}, {"r", r}, {"s", s}, {"p", result.p}}) {
      tensors.emplace_back(name + key, value);
    }
  }
  WriteTensors(folder.path() / "dare.safetensors", tensors);
  EXPECT_EQ(RunPython("control/dare_oracle.py", folder.path(), "dare.safetensors"), 0);
}

TEST(Dare, CheapControlsCostNoAccuracy) {
  RandomNumbers normal(43);
  for (const double r : {1e-4, 1e-8, 1e-12}) {
    for (int i = 0; i < 20; ++i) {
      const torch::Tensor a = normal({6, 6});
      const torch::Tensor b = normal({6, 2});
      const torch::Tensor q = torch::eye(6, torch::kFloat64);
      const DareResult result = SolveDare(a, b, q, r * torch::eye(2, torch::kFloat64));
      ASSERT_EQ(result.status, LqrStatus::kSolved) << r << ": " << Text(result.status);
      // By a thousand steps of the recursion from there, which has no inverse of R.
      Problem recursion{LinearDynamics::Of(1000, 6, 2), QuadraticCost::Of(1000, 6, 2)};
      recursion.dynamics.a.copy_(a.expand({1000, 6, 6}));
      recursion.dynamics.b.copy_(b.expand({1000, 6, 2}));
      recursion.cost.xx.copy_(q.expand({1001, 6, 6}));
      recursion.cost.uu.copy_((r * torch::eye(2, torch::kFloat64)).expand({1000, 2, 2}));
      const LqrResult limit = SolveLqr(recursion.dynamics, recursion.cost);
      EXPECT_LT(Distance(result.p, limit.value.xx[0]), 1e-7 * result.p.abs().max().item<double>()) << r;
      EXPECT_LT(Distance(result.k, limit.gains.feedback[0]), 1e-6 * result.k.abs().max().item<double>()) << r;
    }
  }
}

TEST(Dare, AModeThatDoesNotRestAndCostsNothingIsTold) {
  // An integrator that nothing moves or sees, turned into every direction: whether its modulus comes out below 1 is up
  // to rounding.
  RandomNumbers normal(47);
  for (int i = 0; i < 50; ++i) {
    const torch::Tensor turned = std::get<0>(torch::linalg_qr(normal({4, 4})));
    torch::Tensor a = torch::zeros({4, 4}, torch::kFloat64);
    a.slice(0, 0, 3).slice(1, 0, 3) = normal({3, 3});
    a[3][3] = 1;
    torch::Tensor b = torch::zeros({4, 2}, torch::kFloat64);
    b.slice(0, 0, 3) = normal({3, 2});
    torch::Tensor q = torch::eye(4, torch::kFloat64);
    q[3][3] = 0;
    q = turned.mm(q).mm(turned.t());
    const DareResult result = SolveDare(turned.mm(a).mm(turned.t()).contiguous(), turned.mm(b).contiguous(),
                                        (0.5 * (q + q.t())).contiguous(), torch::eye(2, torch::kFloat64));
    EXPECT_EQ(result.status, LqrStatus::kNotStabilisable) << i;
  }
}

TEST(Dare, WhatCannotBeBroughtToRestIsTold) {
  const torch::Tensor one = torch::eye(1, torch::kFloat64);
  const torch::Tensor two = torch::eye(2, torch::kFloat64);
  const torch::Tensor b = Matrix({{1}, {0}});
  EXPECT_EQ(SolveDare(Matrix({{1.1, 0}, {0, 1.2}}), b, two, one).status, LqrStatus::kNotStabilisable);
  EXPECT_EQ(SolveDare(Matrix({{1.1, 0}, {0, 0.9}}), b, two, one).status, LqrStatus::kSolved);
  EXPECT_EQ(SolveDare(two, b, two, -one).status, LqrStatus::kNotPositiveDefinite);
  EXPECT_EQ(SolveDare(2 * one, one, 0 * one, one).status, LqrStatus::kNotStabilisable);  // to do nothing costs nothing
  EXPECT_EQ(SolveDare(two * NAN, b, two, one).status, LqrStatus::kNotFinite);
  EXPECT_THROW(SolveDare(two, b, Matrix({{1, 0.5}, {0, 1}}), one), std::invalid_argument);
  EXPECT_THROW(SolveDare(two, b, two, two), std::invalid_argument);
}

}  // namespace
}  // namespace reverie
