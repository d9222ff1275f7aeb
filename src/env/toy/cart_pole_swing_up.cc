#include "reverie/env/toy/cart_pole_swing_up.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>
#include <utility>

namespace reverie {
namespace {

using State = std::array<double, 4>;

constexpr double kCartPoleDt = 0.04;
constexpr int kSubsteps = 4;
constexpr double kActionCost = 0.01;

State Derivative(const State& state, double force, double friction) {
  constexpr double kM = CartPoleSwingUp::kPoleMass;
  constexpr double kL = CartPoleSwingUp::kPoleLength;
  constexpr double kG = CartPoleSwingUp::kGravity;
  const auto [x, theta, x_dot, theta_dot] = state;
  const double sin = std::sin(theta);
  const double cos = std::cos(theta);
  const double x_acc =
      (force - friction * x_dot + 0.5 * kM * kL * sin * theta_dot * theta_dot + 0.75 * kM * kG * sin * cos) /
      (CartPoleSwingUp::kCartMass + kM - 0.75 * kM * cos * cos);
  return {x_dot, theta_dot, x_acc, -1.5 / kL * (cos * x_acc + kG * sin)};
}

State Moved(const State& state, double dt, const State& derivative) {
  State moved;
  for (size_t i = 0; i < state.size(); ++i) {
    moved[i] = state[i] + dt * derivative[i];
  }
  return moved;
}

}  // namespace

void CartPoleSwingUp::Options::Visit(Fields& fields) {
  fields("friction", friction, "viscous friction of the cart, N s/m", AtLeast(0));
  fields("reset_noise_scale", reset_noise_scale, "scale of the noise in the start state", AtLeast(0));
}

CartPoleSwingUp::CartPoleSwingUp(std::string id, const Options& options) : options_(options) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  spec_ = {.id = std::move(id),
           .obs_low = std::vector<double>(4, -kInfinity),
           .obs_high = std::vector<double>(4, kInfinity),
           .action_low = {-1},
           .action_high = {1},
           .dt = kCartPoleDt,
           .time_limit = 200,
           .state_names = {"x", "theta", "x_dot", "theta_dot"}};
}

void CartPoleSwingUp::DoReset(RandomEngine& rng, std::span<double> obs) {
  std::normal_distribution<double> noise;
  for (double& value : state_) {
    value = options_.reset_noise_scale * noise(rng);
  }
  std::copy(state_.begin(), state_.end(), obs.begin());
}

StepResult CartPoleSwingUp::DoStep(std::span<const double> action, std::span<double> obs) {
  const double force = kMaxForce * std::clamp(action[0], -1.0, 1.0);
  constexpr double kH = kCartPoleDt / kSubsteps;
  for (int i = 0; i < kSubsteps; ++i) {
    const State k1 = Derivative(state_, force, options_.friction);
    const State k2 = Derivative(Moved(state_, kH / 2, k1), force, options_.friction);
    const State k3 = Derivative(Moved(state_, kH / 2, k2), force, options_.friction);
    const State k4 = Derivative(Moved(state_, kH, k3), force, options_.friction);
    for (size_t j = 0; j < state_.size(); ++j) {
      state_[j] += kH / 6 * (k1[j] + 2 * k2[j] + 2 * k3[j] + k4[j]);
    }
  }
  std::copy(state_.begin(), state_.end(), obs.begin());
  const double dx = state_[0] + kPoleLength * std::sin(state_[1]);
  const double dy = -kPoleLength * std::cos(state_[1]) - kPoleLength;
  return {.reward = std::exp(-(dx * dx + dy * dy) / (kPoleLength * kPoleLength)) - kActionCost * action[0] * action[0]};
}

void CartPoleSwingUp::DoSetState(std::span<const double> state, std::span<double> obs) {
  std::copy(state.begin(), state.end(), state_.begin());
  std::copy(state.begin(), state.end(), obs.begin());
}

void CartPoleSwingUp::DoRestore(std::span<const double> snapshot) {
  if (snapshot.size() != state_.size()) {
    throw std::runtime_error(spec_.id + ": a snapshot of " + std::to_string(snapshot.size()) + " numbers, expected 4");
  }
  std::copy(snapshot.begin(), snapshot.end(), state_.begin());
}

TaskFunctions CartPoleSwingUp::MakeTaskFunctions(const Options&) {
  const auto reward = [](const torch::Tensor&, const torch::Tensor& action, const torch::Tensor& next_obs) {
    const torch::Tensor theta = next_obs.select(1, 1);
    const torch::Tensor dx = next_obs.select(1, 0) + kPoleLength * theta.sin();
    const torch::Tensor dy = -kPoleLength * theta.cos() - kPoleLength;
    return (-(dx.square() + dy.square()) / (kPoleLength * kPoleLength)).exp() -
           kActionCost * action.select(1, 0).square();
  };
  return {.reward = reward,
          .terminated = NeverTerminated,
          .state_cost = [reward](const torch::Tensor& state, const torch::Tensor& action,
                                 const torch::Tensor& next) { return -reward(state, action, next); },
          .features =
              [](const torch::Tensor& obs) {
                const torch::Tensor theta = obs.slice(1, 1, 2);
                return torch::cat({obs.slice(1, 0, 1), theta.sin(), theta.cos(), obs.slice(1, 2)}, 1);
              }};
}

}  // namespace reverie
