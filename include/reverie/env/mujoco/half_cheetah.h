// HalfCheetah-v5: a planar runner with six joints that earns its forward speed.
//
//   reward = forward_reward_weight (x' - x) / dt - ctrl_cost_weight |a|^2;  never terminated
//
// obs: [x,] z, pitch, 6 joint angles, then their 9 velocities; x only without
// exclude_current_positions_from_observation. Reset: qpos0 + U[-s, s), qvel s N(0, 1), s = reset_noise_scale.
// Source: Gymnasium 1.4.0, envs/mujoco/half_cheetah_v5.py.
#ifndef REVERIE_ENV_MUJOCO_HALF_CHEETAH_H_
#define REVERIE_ENV_MUJOCO_HALF_CHEETAH_H_

#include <cstdint>
#include <span>
#include <string>

#include "reverie/config/fields.h"
#include "reverie/env/mujoco/mujoco_env.h"

namespace reverie {

class HalfCheetah {
 public:
  struct Options {
    std::string xml_file = "half_cheetah.xml";
    int64_t frame_skip = 5;
    double forward_reward_weight = 1.0;
    double ctrl_cost_weight = 0.1;
    double reset_noise_scale = 0.1;
    bool exclude_current_positions_from_observation = true;
    void Visit(Fields& fields);
  };
  static constexpr int64_t kTimeLimit = 1000;

  HalfCheetah(Options options, MujocoSimulation& simulation);
  int64_t obs_dim() const { return obs_dim_; }
  void Perturb(RandomEngine& rng, std::span<double> qpos, std::span<double> qvel) const;
  StepResult Step(MujocoSimulation& simulation, std::span<const double> action) const;
  void Observe(const MujocoSimulation& simulation, std::span<double> obs) const;

  // terminated: never. reward: only where x is observed; the mean forward speed over a step is not the speed at its
  // end.
  static TaskFunctions MakeTaskFunctions(const Options& options);

 private:
  Options options_;
  int64_t obs_dim_;
};

using HalfCheetahEnv = MujocoEnv<HalfCheetah>;

}  // namespace reverie

#endif  // REVERIE_ENV_MUJOCO_HALF_CHEETAH_H_
