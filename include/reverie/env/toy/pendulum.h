// Pendulum-v1: a rod to be swung up and held by a torque too weak to lift it.
//
//   u = a clipped to [-2, 2] N m
//   theta_dot' = clip(theta_dot + (3 g / 2 sin theta + 3 u) dt, -8, 8),  theta' = theta + theta_dot' dt,  dt = 0.05 s
//   reward = -(wrapped theta^2 + 0.1 theta_dot^2 + 0.001 u^2), of the state before the step;  never terminated
//
// Mass 1 kg, length 1 m, theta 0 upright. State: theta, theta_dot. obs: cos theta, sin theta, theta_dot, rounded to
// float32 as Gymnasium's are. Reset: theta in U[-pi, pi), theta_dot in U[-1, 1).
// Source: Gymnasium 1.4.0, envs/classic_control/pendulum.py.
#ifndef REVERIE_ENV_TOY_PENDULUM_H_
#define REVERIE_ENV_TOY_PENDULUM_H_

#include <span>
#include <string>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/env/env.h"
#include "reverie/env/task_functions.h"

namespace reverie {

class Pendulum final : public Env {
 public:
  struct Options {
    double g = 10.0;  // m/s^2
    void Visit(Fields& fields);
  };

  Pendulum(std::string id, const Options& options);
  // Both exact, to the rounding of the observation.
  static TaskFunctions MakeTaskFunctions(const Options& options);
  const EnvSpec& spec() const override { return spec_; }

 private:
  void DoReset(RandomEngine& rng, std::span<double> obs) override;
  StepResult DoStep(std::span<const double> action, std::span<double> obs) override;
  void DoSetState(std::span<const double> state, std::span<double> obs) override;
  std::vector<double> DoState() const override { return {theta_, theta_dot_}; }
  std::vector<double> DoSnapshot() const override { return {theta_, theta_dot_}; }
  void DoRestore(std::span<const double> snapshot) override;
  void Observe(std::span<double> obs) const;

  Options options_;
  EnvSpec spec_;
  double theta_ = 0;
  double theta_dot_ = 0;
};

}  // namespace reverie

#endif  // REVERIE_ENV_TOY_PENDULUM_H_
