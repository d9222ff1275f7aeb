// Ant-v5: a four-legged body that earns its forward speed while it stands.
//
//   reward = forward_reward_weight (x' - x) / dt + healthy_reward [healthy] - ctrl_cost_weight |a|^2 - contact_cost
//   contact_cost = contact_cost_weight |contact forces clipped to contact_force_range|^2
//   healthy: z in healthy_z_range, closed;  terminated: not healthy, and terminate_when_unhealthy
//
// x is the position of main_body in MuJoCo's last forward pass, not that of qpos. obs: [x, y,] z, orientation (4), 8
// joint angles, then the 14 velocities, then the clipped contact forces of every body (6 each: torque, force); x and y
// only without exclude_current_positions_from_observation, forces only with include_cfrc_ext_in_observation.
// Reset: qpos0 + U[-s, s), qvel s N(0, 1), s = reset_noise_scale.
// Source: Gymnasium 1.4.0, envs/mujoco/ant_v5.py.
#ifndef REVERIE_ENV_MUJOCO_ANT_H_
#define REVERIE_ENV_MUJOCO_ANT_H_

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "reverie/config/fields.h"
#include "reverie/env/mujoco/mujoco_env.h"

namespace reverie {

class Ant {
 public:
  struct Options {
    std::string xml_file = "ant.xml";
    int64_t frame_skip = 5;
    double forward_reward_weight = 1.0;
    double ctrl_cost_weight = 0.5;
    double contact_cost_weight = 5e-4;
    double healthy_reward = 1.0;
    std::string main_body = "1";  // a body's name, or its index
    bool terminate_when_unhealthy = true;
    std::array<double, 2> healthy_z_range{0.2, 1.0};
    std::array<double, 2> contact_force_range{-1.0, 1.0};
    double reset_noise_scale = 0.1;
    bool exclude_current_positions_from_observation = true;
    bool include_cfrc_ext_in_observation = true;
    void Visit(Fields& fields);
  };
  static constexpr int64_t kTimeLimit = 1000;

  Ant(Options options, MujocoSimulation& simulation);
  int64_t obs_dim() const { return obs_dim_; }
  void Perturb(RandomEngine& rng, std::span<double> qpos, std::span<double> qvel) const;
  StepResult Step(MujocoSimulation& simulation, std::span<const double> action) const;
  void Observe(const MujocoSimulation& simulation, std::span<double> obs) const;

  // terminated: exact. reward: none; the observation does not hold the lagging x that it is made of.
  static TaskFunctions MakeTaskFunctions(const Options& options);

 private:
  bool IsHealthy(const MujocoSimulation& simulation) const;

  Options options_;
  int64_t obs_dim_;
  int64_t main_body_;
  AfterStep after_step_;
};

using AntEnv = MujocoEnv<Ant>;

}  // namespace reverie

#endif  // REVERIE_ENV_MUJOCO_ANT_H_
