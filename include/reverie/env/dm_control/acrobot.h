// acrobot-swingup and -swingup_sparse: two links of which only the elbow is driven, their tip to be held on high.
//
//   reward = T(|target - tip|; 0, radius of the target, margin 1 m)   sparse: margin 0
//
// obs [6]: x components of the z axes of upper and lower arm, their z components, the 2 joint velocities, rad/s.
// Start: both joints uniform in [-pi, pi). dt 0.01 s. T: tolerance.h. Source: dm_control 1.0.50, suite/acrobot.py.
#ifndef REVERIE_ENV_DM_CONTROL_ACROBOT_H_
#define REVERIE_ENV_DM_CONTROL_ACROBOT_H_

#include <cstdint>
#include <memory>
#include <span>

#include "reverie/env/dm_control/dm_control_env.h"

namespace reverie {
namespace dm_control {

class Acrobot {
 public:
  struct Variant {
    bool sparse = false;
  };
  static constexpr const char* kModel = "acrobot.xml";
  static constexpr ModelSize kSize{.nq = 2, .nv = 2, .nu = 1};
  static constexpr int64_t kSubsteps = 1;
  static std::shared_ptr<const mjModel_> Load(const Variant&) { return LoadModel(kModel); }

  Acrobot(const Variant& variant, MujocoSimulation& simulation);
  int64_t obs_dim() const { return 6; }
  void DrawStart(RandomEngine& rng, MujocoSimulation& simulation) const;
  void Observe(const MujocoSimulation& simulation, std::span<double> obs) const;
  double Reward(const MujocoSimulation& simulation) const;
  // Exact.
  static TaskFunctions::Batched KnownReward(const Variant& variant);

 private:
  Variant variant_;
  int64_t upper_, lower_;  // bodies
  int64_t tip_, target_;   // sites
};

}  // namespace dm_control

using DmControlAcrobot = DmControlEnv<dm_control::Acrobot>;

}  // namespace reverie

#endif  // REVERIE_ENV_DM_CONTROL_ACROBOT_H_
