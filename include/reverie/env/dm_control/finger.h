// finger-spin, -turn_easy and -turn_hard: a two-joint finger that is to turn a body on a hinge.
//
//   spin:  reward = [angular velocity of the hinge <= -15 rad/s]; the hinge has a damping of 0.03
//   turn:  reward = [|target - tip| <= radius of the target], tip: of the body on the hinge
//
// obs [9]: angles of the finger's 2 joints, tip x and z from the hinge, velocities of 3 joints, log(1 + touch) of 2
// sensors; turn [12]: then target x and z from the hinge, distance of the tip from the target's surface.
// Start: all joints drawn (limited ones in their limits, the hinge in [-pi, pi)) until nothing touches; the target, a
// part of the state, is at an angle uniform in [-pi, pi) at the tip's radius. dt 0.02 s.
// Source: dm_control 1.0.50, suite/finger.py.
#ifndef REVERIE_ENV_DM_CONTROL_FINGER_H_
#define REVERIE_ENV_DM_CONTROL_FINGER_H_

#include <cstdint>
#include <memory>
#include <span>

#include "reverie/env/dm_control/dm_control_env.h"

namespace reverie {
namespace dm_control {

class Finger {
 public:
  struct Variant {
    double target_radius = 0;  // m; 0: to spin
  };
  static constexpr const char* kModel = "finger.xml";
  static constexpr ModelSize kSize{.nq = 3, .nv = 3, .nu = 2};
  static constexpr int64_t kSubsteps = 2;
  static std::shared_ptr<const mjModel_> Load(const Variant& variant);

  Finger(const Variant& variant, MujocoSimulation& simulation);
  int64_t obs_dim() const { return turns_ ? 12 : 9; }
  void DrawStart(RandomEngine& rng, MujocoSimulation& simulation) const;
  void Observe(const MujocoSimulation& simulation, std::span<double> obs) const;
  double Reward(const MujocoSimulation& simulation) const;
  // Exact.
  static TaskFunctions::Batched KnownReward(const Variant& variant);

 private:
  double DistanceToTarget(const MujocoSimulation& simulation) const;

  bool turns_;
  int64_t target_;                     // site
  double* target_position_ = nullptr;  // [3] in the simulation's own model
  int64_t proximal_, distal_, proximal_velocity_, distal_velocity_, hinge_velocity_;  // sensors
  int64_t tip_at_, target_at_, spinner_at_, touch_top_, touch_bottom_;
};

}  // namespace dm_control

using DmControlFinger = DmControlEnv<dm_control::Finger>;

}  // namespace reverie

#endif  // REVERIE_ENV_DM_CONTROL_FINGER_H_
