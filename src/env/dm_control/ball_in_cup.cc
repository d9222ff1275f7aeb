#include "reverie/env/dm_control/ball_in_cup.h"

#include <cmath>

#include "suite_util.h"

namespace reverie::dm_control {

BallInCup::BallInCup(const Variant&, MujocoSimulation& simulation)
    : ball_(simulation.BodyIndex("ball")), target_(simulation.Index(mjOBJ_SITE, "target")) {
  const mjModel& model = simulation.model();
  const double radius = model.geom_size[3 * simulation.Index(mjOBJ_GEOM, "ball")];
  free_x_ = model.site_size[3 * target_] - radius;
  free_z_ = model.site_size[3 * target_ + 2] - radius;
}

void BallInCup::DrawStart(RandomEngine& rng, MujocoSimulation& simulation) const {
  DrawWithoutContact(simulation, [&] {
    simulation.qpos_to_draw()[2] = DrawUniform(-0.2, 0.2, rng);
    simulation.qpos_to_draw()[3] = DrawUniform(0.2, 0.5, rng);
  });
}

void BallInCup::Observe(const MujocoSimulation& simulation, std::span<double> obs) const {
  ObsWriter(obs).Add(simulation.qpos()).Add(simulation.qvel());
}

double BallInCup::Reward(const MujocoSimulation& simulation) const {
  const auto [x, y, z] =
      Difference(Vector(simulation.data().site_xpos, target_), Vector(simulation.data().xpos, ball_));
  return std::abs(x) < free_x_ && std::abs(z) < free_z_ ? 1 : 0;
}

// All joints slide along x and z: positions are those of the model and qpos together.
TaskFunctions::Batched BallInCup::KnownReward(const Variant& variant) {
  MujocoSimulation simulation(Load(variant), kModel, kSubsteps, StepOrder::kDerivedIsCurrent);
  const BallInCup task(variant, simulation);
  simulation.Clear();
  const auto [x, y, z] =
      Difference(Vector(simulation.data().site_xpos, task.target_), Vector(simulation.data().xpos, task.ball_));
  return [task, x = x, z = z](const torch::Tensor&, const torch::Tensor&, const torch::Tensor& next_obs) {
    const torch::Tensor off_x = next_obs.select(1, 0) - next_obs.select(1, 2) + x;
    const torch::Tensor off_z = next_obs.select(1, 1) - next_obs.select(1, 3) + z;
    return off_x.abs().lt(task.free_x_).logical_and(off_z.abs().lt(task.free_z_)).to(next_obs.scalar_type());
  };
}

}  // namespace reverie::dm_control
