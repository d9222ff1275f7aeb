// Reacher-v5: a planar two-joint arm whose fingertip is to reach a target.
//
//   reward = -reward_dist_weight |fingertip - target| - reward_control_weight |a|^2;  never terminated
//
// obs: cos of both angles, sin of both, target x and y, the 2 joint velocities, (fingertip - target) x and y in
// MuJoCo's last forward pass. Reset: qpos0 + U[-0.1, 0.1), the target uniform in the disc of radius 0.2, joint
// velocities U[-0.005, 0.005). Source: Gymnasium 1.4.0, envs/mujoco/reacher_v5.py.
#ifndef REVERIE_ENV_MUJOCO_REACHER_H_
#define REVERIE_ENV_MUJOCO_REACHER_H_

#include <cstdint>
#include <span>
#include <string>

#include "reverie/config/fields.h"
#include "reverie/env/mujoco/mujoco_env.h"

namespace reverie {

class Reacher {
 public:
  struct Options {
    std::string xml_file = "reacher.xml";
    int64_t frame_skip = 2;
    double reward_dist_weight = 1.0;
    double reward_control_weight = 1.0;
    void Visit(Fields& fields);
  };
  static constexpr int64_t kTimeLimit = 50;

  Reacher(Options options, MujocoSimulation& simulation);
  int64_t obs_dim() const { return obs_dim_; }
  void Perturb(RandomEngine& rng, std::span<double> qpos, std::span<double> qvel) const;
  StepResult Step(MujocoSimulation& simulation, std::span<const double> action) const;
  void Observe(const MujocoSimulation& simulation, std::span<double> obs) const;

  // terminated: never. reward: exact for models whose fingertip and target move at one height, as Gymnasium's.
  // state_cost, of Gymnasium's own model alone: the negative reward of the state after the step, where the reward lags
  // by a simulation step, with the distance d rounded near 0, sqrt(d^2 + c^2) - c with c = 1 cm.
  static TaskFunctions MakeTaskFunctions(const Options& options);

 private:
  Options options_;
  int64_t obs_dim_;
  int64_t fingertip_, target_;
};

using ReacherEnv = MujocoEnv<Reacher>;

}  // namespace reverie

#endif  // REVERIE_ENV_MUJOCO_REACHER_H_
