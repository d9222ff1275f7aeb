// CartPoleSwingUp-v0: a pole hanging from a cart, to be swung up and balanced.
//
//   reward = exp(-|tip' - goal|^2 / l^2) - 0.01 a^2, of the state after the step;  never terminated
//   tip = (x + l sin theta, -l cos theta),  goal = (0, l),  theta 0 hanging
//
// The task and its reward are those of PETS (Chua et al. 2018, cart-pole). The motion is that of a uniform rod, hinged
// without friction on a cart with viscous friction b; with the force F = 10 N a, a clipped to [-1, 1]:
//
//   x''     = (F - b x' + 1/2 m l sin(theta) theta'^2 + 3/4 m g sin(theta) cos(theta)) / (M + m - 3/4 m cos(theta)^2)
//   theta'' = -3 / (2 l) (cos(theta) x'' + g sin(theta))
//
// M = m = 0.5 kg, l = 0.6 m, g = 9.82 m/s^2 (the cart-pole of Deisenroth 2010, appendix C). Each step of 0.04 s is four
// of classical Runge-Kutta.
//
// State and obs: x, theta (not wrapped), x', theta'. Reset: each s N(0, 1) about hanging at rest in the middle,
// s = reset_noise_scale.
#ifndef REVERIE_ENV_TOY_CART_POLE_SWING_UP_H_
#define REVERIE_ENV_TOY_CART_POLE_SWING_UP_H_

#include <array>
#include <span>
#include <string>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/env/env.h"
#include "reverie/env/task_functions.h"

namespace reverie {

class CartPoleSwingUp final : public Env {
 public:
  struct Options {
    double friction = 0.1;           // b, N s/m
    double reset_noise_scale = 0.1;  // s, m and rad
    void Visit(Fields& fields);
  };
  static constexpr double kCartMass = 0.5;
  static constexpr double kPoleMass = 0.5;
  static constexpr double kPoleLength = 0.6;
  static constexpr double kGravity = 9.82;
  static constexpr double kMaxForce = 10.0;

  CartPoleSwingUp(std::string id, const Options& options);
  // Exact. A model is shown x, sin theta, cos theta, x', theta'.
  static TaskFunctions MakeTaskFunctions(const Options& options);
  const EnvSpec& spec() const override { return spec_; }

 private:
  void DoReset(RandomEngine& rng, std::span<double> obs) override;
  StepResult DoStep(std::span<const double> action, std::span<double> obs) override;
  void DoSetState(std::span<const double> state, std::span<double> obs) override;
  std::vector<double> DoState() const override { return {state_.begin(), state_.end()}; }
  std::vector<double> DoSnapshot() const override { return {state_.begin(), state_.end()}; }
  void DoRestore(std::span<const double> snapshot) override;

  Options options_;
  EnvSpec spec_;
  std::array<double, 4> state_{};
};

}  // namespace reverie

#endif  // REVERIE_ENV_TOY_CART_POLE_SWING_UP_H_
