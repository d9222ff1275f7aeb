// HumanoidStandup-v5: the humanoid on its back, to get up.
//
//   reward = z / timestep - ctrl_cost_weight |a|^2 - impact_cost + 1;  never terminated
//   impact_cost = impact_cost_weight |contact forces|^2, clipped to impact_cost_range
//
// timestep is that of one simulation step. Gymnasium's constructor takes a uph_cost_weight and its reward ignores it:
// so here, with a warning where it is not 1. obs: [x, y,] z, orientation (4), 17 joint angles, then the 23 velocities,
// then of every body its inertia about the centre of mass (10 each), its velocity (6 each), the actuators' forces on
// the 17 joints, and of every body the contact forces (6 each); x and y only without
// exclude_current_positions_from_observation, the rest as the include_* options say. Reset: qpos0 and qvel each + U[-s,
// s), s = reset_noise_scale. Source: Gymnasium 1.4.0, envs/mujoco/humanoidstandup_v5.py.
#ifndef REVERIE_ENV_MUJOCO_HUMANOID_STANDUP_H_
#define REVERIE_ENV_MUJOCO_HUMANOID_STANDUP_H_

#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <string>

#include "reverie/config/fields.h"
#include "reverie/env/mujoco/mujoco_env.h"

namespace reverie {

class HumanoidStandup {
 public:
  struct Options {
    std::string xml_file = "humanoidstandup.xml";
    int64_t frame_skip = 5;
    double uph_cost_weight = 1.0;
    double ctrl_cost_weight = 0.1;
    double impact_cost_weight = 0.5e-6;
    std::array<double, 2> impact_cost_range{-std::numeric_limits<double>::infinity(), 10.0};
    double reset_noise_scale = 1e-2;
    bool exclude_current_positions_from_observation = true;
    bool include_cinert_in_observation = true;
    bool include_cvel_in_observation = true;
    bool include_qfrc_actuator_in_observation = true;
    bool include_cfrc_ext_in_observation = true;
    void Visit(Fields& fields);
  };
  static constexpr int64_t kTimeLimit = 1000;

  HumanoidStandup(Options options, MujocoSimulation& simulation);
  int64_t obs_dim() const { return obs_dim_; }
  void Perturb(RandomEngine& rng, std::span<double> qpos, std::span<double> qvel) const;
  StepResult Step(MujocoSimulation& simulation, std::span<const double> action) const;
  void Observe(const MujocoSimulation& simulation, std::span<double> obs) const;

  // terminated: never. reward: exact where the contact forces are observed or cost nothing (impact_cost_weight 0), else
  // none.
  static TaskFunctions MakeTaskFunctions(const Options& options);

 private:
  Options options_;
  int64_t obs_dim_;
  AfterStep after_step_;
};

using HumanoidStandupEnv = MujocoEnv<HumanoidStandup>;

}  // namespace reverie

#endif  // REVERIE_ENV_MUJOCO_HUMANOID_STANDUP_H_
