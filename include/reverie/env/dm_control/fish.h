// fish-swim: a fish in water, to swim with its mouth to a target.
//
//   reward = (7 T(|target - mouth|; 0, r, margin 2 r) + (1 + up) / 2) / 8
//   r: radii of mouth and target together, up: z component of the torso's z axis
//
// obs [24]: 7 joint angles, up, target from the mouth in the mouth's frame (3), qvel (13).
// Start: orientation uniform, joints in U[-0.2, 0.2), target (part of the state) x and y in U[-0.4, 0.4), z in
// U[0.1, 0.3). dt 0.04 s. T: tolerance.h. Source: dm_control 1.0.50, suite/fish.py.
#ifndef REVERIE_ENV_DM_CONTROL_FISH_H_
#define REVERIE_ENV_DM_CONTROL_FISH_H_

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "reverie/env/dm_control/dm_control_env.h"

namespace reverie {
namespace dm_control {

class Fish {
 public:
  struct Variant {};
  static constexpr const char* kModel = "fish.xml";
  static constexpr ModelSize kSize{.nq = 14, .nv = 13, .nu = 5};
  static constexpr int64_t kSubsteps = 10;
  static std::shared_ptr<const mjModel_> Load(const Variant&) { return LoadModel(kModel); }

  Fish(const Variant& variant, MujocoSimulation& simulation);
  int64_t obs_dim() const { return 24; }
  void DrawStart(RandomEngine& rng, MujocoSimulation& simulation) const;
  void Observe(const MujocoSimulation& simulation, std::span<double> obs) const;
  double Reward(const MujocoSimulation& simulation) const;
  // Exact where `up` is in [-1, 1]; outside, as models imagine it, that of the nearest in it.
  static TaskFunctions::Batched KnownReward(const Variant& variant);

 private:
  std::array<double, 3> MouthToTarget(const MujocoSimulation& simulation) const;

  int64_t torso_;            // body
  int64_t mouth_, target_;   // geoms
  double* target_position_;  // [3] in the simulation's own model
};

}  // namespace dm_control

using DmControlFish = DmControlEnv<dm_control::Fish>;

}  // namespace reverie

#endif  // REVERIE_ENV_DM_CONTROL_FISH_H_
