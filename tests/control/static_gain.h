// LinearQuadratic-v0 for 50 steps from eight states under u = K x, one K for all steps, found by the method of
// multipliers: the trajectories by iLQR, K by least squares.
#ifndef REVERIE_TESTS_CONTROL_STATIC_GAIN_H_
#define REVERIE_TESTS_CONTROL_STATIC_GAIN_H_

#include <algorithm>
#include <tuple>
#include <vector>

#include "control/problems.h"
#include "reverie/control/ilqr.h"
#include "reverie/control/policy_constraint.h"

namespace reverie {

class StaticGain {
 public:
  // The least mean cost over such K, by SciPy (BFGS on a gradient by adjoints); with a gain for each step it would be
  // 9.949794234063168.
  static constexpr double kBestStatic = 9.99361436384936;
  static constexpr int64_t kT = 50;
  struct Outer {
    double ratio = 0;     // of the cost under K to the least
    double residual = 0;  // largest of all
  };

  explicit StaticGain(double penalty) {
    for (const std::vector<double>& start : Starts()) {
      problems_.push_back(LinearQuadraticProblem());
      problems_.back().start = torch::tensor(start, torch::kFloat64);
      constraints_.push_back(PolicyConstraint::Of(kT, 2, penalty));
    }
  }

  // One iteration; alpha 0 leaves the multipliers at 0.
  Outer Step(double alpha) {
    std::vector<torch::Tensor> states, controls, targets;
    for (size_t i = 0; i < problems_.size(); ++i) {
      const IlqrResult result = SolveIlqr(Constrained(problems_[i], policy(), constraints_[i]),
                                          torch::zeros({kT, 2}, torch::kFloat64), {.gradient_tolerance = 1e-9});
      states.push_back(result.x.slice(0, 0, kT));
      controls.push_back(result.u);
      targets.push_back(constraints_[i].Targets(result.u));
    }
    k_ = std::get<0>(torch::linalg_lstsq(torch::cat(states), torch::cat(targets))).t().contiguous();
    Outer outer;
    for (size_t i = 0; i < problems_.size(); ++i) {
      const torch::Tensor residual = policy().mean(states[i]) - controls[i];
      constraints_[i].StepDuals(residual, alpha);
      outer.residual = std::max(outer.residual, residual.abs().max().item<double>());
      outer.ratio += CostUnder(problems_[i]) / static_cast<double>(problems_.size()) / kBestStatic;
    }
    return outer;
  }

  DifferentiablePolicy policy() const {
    return {.mean = [k = k_](const torch::Tensor& x) { return x.mm(k.t()); },
            .jacobian =
                [k = k_](const torch::Tensor& x) {
                  return k.expand({x.size(0), 2, 4});
                }};
  }

 private:
  static std::vector<std::vector<double>> Starts() {
    return {{0.192, -0.322, -0.643, -0.677}, {0.439, 0.578, 0.149, 0.321},  {0.061, 0.609, 0.442, -0.696},
            {0.5, -0.653, 0.322, -0.454},    {0.508, 0.058, -0.28, -0.108}, {-0.66, -0.526, 0.239, 0.206},
            {0.162, -0.163, 0.696, 0.673},   {0.26, 0.211, 0.264, -0.156}};
  }
  double CostUnder(const ShootingProblem& problem) const {
    torch::Tensor x = torch::empty({kT + 1, 1, 4}, torch::kFloat64);
    torch::Tensor u = torch::empty({kT, 1, 2}, torch::kFloat64);
    x[0][0] = problem.start;
    for (int64_t t = 0; t < kT; ++t) {
      u[t] = x[t].mm(k_.t());
      torch::Tensor next = x[t + 1];
      problem.step(t, x[t], u[t], next);
    }
    torch::Tensor cost = torch::empty({kT, 1}, torch::kFloat64);
    problem.cost(x.slice(0, 0, kT), u, x.slice(0, 1), cost);
    return cost.sum().item<double>();
  }

  torch::Tensor k_ = torch::zeros({2, 4}, torch::kFloat64);
  std::vector<ShootingProblem> problems_;
  std::vector<PolicyConstraint> constraints_;
};

}  // namespace reverie

#endif  // REVERIE_TESTS_CONTROL_STATIC_GAIN_H_
