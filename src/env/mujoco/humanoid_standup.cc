#include "reverie/env/mujoco/humanoid_standup.h"

#include <mujoco/mujoco.h>

#include <mutex>
#include <utility>

#include "humanoid_obs.h"
#include "reverie/core/log.h"
#include "task_util.h"

namespace reverie {

void HumanoidStandup::Options::Visit(Fields& fields) {
  fields("xml_file", xml_file, kXmlFileDoc);
  fields("frame_skip", frame_skip, kFrameSkipDoc, AtLeast(1));
  fields("uph_cost_weight", uph_cost_weight, "without effect, as in Gymnasium");
  fields("ctrl_cost_weight", ctrl_cost_weight, kCtrlCostDoc);
  fields("impact_cost_weight", impact_cost_weight, "weight of the squared contact forces");
  fields("impact_cost_range", impact_cost_range, "range that the weighted contact cost is clipped to");
  fields("reset_noise_scale", reset_noise_scale, kResetNoiseDoc, AtLeast(0));
  VisitHumanoidObs(*this, fields);
}

HumanoidStandup::HumanoidStandup(Options options, MujocoSimulation& simulation) : options_(std::move(options)) {
  static std::once_flag warned;
  if (options_.uph_cost_weight != 1) {
    std::call_once(warned, [] {
      LogWarning("uph_cost_weight has no effect: Gymnasium's HumanoidStandup-v5 ignores it, and so does this one.");
    });
  }
  simulation.RequireSize(3, kRootVelocities);
  obs_dim_ = HumanoidObsDim(options_, simulation);
  after_step_ = options_.include_cfrc_ext_in_observation || options_.impact_cost_weight != 0 ? AfterStep::kContactForces
                                                                                             : AfterStep::kNothing;
}

void HumanoidStandup::Perturb(RandomEngine& rng, std::span<double> qpos, std::span<double> qvel) const {
  AddUniformNoise(options_.reset_noise_scale, rng, qpos);
  AddUniformNoise(options_.reset_noise_scale, rng, qvel);
}

StepResult HumanoidStandup::Step(MujocoSimulation& simulation, std::span<const double> action) const {
  simulation.Advance(action, after_step_);
  const double height_reward = simulation.qpos()[2] / simulation.model().opt.timestep;
  return {.reward = height_reward - options_.ctrl_cost_weight * SumOfSquares(action) -
                    ContactCost(simulation, options_.impact_cost_weight, options_.impact_cost_range) + 1.0};
}

void HumanoidStandup::Observe(const MujocoSimulation& simulation, std::span<double> obs) const {
  ObserveHumanoid(options_, simulation, obs);
}

TaskFunctions HumanoidStandup::MakeTaskFunctions(const Options& options) {
  TaskFunctions functions{.terminated = NeverTerminated};
  if (!options.include_cfrc_ext_in_observation && options.impact_cost_weight != 0) {
    return functions;
  }
  const std::shared_ptr<const mjModel_> model = LoadMujocoModel(options.xml_file);
  const int64_t z = options.exclude_current_positions_from_observation ? 0 : 2;
  functions.reward = [options, z, timestep = model->opt.timestep, forces = 6 * (model->nbody - 1)](
                         const torch::Tensor&, const torch::Tensor& action, const torch::Tensor& next_obs) {
    torch::Tensor reward = next_obs.select(1, z) / timestep - options.ctrl_cost_weight * action.square().sum(1) + 1.0;
    if (options.impact_cost_weight == 0) {
      return reward - Clip(0.0, options.impact_cost_range);
    }
    const torch::Tensor squared_forces = next_obs.slice(1, next_obs.size(1) - forces).square().sum(1);
    return reward - (options.impact_cost_weight * squared_forces)
                        .clamp(options.impact_cost_range[0], options.impact_cost_range[1]);
  };
  return functions;
}

}  // namespace reverie
