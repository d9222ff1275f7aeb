#include "reverie/env/mujoco/walker2d.h"

#include <utility>

#include "task_util.h"

namespace reverie {

void Walker2d::Options::Visit(Fields& fields) {
  fields("xml_file", xml_file, kXmlFileDoc);
  fields("frame_skip", frame_skip, kFrameSkipDoc, AtLeast(1));
  fields("forward_reward_weight", forward_reward_weight, kForwardRewardDoc);
  fields("ctrl_cost_weight", ctrl_cost_weight, kCtrlCostDoc);
  fields("healthy_reward", healthy_reward, kHealthyRewardDoc);
  fields("terminate_when_unhealthy", terminate_when_unhealthy, kTerminateDoc);
  fields("healthy_z_range", healthy_z_range, kHealthyZDoc);
  fields("healthy_angle_range", healthy_angle_range, "healthy pitch of the torso, rad");
  fields("reset_noise_scale", reset_noise_scale, kResetNoiseDoc, AtLeast(0));
  fields("exclude_current_positions_from_observation", exclude_current_positions_from_observation,
         "leave x out of the observation");
}

Walker2d::Walker2d(Options options, MujocoSimulation& simulation) : options_(std::move(options)) {
  simulation.RequireSize(3, 1);
  obs_dim_ = StateSize(simulation, options_.exclude_current_positions_from_observation ? 1 : 0);
}

void Walker2d::Perturb(RandomEngine& rng, std::span<double> qpos, std::span<double> qvel) const {
  AddUniformNoise(options_.reset_noise_scale, rng, qpos);
  AddUniformNoise(options_.reset_noise_scale, rng, qvel);
}

bool Walker2d::IsHealthy(const MujocoSimulation& simulation) const {
  return IsInside(simulation.qpos()[1], options_.healthy_z_range) &&
         IsInside(simulation.qpos()[2], options_.healthy_angle_range);
}

StepResult Walker2d::Step(MujocoSimulation& simulation, std::span<const double> action) const {
  const double speed = AdvanceAlongX(simulation, action);
  const bool healthy = IsHealthy(simulation);
  return {.reward = options_.forward_reward_weight * speed + (healthy ? options_.healthy_reward : 0.0) -
                    options_.ctrl_cost_weight * SumOfSquares(action),
          .terminated = !healthy && options_.terminate_when_unhealthy};
}

void Walker2d::Observe(const MujocoSimulation& simulation, std::span<double> obs) const {
  const size_t skip = options_.exclude_current_positions_from_observation ? 1 : 0;
  ObsWriter(obs).Add(simulation.qpos().subspan(skip)).AddClipped(simulation.qvel(), kObservedSpeeds);
}

TaskFunctions Walker2d::MakeTaskFunctions(const Options& options) {
  const int64_t z = options.exclude_current_positions_from_observation ? 0 : 1;
  const auto healthy = [options, z](const torch::Tensor& next_obs) {
    return AllInside(next_obs.select(1, z), options.healthy_z_range)
        .logical_and(AllInside(next_obs.select(1, z + 1), options.healthy_angle_range));
  };
  TaskFunctions functions{.terminated = NeverTerminated};
  if (options.terminate_when_unhealthy) {
    functions.terminated = EndsUnhealthy(healthy);
  }
  if (z == 1) {
    const double dt = MujocoStepSeconds(options.xml_file, options.frame_skip);
    functions.reward = [options, healthy, dt](const torch::Tensor& obs, const torch::Tensor& action,
                                              const torch::Tensor& next_obs) {
      return options.forward_reward_weight * SpeedAlongX(obs, next_obs, dt) +
             options.healthy_reward * healthy(next_obs).to(next_obs.scalar_type()) -
             options.ctrl_cost_weight * action.square().sum(1);
    };
  }
  return functions;
}

}  // namespace reverie
