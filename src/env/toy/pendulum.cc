#include "reverie/env/toy/pendulum.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <random>
#include <stdexcept>
#include <utility>

namespace reverie {
namespace {

constexpr double kPendulumDt = 0.05;
constexpr double kMaxSpeed = 8.0;
constexpr double kMaxTorque = 2.0;
constexpr double kAngleCost = 1.0;
constexpr double kSpeedCost = 0.1;
constexpr double kTorqueCost = 0.001;

// In [-pi, pi).
double WrapAngle(double angle) {
  constexpr double kPi = std::numbers::pi;
  const double rest = std::fmod(angle + kPi, 2 * kPi);
  return (rest < 0 ? rest + 2 * kPi : rest) - kPi;
}

}  // namespace

void Pendulum::Options::Visit(Fields& fields) { fields("g", g, "gravity, m/s^2"); }

Pendulum::Pendulum(std::string id, const Options& options) : options_(options) {
  spec_ = {.id = std::move(id),
           .obs_low = {-1, -1, -kMaxSpeed},
           .obs_high = {1, 1, kMaxSpeed},
           .action_low = {-kMaxTorque},
           .action_high = {kMaxTorque},
           .dt = kPendulumDt,
           .time_limit = 200,
           .state_names = {"theta", "theta_dot"}};
}

void Pendulum::DoReset(RandomEngine& rng, std::span<double> obs) {
  theta_ = std::uniform_real_distribution<double>(-std::numbers::pi, std::numbers::pi)(rng);
  theta_dot_ = std::uniform_real_distribution<double>(-1, 1)(rng);
  Observe(obs);
}

StepResult Pendulum::DoStep(std::span<const double> action, std::span<double> obs) {
  const double torque = std::clamp(action[0], -kMaxTorque, kMaxTorque);
  const double angle = WrapAngle(theta_);
  const double cost = kAngleCost * angle * angle + kSpeedCost * theta_dot_ * theta_dot_ + kTorqueCost * torque * torque;
  theta_dot_ += (1.5 * options_.g * std::sin(theta_) + 3.0 * torque) * kPendulumDt;
  theta_dot_ = std::clamp(theta_dot_, -kMaxSpeed, kMaxSpeed);
  theta_ += theta_dot_ * kPendulumDt;
  Observe(obs);
  return {.reward = -cost};
}

void Pendulum::DoSetState(std::span<const double> state, std::span<double> obs) {
  theta_ = state[0];
  theta_dot_ = state[1];
  Observe(obs);
}

void Pendulum::DoRestore(std::span<const double> snapshot) {
  if (snapshot.size() != 2) {
    throw std::runtime_error(spec_.id + ": a snapshot of " + std::to_string(snapshot.size()) + " numbers, expected 2");
  }
  theta_ = snapshot[0];
  theta_dot_ = snapshot[1];
}

void Pendulum::Observe(std::span<double> obs) const {
  obs[0] = static_cast<float>(std::cos(theta_));
  obs[1] = static_cast<float>(std::sin(theta_));
  obs[2] = static_cast<float>(theta_dot_);
}

TaskFunctions Pendulum::MakeTaskFunctions(const Options&) {
  const auto cost = [](const torch::Tensor& angle, const torch::Tensor& speed, const torch::Tensor& action) {
    const torch::Tensor torque = action.select(1, 0).clamp(-kMaxTorque, kMaxTorque);
    return kAngleCost * angle.square() + kSpeedCost * speed.square() + kTorqueCost * torque.square();
  };
  return {.reward =
              [cost](const torch::Tensor& obs, const torch::Tensor& action, const torch::Tensor&) {
                return -cost(torch::atan2(obs.select(1, 1), obs.select(1, 0)), obs.select(1, 2), action);
              },
          .terminated = NeverTerminated,
          .state_cost =
              [cost](const torch::Tensor& state, const torch::Tensor& action, const torch::Tensor&) {
                const torch::Tensor theta = state.select(1, 0);
                return cost(torch::atan2(theta.sin(), theta.cos()), state.select(1, 1), action);
              }};
}

}  // namespace reverie
