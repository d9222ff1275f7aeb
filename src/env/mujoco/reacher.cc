#include "reverie/env/mujoco/reacher.h"

#include <cmath>
#include <random>
#include <utility>

#include "task_util.h"

namespace reverie {
namespace {

constexpr double kTargetRadius = 0.2;  // m
// Of the model, m: from the first joint to the second, and from there to the fingertip.
constexpr double kUpperArm = 0.1;
constexpr double kForearm = 0.11;
constexpr double kRounding = 0.01;  // m, of the distance's tip

// Of the state after the step, whose qpos are both joints and the target's place.
TaskFunctions::Batched StateCost(const Reacher::Options& options) {
  return [options](const torch::Tensor&, const torch::Tensor& action, const torch::Tensor& next) {
    const torch::Tensor first = next.select(1, 0);
    const torch::Tensor both = first + next.select(1, 1);
    const torch::Tensor x = kUpperArm * first.cos() + kForearm * both.cos() - next.select(1, 2);
    const torch::Tensor y = kUpperArm * first.sin() + kForearm * both.sin() - next.select(1, 3);
    const torch::Tensor distance = (x.square() + y.square() + kRounding * kRounding).sqrt() - kRounding;
    return options.reward_dist_weight * distance + options.reward_control_weight * action.square().sum(1);
  };
}

}  // namespace

void Reacher::Options::Visit(Fields& fields) {
  fields("xml_file", xml_file, kXmlFileDoc);
  fields("frame_skip", frame_skip, kFrameSkipDoc, AtLeast(1));
  fields("reward_dist_weight", reward_dist_weight, "weight of the distance to the target");
  fields("reward_control_weight", reward_control_weight, kCtrlCostDoc);
}

Reacher::Reacher(Options options, MujocoSimulation& simulation)
    : options_(std::move(options)),
      fingertip_(simulation.BodyIndex("fingertip")),
      target_(simulation.BodyIndex("target")) {
  simulation.RequireSize(4, 4);
  obs_dim_ = static_cast<int64_t>(simulation.qpos().size()) + 6;
}

void Reacher::Perturb(RandomEngine& rng, std::span<double> qpos, std::span<double> qvel) const {
  AddUniformNoise(0.1, rng, qpos);
  std::uniform_real_distribution<double> coordinate(-kTargetRadius, kTargetRadius);
  double x = 0;
  double y = 0;
  do {
    x = coordinate(rng);
    y = coordinate(rng);
  } while (std::hypot(x, y) >= kTargetRadius);
  qpos[qpos.size() - 2] = x;
  qpos[qpos.size() - 1] = y;
  AddUniformNoise(0.005, rng, qvel.first(qvel.size() - 2));
}

StepResult Reacher::Step(MujocoSimulation& simulation, std::span<const double> action) const {
  simulation.Advance(action);
  const std::span<const double> fingertip = simulation.BodyPosition(fingertip_);
  const std::span<const double> target = simulation.BodyPosition(target_);
  const double distance = std::hypot(fingertip[0] - target[0], fingertip[1] - target[1], fingertip[2] - target[2]);
  return {.reward = -options_.reward_dist_weight * distance - options_.reward_control_weight * SumOfSquares(action)};
}

void Reacher::Observe(const MujocoSimulation& simulation, std::span<double> obs) const {
  const std::span<const double> qpos = simulation.qpos();
  const std::span<const double> fingertip = simulation.BodyPosition(fingertip_);
  const std::span<const double> target = simulation.BodyPosition(target_);
  ObsWriter(obs)
      .Add(std::cos(qpos[0]))
      .Add(std::cos(qpos[1]))
      .Add(std::sin(qpos[0]))
      .Add(std::sin(qpos[1]))
      .Add(qpos.subspan(2))
      .Add(simulation.qvel().first(2))
      .Add(fingertip[0] - target[0])
      .Add(fingertip[1] - target[1]);
}

TaskFunctions Reacher::MakeTaskFunctions(const Options& options) {
  return {.reward =
              [options](const torch::Tensor&, const torch::Tensor& action, const torch::Tensor& next_obs) {
                const torch::Tensor distance = next_obs.slice(1, next_obs.size(1) - 2).norm(2, 1);
                return -options.reward_dist_weight * distance - options.reward_control_weight * action.square().sum(1);
              },
          .terminated = NeverTerminated,
          .state_cost = options.xml_file == Options().xml_file ? StateCost(options) : TaskFunctions::Batched()};
}

}  // namespace reverie
