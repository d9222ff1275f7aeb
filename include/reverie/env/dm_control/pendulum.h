// pendulum-swingup: a rod to be swung up by a weak torque.
//
//   reward = [cos >= cos(8 degrees)]
//
// obs [3]: cos and sin of the angle, angular velocity. Start: angle uniform in [-pi, pi). dt 0.02 s.
// Source: dm_control 1.0.50, suite/pendulum.py.
#ifndef REVERIE_ENV_DM_CONTROL_PENDULUM_H_
#define REVERIE_ENV_DM_CONTROL_PENDULUM_H_

#include <cstdint>
#include <memory>
#include <span>

#include "reverie/env/dm_control/dm_control_env.h"

namespace reverie {
namespace dm_control {

class Pendulum {
 public:
  struct Variant {};
  static constexpr const char* kModel = "pendulum.xml";
  static constexpr ModelSize kSize{.nq = 1, .nv = 1, .nu = 1};
  static constexpr int64_t kSubsteps = 1;
  static std::shared_ptr<const mjModel_> Load(const Variant&) { return LoadModel(kModel); }

  Pendulum(const Variant& variant, MujocoSimulation& simulation);
  int64_t obs_dim() const { return 3; }
  void DrawStart(RandomEngine& rng, MujocoSimulation& simulation) const;
  void Observe(const MujocoSimulation& simulation, std::span<double> obs) const;
  double Reward(const MujocoSimulation& simulation) const;
  // Exact where the cosine is in [-1, 1]; outside, as models imagine it, that of the nearest in it. dm_control gives no
  // reward where rounding lifts it above 1.
  static TaskFunctions::Batched KnownReward(const Variant& variant);

 private:
  int64_t pole_;  // body
};

}  // namespace dm_control

using DmControlPendulum = DmControlEnv<dm_control::Pendulum>;

}  // namespace reverie

#endif  // REVERIE_ENV_DM_CONTROL_PENDULUM_H_
