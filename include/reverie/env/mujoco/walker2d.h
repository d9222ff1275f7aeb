// Walker2d-v5: a planar two-legged walker that earns its forward speed while it stands.
//
//   reward = forward_reward_weight (x' - x) / dt + healthy_reward [healthy] - ctrl_cost_weight |a|^2
//   healthy: z in healthy_z_range and pitch in healthy_angle_range, both open
//   terminated: not healthy, and terminate_when_unhealthy
//
// obs: [x,] z, pitch, 6 joint angles, then their 9 velocities clipped to [-10, 10]; x only without
// exclude_current_positions_from_observation. Reset: qpos0 and qvel each + U[-s, s), s = reset_noise_scale.
// The model of Walker2d-v4, whose right foot has less friction, is walker2d.xml.
// Source: Gymnasium 1.4.0, envs/mujoco/walker2d_v5.py.
#ifndef REVERIE_ENV_MUJOCO_WALKER2D_H_
#define REVERIE_ENV_MUJOCO_WALKER2D_H_

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "reverie/config/fields.h"
#include "reverie/env/mujoco/mujoco_env.h"

namespace reverie {

class Walker2d {
 public:
  struct Options {
    std::string xml_file = "walker2d_v5.xml";
    int64_t frame_skip = 4;
    double forward_reward_weight = 1.0;
    double ctrl_cost_weight = 1e-3;
    double healthy_reward = 1.0;
    bool terminate_when_unhealthy = true;
    std::array<double, 2> healthy_z_range{0.8, 2.0};
    std::array<double, 2> healthy_angle_range{-1.0, 1.0};
    double reset_noise_scale = 5e-3;
    bool exclude_current_positions_from_observation = true;
    void Visit(Fields& fields);
  };
  static constexpr int64_t kTimeLimit = 1000;

  Walker2d(Options options, MujocoSimulation& simulation);
  int64_t obs_dim() const { return obs_dim_; }
  void Perturb(RandomEngine& rng, std::span<double> qpos, std::span<double> qvel) const;
  StepResult Step(MujocoSimulation& simulation, std::span<const double> action) const;
  void Observe(const MujocoSimulation& simulation, std::span<double> obs) const;

  // terminated: exact. reward: only where x is observed.
  static TaskFunctions MakeTaskFunctions(const Options& options);

 private:
  bool IsHealthy(const MujocoSimulation& simulation) const;

  Options options_;
  int64_t obs_dim_;
};

using Walker2dEnv = MujocoEnv<Walker2d>;

}  // namespace reverie

#endif  // REVERIE_ENV_MUJOCO_WALKER2D_H_
