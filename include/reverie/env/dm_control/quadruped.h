// quadruped-walk and -run: a four-legged body driven by 12 actuators with a lag of their own.
//
//   reward = T(up; 1, inf, margin 2, linear, 0 at the margin) * T(v; s, inf, margin s, linear, 0.5 at the margin)
//   up: z component of the torso's z axis; v: the torso's velocity along its own x axis; s: 0.5 or 5 m/s
//
// obs [78]: 16 joint angles, their velocities, 12 activations, torso velocity in its frame (3), up, accelerometer and
// gyro (6), arsinh of force and torque at the toes (24); accelerations and forces are of the last simulation step.
// Start: orientation uniform, raised from z = 0 by steps of 1 cm until nothing touches. dt 0.02 s. T: tolerance.h.
// The model is dm_control's without walls, ball, target, terrain and rangefinders, on a floor of half size 20 s.
// Source: dm_control 1.0.50, suite/quadruped.py.
#ifndef REVERIE_ENV_DM_CONTROL_QUADRUPED_H_
#define REVERIE_ENV_DM_CONTROL_QUADRUPED_H_

#include <cstdint>
#include <memory>
#include <span>

#include "reverie/env/dm_control/dm_control_env.h"

namespace reverie {
namespace dm_control {

class Quadruped {
 public:
  struct Variant {
    double speed = 0.5;  // m/s
  };
  static constexpr const char* kModel = "quadruped.xml";
  static constexpr ModelSize kSize{.nq = 23, .nv = 22, .nu = 12};
  static constexpr int64_t kSubsteps = 4;
  static std::shared_ptr<const mjModel_> Load(const Variant& variant);

  Quadruped(const Variant& variant, MujocoSimulation& simulation);
  int64_t obs_dim() const { return 78; }
  void DrawStart(RandomEngine& rng, MujocoSimulation& simulation) const;
  void Observe(const MujocoSimulation& simulation, std::span<double> obs) const;
  double Reward(const MujocoSimulation& simulation) const;
  // Exact.
  static TaskFunctions::Batched KnownReward(const Variant& variant);

 private:
  Variant variant_;
  int64_t torso_;                               // body
  int64_t velocimeter_, accelerometer_, gyro_;  // sensors
  int64_t toes_;                                // the first of 24 readings of sensors
};

}  // namespace dm_control

using DmControlQuadruped = DmControlEnv<dm_control::Quadruped>;

}  // namespace reverie

#endif  // REVERIE_ENV_DM_CONTROL_QUADRUPED_H_
