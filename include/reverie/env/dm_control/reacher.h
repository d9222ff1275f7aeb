// reacher-easy and -hard: a planar two-joint arm that is to reach a target.
//
//   reward = [|target - finger| <= r],   r: radii of target and finger together
//
// obs [6]: both angles, target - finger in x and y (m), both velocities. Start: shoulder uniform in [-pi, pi), wrist in
// its limits, target (part of the state) at an angle uniform in [0, 2 pi) and a radius uniform in [0.05, 0.2). dt 0.02
// s. Source: dm_control 1.0.50, suite/reacher.py.
#ifndef REVERIE_ENV_DM_CONTROL_REACHER_H_
#define REVERIE_ENV_DM_CONTROL_REACHER_H_

#include <cstdint>
#include <memory>
#include <span>

#include "reverie/env/dm_control/dm_control_env.h"

namespace reverie {
namespace dm_control {

class Reacher {
 public:
  struct Variant {
    double target_radius = 0.05;  // m
  };
  static constexpr const char* kModel = "reacher.xml";
  static constexpr ModelSize kSize{.nq = 2, .nv = 2, .nu = 2};
  static constexpr int64_t kSubsteps = 1;
  static std::shared_ptr<const mjModel_> Load(const Variant&) { return LoadModel(kModel); }

  Reacher(const Variant& variant, MujocoSimulation& simulation);
  int64_t obs_dim() const { return 6; }
  void DrawStart(RandomEngine& rng, MujocoSimulation& simulation) const;
  void Observe(const MujocoSimulation& simulation, std::span<double> obs) const;
  double Reward(const MujocoSimulation& simulation) const;
  // Exact.
  static TaskFunctions::Batched KnownReward(const Variant& variant);

 private:
  int64_t finger_, target_;  // geoms
  double* target_position_;  // [3] in the simulation's own model
  double reach_;             // m
};

}  // namespace dm_control

using DmControlReacher = DmControlEnv<dm_control::Reacher>;

}  // namespace reverie

#endif  // REVERIE_ENV_DM_CONTROL_REACHER_H_
