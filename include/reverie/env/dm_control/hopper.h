// hopper-stand and -hop: a planar one-legged hopper.
//
//   standing = T(h; 0.6, 2),   h: height of the torso's centre of mass over the foot's, m
//   stand: reward = standing * (4 + mean T(ctrl; quadratic, 0 at 1)) / 5
//   hop:   reward = standing * T(v; 2, inf, margin 1, linear, 0.5 at the margin),   v: speed of the centre of mass, m/s
//
// obs [15]: qpos without x, qvel, log(1 + touch) of toe and heel, as of the last simulation step. Start: joints uniform
// in their limits, pitch in [-pi, pi). dt 0.02 s. T: tolerance.h. Source: dm_control 1.0.50, suite/hopper.py.
#ifndef REVERIE_ENV_DM_CONTROL_HOPPER_H_
#define REVERIE_ENV_DM_CONTROL_HOPPER_H_

#include <cstdint>
#include <memory>
#include <span>

#include "reverie/env/dm_control/dm_control_env.h"

namespace reverie {
namespace dm_control {

class Hopper {
 public:
  struct Variant {
    bool hop = false;
  };
  static constexpr const char* kModel = "hopper.xml";
  static constexpr ModelSize kSize{.nq = 7, .nv = 7, .nu = 4};
  static constexpr int64_t kSubsteps = 4;
  static std::shared_ptr<const mjModel_> Load(const Variant&) { return LoadModel(kModel); }

  Hopper(const Variant& variant, MujocoSimulation& simulation);
  int64_t obs_dim() const { return 15; }
  void DrawStart(RandomEngine& rng, MujocoSimulation& simulation) const;
  void Observe(const MujocoSimulation& simulation, std::span<double> obs) const;
  double Reward(const MujocoSimulation& simulation) const;
  // stand: exact. hop: none, as the speed is not observed.
  static TaskFunctions::Batched KnownReward(const Variant& variant);

 private:
  Variant variant_;
  int64_t torso_, foot_;           // bodies
  int64_t velocity_, toe_, heel_;  // sensors
};

}  // namespace dm_control

using DmControlHopper = DmControlEnv<dm_control::Hopper>;

}  // namespace reverie

#endif  // REVERIE_ENV_DM_CONTROL_HOPPER_H_
