// InvertedDoublePendulum-v5: two poles, one upon the other, to be balanced on a cart.
//
//   reward = healthy_reward [not terminated] - 0.01 x^2 - (y - 2)^2 - 1e-3 v1^2 - 5e-3 v2^2;  terminated: y <= 1
//
// (x, y) is the tip in MuJoCo's last forward pass, v1 and v2 the poles' angular velocities. obs: cart position, sin of
// both angles, cos of both, the 3 velocities and the constraint force on the cart, these four clipped to [-10, 10].
// Reset: qpos0 + U[-s, s), qvel s N(0, 1), s = reset_noise_scale.
// Source: Gymnasium 1.4.0, envs/mujoco/inverted_double_pendulum_v5.py.
#ifndef REVERIE_ENV_MUJOCO_INVERTED_DOUBLE_PENDULUM_H_
#define REVERIE_ENV_MUJOCO_INVERTED_DOUBLE_PENDULUM_H_

#include <cstdint>
#include <span>
#include <string>

#include "reverie/config/fields.h"
#include "reverie/env/mujoco/mujoco_env.h"

namespace reverie {

class InvertedDoublePendulum {
 public:
  struct Options {
    std::string xml_file = "inverted_double_pendulum.xml";
    int64_t frame_skip = 5;
    double healthy_reward = 10.0;
    double reset_noise_scale = 0.1;
    void Visit(Fields& fields);
  };
  static constexpr int64_t kTimeLimit = 1000;

  InvertedDoublePendulum(Options options, MujocoSimulation& simulation);
  int64_t obs_dim() const { return obs_dim_; }
  void Perturb(RandomEngine& rng, std::span<double> qpos, std::span<double> qvel) const;
  StepResult Step(MujocoSimulation& simulation, std::span<const double> action) const;
  void Observe(const MujocoSimulation& simulation, std::span<double> obs) const;

  // terminated: by the tip that the observed angles give, for poles that stand straight up at angle 0 as in Gymnasium's
  // model. The env judges by the tip of the last forward pass, which lags a little: the two may differ in a step whose
  // tip is within a few millimetres of the height 1. reward: none; the lagging tip and velocities beyond 10 are not
  // observed.
  static TaskFunctions MakeTaskFunctions(const Options& options);

 private:
  Options options_;
  int64_t obs_dim_;
};

using InvertedDoublePendulumEnv = MujocoEnv<InvertedDoublePendulum>;

}  // namespace reverie

#endif  // REVERIE_ENV_MUJOCO_INVERTED_DOUBLE_PENDULUM_H_
