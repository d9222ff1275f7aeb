#include "reverie/env/mujoco/half_cheetah.h"

#include <utility>

#include "task_util.h"

namespace reverie {

void HalfCheetah::Options::Visit(Fields& fields) {
  fields("xml_file", xml_file, kXmlFileDoc);
  fields("frame_skip", frame_skip, kFrameSkipDoc, AtLeast(1));
  fields("forward_reward_weight", forward_reward_weight, kForwardRewardDoc);
  fields("ctrl_cost_weight", ctrl_cost_weight, kCtrlCostDoc);
  fields("reset_noise_scale", reset_noise_scale, kResetNoiseDoc, AtLeast(0));
  fields("exclude_current_positions_from_observation", exclude_current_positions_from_observation,
         "leave x out of the observation");
}

HalfCheetah::HalfCheetah(Options options, MujocoSimulation& simulation) : options_(std::move(options)) {
  simulation.RequireSize(1, 1);
  obs_dim_ = StateSize(simulation, options_.exclude_current_positions_from_observation ? 1 : 0);
}

void HalfCheetah::Perturb(RandomEngine& rng, std::span<double> qpos, std::span<double> qvel) const {
  AddUniformNoise(options_.reset_noise_scale, rng, qpos);
  AddNormalNoise(options_.reset_noise_scale, rng, qvel);
}

StepResult HalfCheetah::Step(MujocoSimulation& simulation, std::span<const double> action) const {
  const double speed = AdvanceAlongX(simulation, action);
  return {.reward = options_.forward_reward_weight * speed - options_.ctrl_cost_weight * SumOfSquares(action)};
}

void HalfCheetah::Observe(const MujocoSimulation& simulation, std::span<double> obs) const {
  const size_t skip = options_.exclude_current_positions_from_observation ? 1 : 0;
  ObsWriter(obs).Add(simulation.qpos().subspan(skip)).Add(simulation.qvel());
}

TaskFunctions HalfCheetah::MakeTaskFunctions(const Options& options) {
  TaskFunctions functions{.terminated = NeverTerminated};
  if (!options.exclude_current_positions_from_observation) {
    const double dt = MujocoStepSeconds(options.xml_file, options.frame_skip);
    functions.reward = [options, dt](const torch::Tensor& obs, const torch::Tensor& action,
                                     const torch::Tensor& next_obs) {
      return options.forward_reward_weight * SpeedAlongX(obs, next_obs, dt) -
             options.ctrl_cost_weight * action.square().sum(1);
    };
  }
  return functions;
}

}  // namespace reverie
