#include "reverie/planning/simulator_dynamics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mujoco/mujoco.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>

#include "control/problems.h"
#include "oracle.h"
#include "reverie/config/reader.h"
#include "reverie/control/lqr.h"
#include "reverie/env/mujoco/simulation.h"
#include "reverie/planning/policy_of_states.h"
#include "reverie/planning/simulator_problem.h"
#include "reverie/planning/state_feedback_policy.h"
#include "reverie/run/evaluator.h"

namespace reverie {
namespace {

torch::Tensor Zeros(at::IntArrayRef shape) { return torch::zeros(shape, torch::kFloat64); }
double Distance(const torch::Tensor& a, const torch::Tensor& b) { return (a - b).abs().max().item<double>(); }

EnvMaker MakerOf(const std::string& id) {
  static const EnvRegistry envs = BuiltinEnvs();
  return envs.Find(id).maker();
}

// An environment in which some steps have been made, and what acts in it.
struct Episode {
  explicit Episode(const std::string& id) : maker(MakerOf(id)), env(maker.make()), obs(env->spec().obs_low.size()) {
    env->Reset(rng, obs);
  }
  // An action in [-1, 1], [m].
  torch::Tensor Draw() {
    torch::Tensor u = Zeros({env->spec().act_dim()});
    for (int64_t i = 0; i < u.numel(); ++i) {
      u.data_ptr<double>()[i] = std::uniform_real_distribution<double>(-0.9, 0.9)(rng);
    }
    return u;
  }
  StepResult Step(const torch::Tensor& u) {
    std::vector<double> action(static_cast<size_t>(u.numel()));
    for (size_t i = 0; i < action.size(); ++i) {
      const double low = env->spec().action_low[i];
      action[i] = low + (u.data_ptr<double>()[i] + 1) * 0.5 * (env->spec().action_high[i] - low);
    }
    return env->Step(action, obs);
  }
  void Steps(int count) {
    for (int i = 0; i < count; ++i) {
      Step(Draw());
    }
  }

