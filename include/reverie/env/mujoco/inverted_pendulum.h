// InvertedPendulum-v5: a pole to be balanced on a cart.
//
//   reward = 1 unless terminated;  terminated: |pole angle| > 0.2 rad
//
// obs: cart position, pole angle, their velocities. Reset: qpos0 and qvel each + U[-s, s), s = reset_noise_scale.
// Source: Gymnasium 1.4.0, envs/mujoco/inverted_pendulum_v5.py.
#ifndef REVERIE_ENV_MUJOCO_INVERTED_PENDULUM_H_
#define REVERIE_ENV_MUJOCO_INVERTED_PENDULUM_H_

#include <cstdint>
#include <span>
#include <string>

#include "reverie/config/fields.h"
#include "reverie/env/mujoco/mujoco_env.h"

namespace reverie {

class InvertedPendulum {
 public:
  struct Options {
    std::string xml_file = "inverted_pendulum.xml";
    int64_t frame_skip = 2;
    double reset_noise_scale = 0.01;
    void Visit(Fields& fields);
  };
  static constexpr int64_t kTimeLimit = 1000;

  InvertedPendulum(Options options, MujocoSimulation& simulation);
  int64_t obs_dim() const { return obs_dim_; }
  void Perturb(RandomEngine& rng, std::span<double> qpos, std::span<double> qvel) const;
  StepResult Step(MujocoSimulation& simulation, std::span<const double> action) const;
  void Observe(const MujocoSimulation& simulation, std::span<double> obs) const;

  // Both exact.
  static TaskFunctions MakeTaskFunctions(const Options& options);

 private:
  Options options_;
  int64_t obs_dim_;
};

using InvertedPendulumEnv = MujocoEnv<InvertedPendulum>;

}  // namespace reverie

#endif  // REVERIE_ENV_MUJOCO_INVERTED_PENDULUM_H_
