#include "reverie/planning/simulator_problem.h"

#include <stdexcept>
#include <utility>

#include "reverie/core/text.h"
#include "reverie/env/state_cost.h"

namespace reverie {

std::string SimulatorProblemMisfit(const EnvMaker& maker) {
  if (std::string misfit = StateCostMisfit(maker); !misfit.empty()) {
    return misfit;
  }
  try {
    return SimulatorDynamics(maker, 1).has_quaternions()
               ? maker.make()->spec().id + " has states with quaternions, in which its cost is not differentiated"
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

ProblemFrom SimulatorProblemFrom(const EnvMaker& maker, int64_t threads) {
  const auto dynamics = std::make_shared<SimulatorDynamics>(maker, threads);
  return [dynamics, problem = SimulatorProblem(dynamics, maker)](const torch::Tensor&, const Env* env) {
    return FollowedFrom(problem, *dynamics, env);
  };
}

std::unique_ptr<Env> EnvIn(const EnvMaker& maker, const std::vector<double>& state) {
  std::unique_ptr<Env> env = maker.make();
  std::vector<double> obs(env->spec().obs_low.size());
  RandomEngine engine = Rng(0).Split("derivatives").Engine();
  env->Reset(engine, obs);
  env->SetState(state, obs);
  return env;
}

LinearGaussianDynamics DynamicsAlong(SimulatorDynamics& dynamics, const Env& env,
                                     const LinearGaussianController& controller) {
  const int64_t horizon = controller.horizon();
  const int64_t n = controller.states();
  const int64_t m = controller.controls();
  torch::Tensor x = torch::empty({horizon + 1, dynamics.state_size()}, torch::kFloat64);
  torch::Tensor u = torch::empty({horizon, m}, torch::kFloat64);
  x[0] = dynamics.Follow(env);
  for (int64_t t = 0; t < horizon; ++t) {
    u[t] = (controller.gains.feedback[t].mv(x[t].slice(0, 0, n)) + controller.gains.feedforward[t]).clamp(-1, 1);
    torch::Tensor next = x.narrow(0, t + 1, 1);
    dynamics.Step(x.narrow(0, t, 1), u.narrow(0, t, 1), next);
  }
  LinearGaussianDynamics along{.mean = LinearDynamics::Of(horizon, n, m),
                               .covariance = torch::zeros({horizon, n, n}, torch::kFloat64)};
  dynamics.Linearise(x, u, &along.mean);
  const torch::Tensor states = x.slice(1, 0, n);
  along.mean.f.copy_(states.slice(0, 1) -
                     torch::matmul(along.mean.a, states.slice(0, 0, horizon).unsqueeze(2)).squeeze(2) -
                     torch::matmul(along.mean.b, u.unsqueeze(2)).squeeze(2));
  return along;
}

std::string DerivativesMisfit(const EnvMaker& maker) {
  const EnvSpec spec = maker.make()->spec();
  try {
    const SimulatorDynamics dynamics(maker, 1);
    if (dynamics.has_quaternions() || dynamics.tangent_size() != static_cast<int64_t>(spec.state_names.size())) {
      return Text(spec.id, " has a state of ", spec.state_names.size(), " numbers, whose derivatives are not those of ",
                  dynamics.tangent_size(), " positions and velocities");
    }
  } catch (const std::invalid_argument& error) {  // its model has what cannot be differentiated
    return error.what();
  }
  return "";
}

std::function<LinearGaussianDynamics(const LinearGaussianController&)> DynamicsFrom(const EnvMaker& maker,
                                                                                    const std::vector<double>& start) {
  if (const std::string misfit = DerivativesMisfit(maker); !misfit.empty()) {
    throw std::invalid_argument(misfit);
  }
  const auto dynamics = std::make_shared<SimulatorDynamics>(maker, 1);
  const std::shared_ptr<Env> env = EnvIn(maker, start);
  return [dynamics, env](const LinearGaussianController& controller) {
    return DynamicsAlong(*dynamics, *env, controller);
  };
}

}  // namespace reverie
