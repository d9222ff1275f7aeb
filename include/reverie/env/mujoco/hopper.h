// Hopper-v5: a planar one-legged hopper that earns its forward speed while it stands.
//
//   reward = forward_reward_weight (x' - x) / dt + healthy_reward [healthy] - ctrl_cost_weight |a|^2
//   healthy: z in healthy_z_range, pitch in healthy_angle_range, and all of qpos[2:], qvel in healthy_state_range
//   terminated: not healthy, and terminate_when_unhealthy; all ranges open
//
// obs: [x,] z, pitch, 3 joint angles, then their 6 velocities clipped to [-10, 10]; x only without
// exclude_current_positions_from_observation. Reset: qpos0 and qvel each + U[-s, s), s = reset_noise_scale.
// Source: Gymnasium 1.4.0, envs/mujoco/hopper_v5.py.
#ifndef REVERIE_ENV_MUJOCO_HOPPER_H_
#define REVERIE_ENV_MUJOCO_HOPPER_H_

#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <string>

#include "reverie/config/fields.h"
#include "reverie/env/mujoco/mujoco_env.h"

namespace reverie {

class Hopper {
 public:
  struct Options {
    std::string xml_file = "hopper.xml";
    int64_t frame_skip = 4;
    double forward_reward_weight = 1.0;
    double ctrl_cost_weight = 1e-3;
    double healthy_reward = 1.0;
    bool terminate_when_unhealthy = true;
    std::array<double, 2> healthy_state_range{-100.0, 100.0};
    std::array<double, 2> healthy_z_range{0.7, std::numeric_limits<double>::infinity()};
    std::array<double, 2> healthy_angle_range{-0.2, 0.2};
    double reset_noise_scale = 5e-3;
    bool exclude_current_positions_from_observation = true;
    void Visit(Fields& fields);
  };
  static constexpr int64_t kTimeLimit = 1000;

  Hopper(Options options, MujocoSimulation& simulation);
  int64_t obs_dim() const { return obs_dim_; }
  void Perturb(RandomEngine& rng, std::span<double> qpos, std::span<double> qvel) const;
  StepResult Step(MujocoSimulation& simulation, std::span<const double> action) const;
  void Observe(const MujocoSimulation& simulation, std::span<double> obs) const;

  // terminated: exact but for one case. The observed velocities are clipped to [-10, 10], so a velocity beyond 10 that
  // leaves a healthy_state_range wider than that (the default is) goes unseen.
  // reward: only where x is observed, with the same exception.
  static TaskFunctions MakeTaskFunctions(const Options& options);

 private:
  bool IsHealthy(const MujocoSimulation& simulation) const;

  Options options_;
  int64_t obs_dim_;
};

using HopperEnv = MujocoEnv<Hopper>;

}  // namespace reverie

#endif  // REVERIE_ENV_MUJOCO_HOPPER_H_
