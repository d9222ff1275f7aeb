#include "reverie/env/mujoco/ant.h"

#include <mujoco/mujoco.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "task_util.h"

namespace reverie {
namespace {

std::span<const double> ContactForces(const MujocoSimulation& simulation) {
  return {simulation.data().cfrc_ext, 6 * static_cast<size_t>(simulation.model().nbody)};
}

int64_t FindBody(const std::string& name_or_index, const MujocoSimulation& simulation) {
  const bool is_index =
      !name_or_index.empty() && name_or_index.size() < 10 &&
      std::all_of(name_or_index.begin(), name_or_index.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!is_index) {
    return simulation.BodyIndex(name_or_index);
  }
  const int64_t index = std::stoll(name_or_index);
  if (index >= simulation.model().nbody) {
    throw std::invalid_argument("main_body: " + name_or_index + ": expected a body's name or an index below " +
                                std::to_string(simulation.model().nbody));
  }
  return index;
}

}  // namespace

void Ant::Options::Visit(Fields& fields) {
  fields("xml_file", xml_file, kXmlFileDoc);
  fields("frame_skip", frame_skip, kFrameSkipDoc, AtLeast(1));
  fields("forward_reward_weight", forward_reward_weight, kForwardRewardDoc);
  fields("ctrl_cost_weight", ctrl_cost_weight, kCtrlCostDoc);
  fields("contact_cost_weight", contact_cost_weight, "weight of the squared contact forces");
  fields("healthy_reward", healthy_reward, kHealthyRewardDoc);
  fields("main_body", main_body, "name or index of the body whose speed is rewarded");
  fields("terminate_when_unhealthy", terminate_when_unhealthy, kTerminateDoc);
  fields("healthy_z_range", healthy_z_range, kHealthyZDoc);
  fields("contact_force_range", contact_force_range, "range that contact forces are clipped to, N and N m");
  fields("reset_noise_scale", reset_noise_scale, kResetNoiseDoc, AtLeast(0));
  fields("exclude_current_positions_from_observation", exclude_current_positions_from_observation,
         "leave x and y out of the observation");
  fields("include_cfrc_ext_in_observation", include_cfrc_ext_in_observation, "observe the clipped contact forces");
}

Ant::Ant(Options options, MujocoSimulation& simulation)
    : options_(std::move(options)), main_body_(FindBody(options_.main_body, simulation)) {
  simulation.RequireSize(3, 1);
  obs_dim_ = StateSize(simulation, options_.exclude_current_positions_from_observation ? 2 : 0);
  if (options_.include_cfrc_ext_in_observation) {
    obs_dim_ += 6 * (simulation.model().nbody - 1);
  }
  after_step_ = options_.include_cfrc_ext_in_observation || options_.contact_cost_weight != 0
                    ? AfterStep::kContactForces
                    : AfterStep::kNothing;
  simulation.Carry(simulation.BodyPosition(main_body_));
}

void Ant::Perturb(RandomEngine& rng, std::span<double> qpos, std::span<double> qvel) const {
  AddUniformNoise(options_.reset_noise_scale, rng, qpos);
  AddNormalNoise(options_.reset_noise_scale, rng, qvel);
}

bool Ant::IsHealthy(const MujocoSimulation& simulation) const {
  return options_.healthy_z_range[0] <= simulation.qpos()[2] && simulation.qpos()[2] <= options_.healthy_z_range[1];
}

StepResult Ant::Step(MujocoSimulation& simulation, std::span<const double> action) const {
  const std::span<const double> position = simulation.BodyPosition(main_body_);
  const double x = position[0];
  simulation.Advance(action, after_step_);
  const double speed = (position[0] - x) / simulation.dt();
  const bool healthy = IsHealthy(simulation);
  double contact_cost = 0;
  if (options_.contact_cost_weight != 0) {
    for (const double force : ContactForces(simulation)) {
      const double clipped = Clip(force, options_.contact_force_range);
      contact_cost += clipped * clipped;
    }
    contact_cost *= options_.contact_cost_weight;
  }
  return {.reward = options_.forward_reward_weight * speed + (healthy ? options_.healthy_reward : 0.0) -
                    options_.ctrl_cost_weight * SumOfSquares(action) - contact_cost,
          .terminated = !healthy && options_.terminate_when_unhealthy};
}

void Ant::Observe(const MujocoSimulation& simulation, std::span<double> obs) const {
  const size_t skip = options_.exclude_current_positions_from_observation ? 2 : 0;
  ObsWriter writer(obs);
  writer.Add(simulation.qpos().subspan(skip)).Add(simulation.qvel());
  if (options_.include_cfrc_ext_in_observation) {
    writer.AddClipped(ContactForces(simulation).subspan(6), options_.contact_force_range);
  }
}

TaskFunctions Ant::MakeTaskFunctions(const Options& options) {
  if (!options.terminate_when_unhealthy) {
    return {.terminated = NeverTerminated};
  }
  const int64_t z = options.exclude_current_positions_from_observation ? 0 : 2;
  return {.terminated = [range = options.healthy_z_range, z](const torch::Tensor&, const torch::Tensor&,
                                                             const torch::Tensor& next_obs) {
    const torch::Tensor height = next_obs.select(1, z);
    return AndFinite(height.lt(range[0]).logical_or_(height.gt(range[1])), next_obs);
  }};
}

}  // namespace reverie
