// walker-stand, -walk and -run: a planar two-legged walker.
//
//   stand = (3 T(z; 1.2, inf, margin 0.6) + (1 + up) / 2) / 4
//   walk, run: reward = stand * (5 T(v; s, inf, margin s / 2, linear, 0.5 at the margin) + 1) / 6
//   z: height of the torso, m; up: z component of its z axis; v: speed of the centre of mass along x; s: 1 or 8 m/s
//
// obs [24]: x components of the x and z axes of 7 bodies (14), z, qvel (9). Start: joints uniform in their limits,
// pitch in [-pi, pi). dt 0.025 s. T: tolerance.h. Source: dm_control 1.0.50, suite/walker.py.
#ifndef REVERIE_ENV_DM_CONTROL_WALKER_H_
#define REVERIE_ENV_DM_CONTROL_WALKER_H_

#include <cstdint>
#include <memory>
#include <span>

#include "reverie/env/dm_control/dm_control_env.h"

namespace reverie {
namespace dm_control {

class Walker {
 public:
  struct Variant {
    double speed = 0;  // m/s; 0: to stand
  };
  static constexpr const char* kModel = "walker.xml";
  static constexpr ModelSize kSize{.nq = 9, .nv = 9, .nu = 6};
  static constexpr int64_t kSubsteps = 10;
  static std::shared_ptr<const mjModel_> Load(const Variant&) { return LoadModel(kModel); }

  Walker(const Variant& variant, MujocoSimulation& simulation);
  int64_t obs_dim() const { return 24; }
  void DrawStart(RandomEngine& rng, MujocoSimulation& simulation) const;
  void Observe(const MujocoSimulation& simulation, std::span<double> obs) const;
  double Reward(const MujocoSimulation& simulation) const;
  // stand: exact where `up` is in [-1, 1]; outside, as models imagine it, that of the nearest in it. walk and run:
  // none, as the speed is not observed.
  static TaskFunctions::Batched KnownReward(const Variant& variant);

 private:
  Variant variant_;
  int64_t torso_;     // body
  int64_t velocity_;  // sensor
};

}  // namespace dm_control

using DmControlWalker = DmControlEnv<dm_control::Walker>;

}  // namespace reverie

#endif  // REVERIE_ENV_DM_CONTROL_WALKER_H_
