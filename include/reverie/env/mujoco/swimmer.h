// Swimmer-v5: a three-link swimmer in a viscous plane that earns its forward speed.
//
//   reward = forward_reward_weight (x' - x) / dt - ctrl_cost_weight |a|^2;  never terminated
//
// obs: [x, y,] heading, 2 joint angles, then the 5 velocities; x and y only without
// exclude_current_positions_from_observation. Reset: qpos0 and qvel each + U[-s, s), s = reset_noise_scale.
// Source: Gymnasium 1.4.0, envs/mujoco/swimmer_v5.py.
#ifndef REVERIE_ENV_MUJOCO_SWIMMER_H_
#define REVERIE_ENV_MUJOCO_SWIMMER_H_

#include <cstdint>
#include <span>
#include <string>

#include "reverie/config/fields.h"
#include "reverie/env/mujoco/mujoco_env.h"

namespace reverie {

class Swimmer {
 public:
  struct Options {
    std::string xml_file = "swimmer.xml";
    int64_t frame_skip = 4;
    double forward_reward_weight = 1.0;
    double ctrl_cost_weight = 1e-4;
    double reset_noise_scale = 0.1;
    bool exclude_current_positions_from_observation = true;
    void Visit(Fields& fields);
  };
  static constexpr int64_t kTimeLimit = 1000;

  Swimmer(Options options, MujocoSimulation& simulation);
  int64_t obs_dim() const { return obs_dim_; }
  void Perturb(RandomEngine& rng, std::span<double> qpos, std::span<double> qvel) const;
  StepResult Step(MujocoSimulation& simulation, std::span<const double> action) const;
  void Observe(const MujocoSimulation& simulation, std::span<double> obs) const;

  // terminated: never. reward: only where x is observed.
  static TaskFunctions MakeTaskFunctions(const Options& options);

 private:
  Options options_;
  int64_t obs_dim_;
};

using SwimmerEnv = MujocoEnv<Swimmer>;

}  // namespace reverie

#endif  // REVERIE_ENV_MUJOCO_SWIMMER_H_
