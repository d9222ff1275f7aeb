// Humanoid-v5: a three-dimensional biped that earns its forward speed while it stands.
//
//   reward = forward_reward_weight (x' - x) / dt + healthy_reward [healthy] - ctrl_cost_weight |a|^2 - contact_cost
//   contact_cost = contact_cost_weight |contact forces|^2, clipped to contact_cost_range
//   healthy: z in healthy_z_range, open;  terminated: not healthy, and terminate_when_unhealthy
//
// x is that of the centre of mass in MuJoCo's last forward pass.
// obs: [x, y,] z, orientation (4), 17 joint angles, then the 23 velocities, then of every body its inertia about the
// centre of mass (10 each), its velocity (6 each), the actuators' forces on the 17 joints, and of every body the
// contact forces (6 each); x and y only without exclude_current_positions_from_observation, the rest as the include_*
// options say. Reset: qpos0 and qvel each + U[-s, s), s = reset_noise_scale. Source: Gymnasium 1.4.0,
// envs/mujoco/humanoid_v5.py.
#ifndef REVERIE_ENV_MUJOCO_HUMANOID_H_
#define REVERIE_ENV_MUJOCO_HUMANOID_H_

#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <string>

#include "reverie/config/fields.h"
#include "reverie/env/mujoco/mujoco_env.h"

namespace reverie {

class Humanoid {
 public:
  struct Options {
    std::string xml_file = "humanoid.xml";
    int64_t frame_skip = 5;
    double forward_reward_weight = 1.25;
    double ctrl_cost_weight = 0.1;
    double contact_cost_weight = 5e-7;
    std::array<double, 2> contact_cost_range{-std::numeric_limits<double>::infinity(), 10.0};
    double healthy_reward = 5.0;
    bool terminate_when_unhealthy = true;
    std::array<double, 2> healthy_z_range{1.0, 2.0};
    double reset_noise_scale = 1e-2;
    bool exclude_current_positions_from_observation = true;
    bool include_cinert_in_observation = true;
    bool include_cvel_in_observation = true;
    bool include_qfrc_actuator_in_observation = true;
    bool include_cfrc_ext_in_observation = true;
    void Visit(Fields& fields);
  };
  static constexpr int64_t kTimeLimit = 1000;

  Humanoid(Options options, MujocoSimulation& simulation);
  int64_t obs_dim() const { return obs_dim_; }
  void Perturb(RandomEngine& rng, std::span<double> qpos, std::span<double> qvel) const;
  StepResult Step(MujocoSimulation& simulation, std::span<const double> action) const;
  void Observe(const MujocoSimulation& simulation, std::span<double> obs) const;

  // terminated: exact. reward: none; the centre of mass is not observed.
  static TaskFunctions MakeTaskFunctions(const Options& options);

 private:
  Options options_;
  int64_t obs_dim_;
  AfterStep after_step_;
};

using HumanoidEnv = MujocoEnv<Humanoid>;

}  // namespace reverie

#endif  // REVERIE_ENV_MUJOCO_HUMANOID_H_
