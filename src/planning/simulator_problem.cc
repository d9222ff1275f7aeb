#include "reverie/planning/simulator_problem.h"

#include <stdexcept>
#include <utility>

#include "reverie/core/text.h"
#include "reverie/env/action_bounds.h"

namespace reverie {

namespace {

std::string Misfit(const EnvMaker& maker, const std::string& id, bool has_quaternions) {
  if (!maker.task_functions().state_cost) {
    return id + " has no cost of its states that optimal control could minimise";
  }
  return has_quaternions ? id + " has states with quaternions, in which its cost is not differentiated" : "";
}

}  // namespace

std::string SimulatorProblemMisfit(const EnvMaker& maker) {
  return Misfit(maker, maker.make()->spec().id, SimulatorDynamics(maker, 1).has_quaternions());
}

ShootingProblem SimulatorProblem(std::shared_ptr<SimulatorDynamics> dynamics, const EnvMaker& maker) {
  const EnvSpec spec = maker.make()->spec();
  if (const std::string misfit = Misfit(maker, spec.id, dynamics->has_quaternions()); !misfit.empty()) {
    throw std::invalid_argument(misfit);
  }
  const TaskFunctions functions = maker.task_functions();
  const int64_t n = dynamics->tangent_size();
  // Of the first n numbers of states, which the cost reads; what follows, a warm start, only the simulator does.
  const DifferentiableFunctions cost{
      .cost = [state_cost = functions.state_cost,
               bounds = BatchedActionBounds(spec.action_low, spec.action_high, torch::dtype(torch::kFloat64))](
                  const torch::Tensor& x, const torch::Tensor& u, const torch::Tensor& next) {
        return state_cost(x, bounds.ToEnvAction(u), next);
      }};
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
