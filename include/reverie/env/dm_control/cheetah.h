// cheetah-run: a planar runner.
//
//   reward = T(v; 10, inf, margin 10, linear, 0 at the margin),   v: speed of its centre of mass along x, m/s
//
// obs [17]: qpos without x, qvel. Start: joints uniform in their limits, then 200 simulation steps without control.
// dt 0.01 s. T: tolerance.h. Source: dm_control 1.0.50, suite/cheetah.py.
#ifndef REVERIE_ENV_DM_CONTROL_CHEETAH_H_
#define REVERIE_ENV_DM_CONTROL_CHEETAH_H_

#include <cstdint>
#include <memory>
#include <span>

#include "reverie/env/dm_control/dm_control_env.h"

namespace reverie {
namespace dm_control {

class Cheetah {
 public:
  struct Variant {};
  static constexpr const char* kModel = "cheetah.xml";
  static constexpr ModelSize kSize{.nq = 9, .nv = 9, .nu = 6};
  static constexpr int64_t kSubsteps = 1;
  static std::shared_ptr<const mjModel_> Load(const Variant&) { return LoadModel(kModel); }

  Cheetah(const Variant& variant, MujocoSimulation& simulation);
  int64_t obs_dim() const { return 17; }
  void DrawStart(RandomEngine& rng, MujocoSimulation& simulation) const;
  void Observe(const MujocoSimulation& simulation, std::span<double> obs) const;
  double Reward(const MujocoSimulation& simulation) const;
  // None: the speed is not observed.
  static TaskFunctions::Batched KnownReward(const Variant& variant);

 private:
  int64_t velocity_;  // sensor
};

}  // namespace dm_control

using DmControlCheetah = DmControlEnv<dm_control::Cheetah>;

}  // namespace reverie

#endif  // REVERIE_ENV_DM_CONTROL_CHEETAH_H_
