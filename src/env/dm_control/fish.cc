#include "reverie/env/dm_control/fish.h"

#include "suite_util.h"

namespace reverie::dm_control {
namespace {

Tolerance FishAtTarget(const mjModel& model, int64_t mouth, int64_t target) {
  const double radii = model.geom_size[3 * mouth] + model.geom_size[3 * target];
  return {.upper = radii, .margin = 2 * radii};
}

}  // namespace

Fish::Fish(const Variant&, MujocoSimulation& simulation)
    : torso_(simulation.BodyIndex("torso")),
      mouth_(simulation.Index(mjOBJ_GEOM, "mouth")),
      target_(simulation.Index(mjOBJ_GEOM, "target")),
      target_position_(simulation.OwnModel().geom_pos + 3 * target_) {
  simulation.AddToState("target:x", target_position_[0]);
  simulation.AddToState("target:y", target_position_[1]);
  simulation.AddToState("target:z", target_position_[2]);
}

void Fish::DrawStart(RandomEngine& rng, MujocoSimulation& simulation) const {
  const std::span<double> qpos = simulation.qpos_to_draw();
  DrawOrientation(rng, qpos.subspan(3, 4));
  for (double& angle : qpos.subspan(7)) {
    angle = DrawUniform(-0.2, 0.2, rng);
  }
  target_position_[0] = DrawUniform(-0.4, 0.4, rng);
  target_position_[1] = DrawUniform(-0.4, 0.4, rng);
  target_position_[2] = DrawUniform(0.1, 0.3, rng);
}

std::array<double, 3> Fish::MouthToTarget(const MujocoSimulation& simulation) const {
  const mjData& data = simulation.data();
  return InFrame(Difference(Vector(data.geom_xpos, target_), Vector(data.geom_xpos, mouth_)),
                 data.geom_xmat + 9 * mouth_);
}

void Fish::Observe(const MujocoSimulation& simulation, std::span<double> obs) const {
  ObsWriter(obs)
      .Add(simulation.qpos().subspan(7))
      .Add(BodyAxis(simulation, torso_, kZz))
      .Add(MouthToTarget(simulation))
      .Add(simulation.qvel());
}

double Fish::Reward(const MujocoSimulation& simulation) const {
  const Tolerance at_target = FishAtTarget(simulation.model(), mouth_, target_);
  return (7 * at_target(Norm(MouthToTarget(simulation))) + (BodyAxis(simulation, torso_, kZz) + 1) / 2) / 8;
}

TaskFunctions::Batched Fish::KnownReward(const Variant& variant) {
  MujocoSimulation simulation(Load(variant), kModel, kSubsteps, StepOrder::kDerivedIsCurrent);
  const Fish task(variant, simulation);
  return [at_target = FishAtTarget(simulation.model(), task.mouth_, task.target_)](
             const torch::Tensor&, const torch::Tensor&, const torch::Tensor& next_obs) {
    const torch::Tensor distance = next_obs.slice(1, 8, 11).norm(2, 1);
    return (7 * at_target(distance) + (ImaginedCosine(next_obs.select(1, 7)) + 1) / 2) / 8;
  };
}

}  // namespace reverie::dm_control
