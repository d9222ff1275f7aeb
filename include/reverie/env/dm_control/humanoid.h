// humanoid-stand, -walk and -run.
//
//   standing = T(head height; 1.4, inf, margin 0.35) * T(up; 0.9, inf, margin 1.9, linear, 0 at the margin)
//   small control = (4 + mean T(ctrl; quadratic, 0 at 1)) / 5
//   stand:     reward = small control * standing * mean over x, y of T(v_x,y; 0, 0, margin 2)
//   walk, run: reward = small control * standing * (5 T(|v|; s, inf, margin s, linear, 0 at the margin) + 1) / 6
//   v: horizontal velocity of the centre of mass, m/s; s: 1 or 10 m/s; up: z component of the torso's z axis
//
// obs [67]: joint angles (21), head height, hands and feet in the torso's frame (left hand, left foot, right hand,
// right foot: 12), z components of the torso's axes (3), velocity of the centre of mass (3), qvel (27). Start: joints
// uniform in their limits and an orientation of four uniform numbers, drawn until nothing touches. dt 0.025 s. T:
// tolerance.h. Source: dm_control 1.0.50, suite/humanoid.py.
#ifndef REVERIE_ENV_DM_CONTROL_HUMANOID_H_
#define REVERIE_ENV_DM_CONTROL_HUMANOID_H_

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "reverie/env/dm_control/dm_control_env.h"

namespace reverie {
namespace dm_control {

class Humanoid {
 public:
  struct Variant {
    double speed = 0;  // m/s; 0: to stand
  };
  static constexpr const char* kModel = "humanoid.xml";
  static constexpr ModelSize kSize{.nq = 28, .nv = 27, .nu = 21};
  static constexpr int64_t kSubsteps = 5;
  static std::shared_ptr<const mjModel_> Load(const Variant&) { return LoadModel(kModel); }

  Humanoid(const Variant& variant, MujocoSimulation& simulation);
  int64_t obs_dim() const { return 67; }
  void DrawStart(RandomEngine& rng, MujocoSimulation& simulation) const;
  void Observe(const MujocoSimulation& simulation, std::span<double> obs) const;
  double Reward(const MujocoSimulation& simulation) const;
  // Exact.
  static TaskFunctions::Batched KnownReward(const Variant& variant);

 private:
  Variant variant_;
  int64_t torso_, head_;                // bodies
  std::array<int64_t, 4> extremities_;  // bodies
  int64_t velocity_;                    // sensor
};

}  // namespace dm_control

using DmControlHumanoid = DmControlEnv<dm_control::Humanoid>;

}  // namespace reverie

#endif  // REVERIE_ENV_DM_CONTROL_HUMANOID_H_