  EnvMaker maker;
  std::unique_ptr<Env> env;
  std::vector<double> obs;
  RandomEngine rng{7};
};

torch::Tensor OneStep(SimulatorDynamics& dynamics, const torch::Tensor& x, const torch::Tensor& u) {
  torch::Tensor next = Zeros({1, dynamics.state_size()});
  dynamics.Step(x.unsqueeze(0), u.unsqueeze(0), next);
  return next[0];
}

struct Jacobians {
  torch::Tensor a, b;
};

Jacobians At(SimulatorDynamics& dynamics, const torch::Tensor& x, const torch::Tensor& u) {
  LinearDynamics linear = LinearDynamics::Of(1, dynamics.tangent_size(), dynamics.controls());
  dynamics.Linearise(torch::stack({x, x}), u.unsqueeze(0), &linear);
  return {linear.a[0], linear.b[0]};
}

TEST(SimulatorDynamics, StepsAreThoseOfEveryTaskBitForBit) {
  for (const std::string& id : BuiltinEnvs().Ids()) {
    Episode episode(id);
    if (episode.env->spec().random_steps) {
      EXPECT_THROW(SimulatorDynamics(episode.maker, 1), std::invalid_argument);
      continue;
    }
    episode.Steps(3);
    SimulatorDynamics dynamics(episode.maker, 1);
    EXPECT_EQ(dynamics.controls(), episode.env->spec().act_dim());
    torch::Tensor x = dynamics.Follow(*episode.env);
    for (int i = 0; i < 3; ++i) {
      const torch::Tensor u = episode.Draw();
      x = OneStep(dynamics, x, u);
      episode.Step(u);
      std::vector<double> state = episode.env->GetState();
      if (const MujocoSimulation* simulation = episode.env->mujoco()) {
        state.resize(simulation->qpos().size() + simulation->qvel().size());  // without what was drawn
      }
      EXPECT_TRUE(std::equal(state.begin(), state.end(), x.data_ptr<double>())) << id << ", step " << i;
    }
  }
}

TEST(SimulatorDynamics, ObservationsAreThoseOfEpisodesThatBeginThere) {
  for (const std::string& id : BuiltinEnvs().Ids()) {
    Episode episode(id);
    if (episode.env->spec().random_steps) {
      EXPECT_THROW(SimulatorDynamics(episode.maker, 1), std::invalid_argument);
      continue;
    }
    episode.Steps(3);
    SimulatorDynamics dynamics(episode.maker, 1);
    ASSERT_EQ(dynamics.obs_dim(), episode.env->spec().obs_dim());
    const torch::Tensor x = dynamics.Follow(*episode.env);
    const torch::Tensor rows = torch::stack({x, torch::full_like(x, std::nan("")), x});
    torch::Tensor obs = Zeros({3, dynamics.obs_dim()});
    dynamics.Observe(rows, obs);
    torch::Tensor jacobian = Zeros({3, dynamics.obs_dim(), dynamics.tangent_size()});
    dynamics.LineariseObs(rows, jacobian);
    const std::vector<double> state = episode.env->GetState();  // which the next line needs a copy of
    episode.env->SetState(state, episode.obs);
    EXPECT_TRUE(torch::equal(obs[0], torch::tensor(episode.obs, torch::kFloat64))) << id;
    EXPECT_TRUE(torch::equal(obs[2], obs[0])) << id;
    EXPECT_TRUE(torch::isnan(obs[1]).all().item<bool>()) << id;
    EXPECT_TRUE(torch::isnan(jacobian[1]).all().item<bool>()) << id;
    EXPECT_TRUE(torch::isfinite(jacobian[0]).all().item<bool>()) << id;
  }
}

TEST(SimulatorDynamics, KnownDerivativesOfObservations) {
  SimulatorDynamics pendulum(MakerOf("Pendulum-v1"), 1);
  const torch::Tensor x = torch::tensor({{0.7, -1.2}, {-2.9, 0.0}}, torch::kFloat64);
  torch::Tensor jacobian = Zeros({2, 3, 2});
  pendulum.LineariseObs(x, jacobian);
  for (int64_t r = 0; r < 2; ++r) {  // of (cos, sin, rate)
    const double angle = x[r][0].item<double>();
    const torch::Tensor expected =
        torch::tensor({{-std::sin(angle), 0.0}, {std::cos(angle), 0.0}, {0.0, 1.0}}, torch::kFloat64);
    EXPECT_LT(Distance(jacobian[r], expected), 1e-4);  // Gymnasium's observation is rounded to float32
  }
  // Of Reacher's fingertip, two links of 0.1 and 0.11 from the origin, less the target.
  Episode episode("Reacher-v5");
  SimulatorDynamics reacher(episode.maker, 2);
  const torch::Tensor at = reacher.Follow(*episode.env).unsqueeze(0);
  torch::Tensor of_reacher = Zeros({1, 10, 8});
  reacher.LineariseObs(at, of_reacher);
  const double shoulder = at[0][0].item<double>();
  const double both = shoulder + at[0][1].item<double>();
  const torch::Tensor tip = of_reacher[0].slice(0, 8).slice(1, 0, 4);
  const torch::Tensor expected =
      torch::tensor({{-0.1 * std::sin(shoulder) - 0.11 * std::sin(both), -0.11 * std::sin(both), -1.0, 0.0},
                     {0.1 * std::cos(shoulder) + 0.11 * std::cos(both), 0.11 * std::cos(both), 0.0, -1.0}},
                    torch::kFloat64);
  EXPECT_LT(Distance(tip, expected), 1e-8);
}

TEST(PolicyOfStates, GoesThroughTheObservation) {
  const auto dynamics = std::make_shared<SimulatorDynamics>(MakerOf("Pendulum-v1"), 1);
  const torch::Tensor w = torch::tensor({{0.3F, -0.2F, 0.1F}, {0.5F, 0.4F, -0.3F}});
  const DifferentiablePolicy policy =
      PolicyOfStates(dynamics, [w](const torch::Tensor& obs) { return obs.mm(w.t()).tanh(); });
  const torch::Tensor x = torch::tensor({{0.7, -1.2}, {-2.9, 0.5}}, torch::kFloat64);
  const torch::Tensor angle = x.select(1, 0);
  const torch::Tensor obs = torch::stack({angle.cos(), angle.sin(), x.select(1, 1)}, 1);
  const torch::Tensor expected = obs.mm(w.to(torch::kFloat64).t()).tanh();
  EXPECT_LT(Distance(policy.mean(x), expected), 1e-6);
  const torch::Tensor zero = torch::zeros_like(angle);
  const torch::Tensor of_x = torch::stack(
      {torch::stack({-angle.sin(), zero}, 1), torch::stack({angle.cos(), zero}, 1), torch::stack({zero, zero + 1}, 1)},
      1);
  const torch::Tensor jacobian = (1 - expected.square()).unsqueeze(2) * torch::matmul(w.to(torch::kFloat64), of_x);
  EXPECT_LT(Distance(policy.jacobian(x), jacobian), 1e-4);
  const torch::Tensor none = torch::full({1, 2}, std::nan(""), torch::kFloat64);
  EXPECT_TRUE(torch::isnan(policy.mean(none)).all().item<bool>());
  EXPECT_TRUE(torch::isnan(policy.jacobian(none)).all().item<bool>());
}

TEST(SimulatorDynamics, KnownDerivatives) {
  SimulatorDynamics linear(MakerOf("LinearQuadratic-v0"), 1);
  const ShootingProblem exact = LinearQuadraticProblem();
  LinearDynamics expected = LinearDynamics::Of(1, 4, 2);
  const torch::Tensor u = torch::tensor({{0.3, -1.0}}, torch::kFloat64);
  exact.linearise(torch::stack({exact.start, exact.start}), u, &expected);
  const Jacobians found = At(linear, exact.start, u[0]);
  EXPECT_LT(Distance(found.a, expected.a[0]), 1e-9);
  EXPECT_LT(Distance(found.b, expected.b[0]), 1e-9);  // also of the control that is at its bound

  SimulatorDynamics cart(MakerOf("CartPoleSwingUp-v0"), 1);
  const ShootingProblem swing = CartPoleProblem(1);
  const torch::Tensor x = torch::tensor({0.2, 2.0, -0.5, 3.0}, torch::kFloat64);
  expected = LinearDynamics::Of(1, 4, 1);
  swing.linearise(torch::stack({x, x}), torch::tensor({{0.4}}, torch::kFloat64), &expected);
  const Jacobians of_cart = At(cart, x, torch::tensor({0.4}, torch::kFloat64));
  EXPECT_LT(Distance(of_cart.a, expected.a[0]), 1e-7);
  EXPECT_LT(Distance(of_cart.b, expected.b[0]), 1e-7);
}

// x + step e_i of the tangent space of positions, velocities and activations.
torch::Tensor Moved(const mjModel& model, const torch::Tensor& x, int64_t i, double step) {
  torch::Tensor moved = x.clone();
  if (i < model.nv) {
    torch::Tensor direction = Zeros({model.nv});
    direction[i] = step;
    mj_integratePos(&model, moved.data_ptr<double>(), direction.data_ptr<double>(), 1);
  } else {
    moved[model.nq + i - model.nv] += step;
  }
  return moved;
}

TEST(SimulatorDynamics, DerivativesAreThoseOfItsSteps) {
  // In contact: HalfCheetah's and Pusher's Euler steps and the suite's, which MuJoCo differences itself, one of them
  // with free bodies and activations, and the Runge-Kutta steps of Hopper and Ant.
  for (const std::string id :
       {"HalfCheetah-v5", "Pusher-v5", "dm_control/walker-walk", "dm_control/quadruped-walk", "Hopper-v5", "Ant-v5"}) {
    Episode episode(id);
    episode.Steps(id == "Hopper-v5" ? 8 : 30);
    SimulatorDynamics dynamics(episode.maker, 1);
    const mjModel& model = episode.env->mujoco()->model();
    EXPECT_EQ(dynamics.state_size(), model.nq + 2 * model.nv + model.na);
    EXPECT_EQ(dynamics.tangent_size(), 2 * model.nv + model.na);
    const torch::Tensor x = dynamics.Follow(*episode.env);
    const torch::Tensor u = episode.Draw();
    const Jacobians found = At(dynamics, x, u);
    torch::Tensor difference = Zeros({1, dynamics.tangent_size()});
    const auto change = [&](const torch::Tensor& x_up, const torch::Tensor& u_up, const torch::Tensor& x_down,
                            const torch::Tensor& u_down) {
      dynamics.Difference(OneStep(dynamics, x_up, u_up).unsqueeze(0), OneStep(dynamics, x_down, u_down).unsqueeze(0),
                          difference);
      return difference[0] / 2e-6;
    };
    for (int64_t i = 0; i < dynamics.tangent_size(); ++i) {
      EXPECT_LT(Distance(found.a.select(1, i), change(Moved(model, x, i, 1e-6), u, Moved(model, x, i, -1e-6), u)),
                2e-5 * found.a.abs().max().item<double>())
          << id << ", column " << i;
    }
    for (int64_t i = 0; i < u.numel(); ++i) {
      torch::Tensor step = torch::zeros_like(u);
      step[i] = 1e-6;
      EXPECT_LT(Distance(found.b.select(1, i), change(x, u + step, x, u - step)),
                2e-5 * found.b.abs().max().item<double>())
          << id << ", action " << i;
    }
    EXPECT_GT(found.a.abs().max().item<double>(), 1);
  }
}

TEST(SimulatorDynamics, ActionsAtTheirBoundsHaveDerivatives) {
  // A range whose upper end is missed by rounding: MuJoCo differences no control beyond it.
  const TemporaryFolder folder;
  for (const std::string integrator : {"Euler", "RK4"}) {
    const std::filesystem::path file = folder.path() / (integrator + ".xml");
    std::ofstream(file) << "<mujoco><option timestep='0.02' integrator='" << integrator << R"('/><worldbody><body>
        <joint name='slider' type='slide' axis='1 0 0'/><geom size='0.1' mass='1'/><body pos='0 0 0.3'>
        <joint name='hinge' type='hinge' axis='0 1 0' pos='0 0 -0.3'/><geom size='0.1' mass='1'/></body></body></worldbody>
        <actuator><motor joint='slider' gear='10' ctrllimited='true' ctrlrange='-0.7 0.3'/></actuator></mujoco>)";
    EnvMaker maker = MakerOf("InvertedPendulum-v5");
    ConfigDocument::FromText("xml_file: " + file.string(), "options").ReadInto(maker.options());
    const std::unique_ptr<Env> env = maker.make();
    std::vector<double> obs(4);
    env->SetState(std::vector<double>(4, 0.01), obs);
    SimulatorDynamics dynamics(maker, 1);
    const torch::Tensor x = dynamics.Follow(*env);
    const torch::Tensor inside = At(dynamics, x, torch::full({1}, 0.5, torch::kFloat64)).b;
    for (const double bound : {-1.0, 1.0}) {
      const torch::Tensor there = At(dynamics, x, torch::full({1}, bound, torch::kFloat64)).b;
      EXPECT_LT(Distance(there, inside), 0.01 * inside.abs().max().item<double>()) << integrator << " at " << bound;
    }
  }
}

TEST(SimulatorDynamics, QuaternionsHaveThreeDirections) {
  Episode episode("Ant-v5");
  episode.Steps(5);
  SimulatorDynamics dynamics(episode.maker, 1);
  const torch::Tensor x = dynamics.Follow(*episode.env);
  const torch::Tensor u = episode.Draw();
  const Jacobians jacobians = At(dynamics, x, u);
  const mjModel& model = episode.env->mujoco()->model();
  auto rng = torch::make_generator<at::CPUGeneratorImpl>(3);
  const torch::Tensor dx = 1e-6 * torch::randn({28}, rng, torch::kFloat64);
  torch::Tensor moved = x.clone();
  mj_integratePos(&model, moved.data_ptr<double>(), dx.data_ptr<double>(), 1);
  moved.slice(0, 15, 29) += dx.slice(0, 14);
  torch::Tensor back = Zeros({1, 28});
  dynamics.Difference(moved.unsqueeze(0), x.unsqueeze(0), back);
  EXPECT_LT(Distance(back[0], dx), 1e-12);
  torch::Tensor change = Zeros({1, 28});
  dynamics.Difference(OneStep(dynamics, moved, u).unsqueeze(0), OneStep(dynamics, x, u).unsqueeze(0), change);
  const torch::Tensor expected = torch::mv(jacobians.a, dx);
  EXPECT_LT(Distance(change[0], expected), 1e-3 * expected.abs().max().item<double>());
  EXPECT_NEAR(OneStep(dynamics, moved, u).slice(0, 3, 7).norm().item<double>(), 1, 1e-12);
}

TEST(SimulatorDynamics, ThreadsChangeNothing) {
  Episode episode("HalfCheetah-v5");
  episode.Steps(30);
  std::vector<LinearDynamics> found;
  std::vector<torch::Tensor> stepped;
  for (const int64_t threads : {1, 2, 3}) {
    SimulatorDynamics dynamics(episode.maker, threads);
    torch::Tensor x = Zeros({9, dynamics.state_size()});
    x[0] = dynamics.Follow(*episode.env);
    auto rng = torch::make_generator<at::CPUGeneratorImpl>(5);
    const torch::Tensor u = 2 * torch::rand({8, 6}, rng, torch::kFloat64) - 1;
    for (int64_t t = 0; t < 8; ++t) {
      x[t + 1] = OneStep(dynamics, x[t], u[t]);
    }
    LinearDynamics linear = LinearDynamics::Of(8, 18, 6);
    dynamics.Linearise(x, u, &linear);
    found.push_back(linear);
    stepped.push_back(Zeros({8, dynamics.state_size()}));
    dynamics.Step(x.slice(0, 0, 8), u, stepped.back());
    EXPECT_TRUE(torch::equal(stepped.back(), x.slice(0, 1)));
  }
  for (const size_t other : {1, 2}) {
    EXPECT_TRUE(torch::equal(found[0].a, found[other].a));
    EXPECT_TRUE(torch::equal(found[0].b, found[other].b));
    EXPECT_TRUE(torch::equal(stepped[0], stepped[other]));
  }
}

TEST(SimulatorDynamics, WhatBecomesUnstableIsNotANumberAndHarmsNoOther) {
  Episode episode("Hopper-v5");
  SimulatorDynamics dynamics(episode.maker, 1);
  const torch::Tensor x = dynamics.Follow(*episode.env);
  const torch::Tensor u = Zeros({3});
  torch::Tensor wild = x.clone();
  wild[8] = 1e9;
  torch::Tensor next = Zeros({4, x.numel()});
  dynamics.Step(torch::stack({x, wild, x * NAN, x}), torch::stack({u, u, u, u}), next);
  EXPECT_TRUE(next.isnan().all(1).equal(torch::tensor({false, true, true, false})));
  EXPECT_TRUE(torch::equal(next[0], next[3]));
  EXPECT_TRUE(At(dynamics, wild, u).a.isnan().any().item<bool>());
  Episode other("Walker2d-v5");
  EXPECT_THROW(dynamics.Follow(*other.env), std::runtime_error);
  torch::Tensor narrow = Zeros({4, x.numel() - 1});
  EXPECT_THROW(dynamics.Step(torch::stack({x}), u.unsqueeze(0), narrow), std::invalid_argument);
  EXPECT_THROW(OneStep(dynamics, x.to(torch::kFloat32), u), std::invalid_argument);
}

// The least return of ten episodes under u = K (x - x*), x* the rest.
double ReturnOfLqr(const std::string& id, std::vector<double> q, double r, torch::Tensor* gain) {
  Episode episode(id);
  const std::vector<double> rest(episode.env->spec().state_names.size(), 0.0);
  episode.env->SetState(rest, episode.obs);
  const auto dynamics = std::make_shared<SimulatorDynamics>(episode.maker, 1);
  const torch::Tensor x_rest = dynamics->Follow(*episode.env);
  const Jacobians jacobians = At(*dynamics, x_rest, Zeros({1}));
  const DareResult lqr = SolveDare(jacobians.a, jacobians.b, torch::diag(torch::tensor(q, torch::kFloat64)),
                                   r * torch::eye(1, torch::kFloat64));
  EXPECT_EQ(lqr.status, LqrStatus::kSolved);
  *gain = lqr.k;
  const StateFeedbackPolicy policy(dynamics, x_rest, Zeros({1}), lqr.k);
  return Evaluate(policy, episode.maker, Rng(3), 10).return_min();
}

TEST(SimulatorDynamics, LqrBalancesThePendulums) {
  torch::Tensor gain;
  // Forces are three times the actions.
  EXPECT_EQ(ReturnOfLqr("InvertedPendulum-v5", {1, 10, 0.1, 0.1}, 0.9, &gain), 1000);
  EXPECT_LT(Distance(3 * gain, torch::tensor({{1.71887, 12.14529, 2.01463, 1.90150}}, torch::kFloat64)), 2e-5);
  EXPECT_GT(ReturnOfLqr("InvertedDoublePendulum-v5", {1, 10, 10, 0.1, 0.1, 0.1}, 0.1, &gain), 9359);
  EXPECT_LT(
      Distance(gain, -torch::tensor({{0.244582, 2.104976, 6.095433, 0.35963, 1.015712, 0.933584}}, torch::kFloat64)),
      2e-5);
}

// The first states and controls of a controller's mean, by the environment itself.
TEST(DynamicsAlong, HasTheMeanTrajectoryAndFollowsOnesNearIt) {
  Episode episode("Reacher-v5");
  const std::vector<double> start = episode.env->GetState();
  constexpr int64_t kHorizon = 8;
  const int64_t n = 8;
  torch::Generator generator = MakeGenerator(Rng(4), torch::kCPU);
  LinearGaussianController controller = LinearGaussianController::Noise(kHorizon, n, 2, 0.1);
  controller.gains.feedback.copy_(0.3 * torch::randn({kHorizon, 2, n}, generator, torch::kFloat64));
  controller.gains.feedforward.copy_(0.3 * torch::randn({kHorizon, 2}, generator, torch::kFloat64));
  const LinearGaussianDynamics along = DynamicsFrom(episode.maker, start)(controller);
  EXPECT_EQ(along.covariance.abs().max().item<double>(), 0);
  // From a state and with actions so far away, the error of a linear model falls with the square.
  const auto error = [&](double away) {
    std::vector<double> from = start;
    from[0] += away;
    from[5] -= away;
    episode.env->SetState(from, episode.obs);
    torch::Tensor x = torch::tensor(from, torch::kFloat64);
    double largest = 0;
    for (int64_t t = 0; t < kHorizon; ++t) {
      const torch::Tensor u =
          (controller.gains.feedback[t].mv(x) + controller.gains.feedforward[t] + away).clamp(-1, 1);
      episode.Step(u);
      const torch::Tensor now = torch::tensor(episode.env->GetState(), torch::kFloat64);
      largest = std::max(largest, Distance(along.mean.a[t].mv(x) + along.mean.b[t].mv(u) + along.mean.f[t], now));
      x = now;
    }
    return largest;
  };
  EXPECT_LT(error(0), 1e-9);
  EXPECT_LT(error(1e-2), 1e-2);
  EXPECT_LT(error(1e-3), 0.02 * error(1e-2));
  EXPECT_GT(error(1e-2), 1e-6);
}

TEST(DynamicsAlong, IsRefusedWhereAStateIsMoreThanItsNumbers) {
  EXPECT_EQ(DerivativesMisfit(MakerOf("LinearQuadratic-v0")), "");
  EXPECT_EQ(DerivativesMisfit(MakerOf("Fork-v0")), "Fork-v0 has random steps, which have no derivatives");
  EXPECT_THAT(DerivativesMisfit(MakerOf("Ant-v5")), testing::HasSubstr("Ant-v5 has a state of"));
  EXPECT_THROW(DynamicsFrom(MakerOf("Ant-v5"), std::vector<double>(29, 0.0)), std::invalid_argument);
}

}  // namespace
}  // namespace reverie
