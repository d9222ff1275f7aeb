// Pusher-v5: a seven-joint arm that is to push a cylinder to a goal.
//
//   reward = -reward_dist_weight |object - goal| - reward_near_weight |object - tips_arm| - reward_control_weight |a|^2
//   never terminated
//
// obs: 7 joint angles, 7 joint velocities, the positions of tips_arm, object and goal in MuJoCo's last forward pass.
// Reset: the arm at qpos0, the object's y in U[-0.3, 0), x in U[-0.2, 0.2), drawn again while within 0.17 of the goal;
// joint velocities U[-0.005, 0.005). The model of Pusher-v4, with a lighter object, is pusher.xml.
// Source: Gymnasium 1.4.0, envs/mujoco/pusher_v5.py.
#ifndef REVERIE_ENV_MUJOCO_PUSHER_H_
#define REVERIE_ENV_MUJOCO_PUSHER_H_

#include <cstdint>
#include <span>
#include <string>

#include "reverie/config/fields.h"
#include "reverie/env/mujoco/mujoco_env.h"

namespace reverie {

class Pusher {
 public:
  struct Options {
    std::string xml_file = "pusher_v5.xml";
    int64_t frame_skip = 5;
    double reward_near_weight = 0.5;
    double reward_dist_weight = 1.0;
    double reward_control_weight = 0.1;
    void Visit(Fields& fields);
  };
  static constexpr int64_t kTimeLimit = 100;

  Pusher(Options options, MujocoSimulation& simulation);
  int64_t obs_dim() const { return obs_dim_; }
  void Perturb(RandomEngine& rng, std::span<double> qpos, std::span<double> qvel) const;
  StepResult Step(MujocoSimulation& simulation, std::span<const double> action) const;
  void Observe(const MujocoSimulation& simulation, std::span<double> obs) const;

  // terminated: never. reward: exact.
  static TaskFunctions MakeTaskFunctions(const Options& options);

 private:
  Options options_;
  int64_t obs_dim_;
  int64_t tips_arm_, object_, goal_;
};

using PusherEnv = MujocoEnv<Pusher>;

}  // namespace reverie

#endif  // REVERIE_ENV_MUJOCO_PUSHER_H_
