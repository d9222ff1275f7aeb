// cartpole-balance, -balance_sparse, -swingup and -swingup_sparse: a pole on a cart, to be held upright.
//
//   smooth: reward = (1 + cos) / 2 * small control * (1 + T(angular velocity; 0, 0, margin 5)) / 2
//                    * (1 + T(x; 0, 0, margin 2)) / 2,   small control = (4 + T(ctrl; quadratic, 0 at 1)) / 5
//   sparse: reward = [|x| <= 0.25 m and cos >= 0.995]
//
// obs [5]: x, cos and sin of the pole's angle, then both velocities. Start: x in U[-0.1, 0.1), angle in U[-0.034,
// 0.034); to swing up, 0.01 N(0, 1) and pi + 0.01 N(0, 1); velocities 0.01 N(0, 1). dt 0.01 s. T: tolerance.h. Source:
// dm_control 1.0.50, suite/cartpole.py.
#ifndef REVERIE_ENV_DM_CONTROL_CARTPOLE_H_
#define REVERIE_ENV_DM_CONTROL_CARTPOLE_H_

#include <cstdint>
#include <memory>
#include <span>

#include "reverie/env/dm_control/dm_control_env.h"

namespace reverie {
namespace dm_control {

class Cartpole {
 public:
  struct Variant {
    bool swing_up = false;
    bool sparse = false;
  };
  static constexpr const char* kModel = "cartpole.xml";
  static constexpr ModelSize kSize{.nq = 2, .nv = 2, .nu = 1};
  static constexpr int64_t kSubsteps = 1;
  static std::shared_ptr<const mjModel_> Load(const Variant&) { return LoadModel(kModel); }

  Cartpole(const Variant& variant, MujocoSimulation& simulation);
  int64_t obs_dim() const { return 5; }
  void DrawStart(RandomEngine& rng, MujocoSimulation& simulation) const;
  void Observe(const MujocoSimulation& simulation, std::span<double> obs) const;
  double Reward(const MujocoSimulation& simulation) const;
  // Exact where the cosine is in [-1, 1]; outside, as models imagine it, that of the nearest in it. Where rounding
  // lifts it above 1, dm_control gives no sparse reward.
  static TaskFunctions::Batched KnownReward(const Variant& variant);

 private:
  Variant variant_;
  int64_t pole_;  // body
};

}  // namespace dm_control

using DmControlCartpole = DmControlEnv<dm_control::Cartpole>;

}  // namespace reverie

#endif  // REVERIE_ENV_DM_CONTROL_CARTPOLE_H_
