#include "reverie/env/mujoco/humanoid.h"

#include <mujoco/mujoco.h>

#include <utility>

#include "humanoid_obs.h"
#include "task_util.h"

namespace reverie {
namespace {

double MassCentreX(const MujocoSimulation& simulation) {
  const mjModel& model = simulation.model();
  const mjData& data = simulation.data();
  double moment = 0;
  double mass = 0;
  for (int64_t body = 0; body < model.nbody; ++body) {
    moment += model.body_mass[body] * data.xipos[3 * body];
    mass += model.body_mass[body];
  }
  return moment / mass;
}

}  // namespace

void Humanoid::Options::Visit(Fields& fields) {
  fields("xml_file", xml_file, kXmlFileDoc);
  fields("frame_skip", frame_skip, kFrameSkipDoc, AtLeast(1));
  fields("forward_reward_weight", forward_reward_weight, kForwardRewardDoc);
  fields("ctrl_cost_weight", ctrl_cost_weight, kCtrlCostDoc);
  fields("contact_cost_weight", contact_cost_weight, "weight of the squared contact forces");
  fields("contact_cost_range", contact_cost_range, "range that the weighted contact cost is clipped to");
  fields("healthy_reward", healthy_reward, kHealthyRewardDoc);
  fields("terminate_when_unhealthy", terminate_when_unhealthy, kTerminateDoc);
  fields("healthy_z_range", healthy_z_range, kHealthyZDoc);
  fields("reset_noise_scale", reset_noise_scale, kResetNoiseDoc, AtLeast(0));
  VisitHumanoidObs(*this, fields);
}

Humanoid::Humanoid(Options options, MujocoSimulation& simulation) : options_(std::move(options)) {
  simulation.RequireSize(3, kRootVelocities);
  obs_dim_ = HumanoidObsDim(options_, simulation);
  after_step_ = options_.include_cfrc_ext_in_observation || options_.contact_cost_weight != 0
                    ? AfterStep::kContactForces
                    : AfterStep::kNothing;
  simulation.Carry({simulation.data().xipos, 3 * static_cast<size_t>(simulation.model().nbody)});
}

void Humanoid::Perturb(RandomEngine& rng, std::span<double> qpos, std::span<double> qvel) const {
  AddUniformNoise(options_.reset_noise_scale, rng, qpos);
  AddUniformNoise(options_.reset_noise_scale, rng, qvel);
}

StepResult Humanoid::Step(MujocoSimulation& simulation, std::span<const double> action) const {
  const double x = MassCentreX(simulation);
  simulation.Advance(action, after_step_);
  const double speed = (MassCentreX(simulation) - x) / simulation.dt();
  const bool healthy = IsInside(simulation.qpos()[2], options_.healthy_z_range);
  return {.reward = options_.forward_reward_weight * speed + (healthy ? options_.healthy_reward : 0.0) -
                    options_.ctrl_cost_weight * SumOfSquares(action) -
                    ContactCost(simulation, options_.contact_cost_weight, options_.contact_cost_range),
          .terminated = !healthy && options_.terminate_when_unhealthy};
}

void Humanoid::Observe(const MujocoSimulation& simulation, std::span<double> obs) const {
  ObserveHumanoid(options_, simulation, obs);
}

TaskFunctions Humanoid::MakeTaskFunctions(const Options& options) {
  if (!options.terminate_when_unhealthy) {
    return {.terminated = NeverTerminated};
  }
  const int64_t z = options.exclude_current_positions_from_observation ? 0 : 2;
  return {.terminated = EndsUnhealthy([range = options.healthy_z_range, z](const torch::Tensor& next_obs) {
            return AllInside(next_obs.select(1, z), range);
          })};
}

}  // namespace reverie
