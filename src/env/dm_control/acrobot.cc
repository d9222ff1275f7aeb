#include "reverie/env/dm_control/acrobot.h"

#include <numbers>

#include "suite_util.h"

namespace reverie::dm_control {
namespace {

Tolerance AcrobotReward(const mjModel& model, int64_t target, bool sparse) {
  return {.upper = model.site_size[3 * target], .margin = sparse ? 0.0 : 1.0};
}

}  // namespace

Acrobot::Acrobot(const Variant& variant, MujocoSimulation& simulation)
    : variant_(variant),
      upper_(simulation.BodyIndex("upper_arm")),
      lower_(simulation.BodyIndex("lower_arm")),
      tip_(simulation.Index(mjOBJ_SITE, "tip")),
      target_(simulation.Index(mjOBJ_SITE, "target")) {}

void Acrobot::DrawStart(RandomEngine& rng, MujocoSimulation& simulation) const {
  for (double& angle : simulation.qpos_to_draw()) {
    angle = DrawUniform(-std::numbers::pi, std::numbers::pi, rng);
  }
}

void Acrobot::Observe(const MujocoSimulation& simulation, std::span<double> obs) const {
  ObsWriter(obs)
      .Add(BodyAxis(simulation, upper_, kXz))
      .Add(BodyAxis(simulation, lower_, kXz))
      .Add(BodyAxis(simulation, upper_, kZz))
      .Add(BodyAxis(simulation, lower_, kZz))
      .Add(simulation.qvel());
}

double Acrobot::Reward(const MujocoSimulation& simulation) const {
  const double* sites = simulation.data().site_xpos;
  return AcrobotReward(simulation.model(), target_,
                       variant_.sparse)(Norm(Difference(Vector(sites, target_), Vector(sites, tip_))));
}

// The lower arm and the tip lie on the z axes of the arms before them, in the plane of x and z.
TaskFunctions::Batched Acrobot::KnownReward(const Variant& variant) {
  MujocoSimulation simulation(Load(variant), kModel, kSubsteps, StepOrder::kDerivedIsCurrent);
  const Acrobot task(variant, simulation);
  const mjModel& model = simulation.model();
  const double upper = model.body_pos[3 * task.lower_ + 2];
  const double lower = model.site_pos[3 * task.tip_ + 2];
  const double height = model.site_pos[3 * task.target_ + 2] - model.body_pos[3 * task.upper_ + 2];
  const Tolerance near = AcrobotReward(model, task.target_, variant.sparse);
  return [=](const torch::Tensor&, const torch::Tensor&, const torch::Tensor& next_obs) {
    const torch::Tensor x = upper * next_obs.select(1, 0) + lower * next_obs.select(1, 1);
    const torch::Tensor z = upper * next_obs.select(1, 2) + lower * next_obs.select(1, 3) - height;
    return near(at::stack({x, z}, 1).norm(2, 1));
  };
}

}  // namespace reverie::dm_control
