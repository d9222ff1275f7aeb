// ball_in_cup-catch: a cup that moves in a plane, with a ball on a string that is to hang in it.
//
//   reward = [|target - ball| < half size of the target - radius of the ball, in x and in z]
//
// obs [8]: qpos (cup x, cup z, ball x, ball z, m), qvel. Start: the ball at x uniform in [-0.2, 0.2), z in [0.2, 0.5),
// drawn until it touches nothing. dt 0.02 s. Source: dm_control 1.0.50, suite/ball_in_cup.py.
#ifndef REVERIE_ENV_DM_CONTROL_BALL_IN_CUP_H_
#define REVERIE_ENV_DM_CONTROL_BALL_IN_CUP_H_

#include <cstdint>
#include <memory>
#include <span>

#include "reverie/env/dm_control/dm_control_env.h"

namespace reverie {
namespace dm_control {

class BallInCup {
 public:
  struct Variant {};
  static constexpr const char* kModel = "ball_in_cup.xml";
  static constexpr ModelSize kSize{.nq = 4, .nv = 4, .nu = 2};
  static constexpr int64_t kSubsteps = 10;
  static std::shared_ptr<const mjModel_> Load(const Variant&) { return LoadModel(kModel); }

  BallInCup(const Variant& variant, MujocoSimulation& simulation);
  int64_t obs_dim() const { return 8; }
  void DrawStart(RandomEngine& rng, MujocoSimulation& simulation) const;
  void Observe(const MujocoSimulation& simulation, std::span<double> obs) const;
  double Reward(const MujocoSimulation& simulation) const;
  // Exact.
  static TaskFunctions::Batched KnownReward(const Variant& variant);

 private:
  int64_t ball_, target_;   // body, site
  double free_x_, free_z_;  // m that the ball may be off the target
};

}  // namespace dm_control

using DmControlBallInCup = DmControlEnv<dm_control::BallInCup>;

}  // namespace reverie

#endif  // REVERIE_ENV_DM_CONTROL_BALL_IN_CUP_H_
