#include "reverie/env/dm_control/reacher.h"

#include <cmath>
#include <numbers>

#include "suite_util.h"

namespace reverie::dm_control {

Reacher::Reacher(const Variant& variant, MujocoSimulation& simulation)
    : finger_(simulation.Index(mjOBJ_GEOM, "finger")), target_(simulation.Index(mjOBJ_GEOM, "target")) {
  mjModel& model = simulation.OwnModel();
  model.geom_size[3 * target_] = variant.target_radius;
  reach_ = variant.target_radius + model.geom_size[3 * finger_];
  target_position_ = model.geom_pos + 3 * target_;
  simulation.AddToState("target:x", target_position_[0]);
  simulation.AddToState("target:y", target_position_[1]);
}

void Reacher::DrawStart(RandomEngine& rng, MujocoSimulation& simulation) const {
  DrawJoints(rng, simulation);
  const double angle = DrawUniform(0, 2 * std::numbers::pi, rng);
  const double radius = DrawUniform(0.05, 0.2, rng);
  target_position_[0] = radius * std::sin(angle);
  target_position_[1] = radius * std::cos(angle);
}

void Reacher::Observe(const MujocoSimulation& simulation, std::span<double> obs) const {
  const double* geoms = simulation.data().geom_xpos;
  const auto [x, y, z] = Difference(Vector(geoms, target_), Vector(geoms, finger_));
  ObsWriter(obs).Add(simulation.qpos()).Add(x).Add(y).Add(simulation.qvel());
}

double Reacher::Reward(const MujocoSimulation& simulation) const {
  const double* geoms = simulation.data().geom_xpos;
  const auto [x, y, z] = Difference(Vector(geoms, target_), Vector(geoms, finger_));
  return std::hypot(x, y) <= reach_ ? 1 : 0;
}

TaskFunctions::Batched Reacher::KnownReward(const Variant& variant) {
  MujocoSimulation simulation(Load(variant), kModel, kSubsteps, StepOrder::kDerivedIsCurrent);
  return [reach = Reacher(variant, simulation).reach_](const torch::Tensor&, const torch::Tensor&,
                                                       const torch::Tensor& next_obs) {
    return next_obs.slice(1, 2, 4).norm(2, 1).le(reach).to(next_obs.scalar_type());
  };
}

}  // namespace reverie::dm_control
