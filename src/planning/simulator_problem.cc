#include "reverie/planning/simulator_problem.h"

#include <stdexcept>
#include <utility>

#include "reverie/core/text.h"
#include "reverie/env/state_cost.h"

namespace reverie {

std::string SimulatorProblemMisfit(const EnvMaker& maker) {
  const std::string id = maker.make()->spec().id;
  if (!maker.task_functions().state_cost) {
    return id + " has no cost of its states that optimal control could minimise";
  }
  try {
    return SimulatorDynamics(maker, 1).has_quaternions()
               ? id + " has states with quaternions, in which its cost is not differentiated"
               : "";
  } catch (const std::invalid_argument& error) {  // its model has what cannot be differentiated
    return error.what();
  }
}

ShootingProblem SimulatorProblem(std::shared_ptr<SimulatorDynamics> dynamics, const EnvMaker& maker) {
  if (const std::string misfit = SimulatorProblemMisfit(maker); !misfit.empty()) {
    throw std::invalid_argument(misfit);
  }
  const int64_t n = dynamics->tangent_size();
  // Of the first n numbers of states, which the cost reads; what follows, a warm start, only the simulator does.
  const DifferentiableFunctions cost{.cost = StateCostOf(maker)};
  ShootingProblem problem;
  problem.state_size = dynamics->state_size();
  problem.tangent_size = n;
  problem.controls = dynamics->controls();
  problem.high = torch::ones({problem.controls}, torch::kFloat64);
  problem.low = -problem.high;
  problem.step = [dynamics](int64_t, const torch::Tensor& x, const torch::Tensor& u, torch::Tensor& next) {
    dynamics->Step(x, u, next);
  };
  problem.cost = [cost, n](const torch::Tensor& x, const torch::Tensor& u, const torch::Tensor& next,
                           torch::Tensor& costs) {
    const torch::NoGradGuard no_gradients;
    const auto rows = [n](const torch::Tensor& states) { return states.flatten(0, 1).slice(1, 0, n); };
    costs.copy_(cost.cost(rows(x), u.flatten(0, 1), rows(next)).view_as(costs));
  };
  problem.linearise = [dynamics](const torch::Tensor& x, const torch::Tensor& u, LinearDynamics* linear) {
    dynamics->Linearise(x, u, linear);
  };
  problem.quadratise = [cost, n](const torch::Tensor& x, const torch::Tensor& u, const LinearDynamics& linear,
                                 const torch::Tensor& curvature, QuadraticCost* quadratic) {
    ExpandCost(cost, x.slice(1, 0, n), u, linear, curvature, quadratic);
  };
  if (problem.state_size != n) {
    problem.difference = [dynamics](const torch::Tensor& x, const torch::Tensor& y, torch::Tensor& difference) {
      dynamics->Difference(x, y, difference);
    };
  }
  return problem;
}

ShootingProblem FollowedFrom(ShootingProblem problem, SimulatorDynamics& dynamics, const Env* env) {
  if (env == nullptr) {
    throw std::invalid_argument(
        "iLQR in the simulator plans from an environment's state: an observation is not enough");
  }
  problem.start = dynamics.Follow(*env);
  return problem;
}

}  // namespace reverie
