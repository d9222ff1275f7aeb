#include "reverie/env/mujoco/pusher.h"

#include <cmath>
#include <random>
#include <utility>

#include "task_util.h"

namespace reverie {
namespace {

constexpr size_t kArmJoints = 7;

double Distance(std::span<const double> a, std::span<const double> b) {
  return std::hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
}

}  // namespace

void Pusher::Options::Visit(Fields& fields) {
  fields("xml_file", xml_file, kXmlFileDoc);
  fields("frame_skip", frame_skip, kFrameSkipDoc, AtLeast(1));
  fields("reward_near_weight", reward_near_weight, "weight of the distance from the arm's tip to the object");
  fields("reward_dist_weight", reward_dist_weight, "weight of the distance from the object to the goal");
  fields("reward_control_weight", reward_control_weight, kCtrlCostDoc);
}

Pusher::Pusher(Options options, MujocoSimulation& simulation)
    : options_(std::move(options)),
      obs_dim_(2 * kArmJoints + 9),
      tips_arm_(simulation.BodyIndex("tips_arm")),
      object_(simulation.BodyIndex("object")),
      goal_(simulation.BodyIndex("goal")) {
  simulation.RequireSize(kArmJoints + 4, kArmJoints + 4);
}

void Pusher::Perturb(RandomEngine& rng, std::span<double> qpos, std::span<double> qvel) const {
  std::uniform_real_distribution<double> first(-0.3, 0.0);
  std::uniform_real_distribution<double> second(-0.2, 0.2);
  const std::span<double> object = qpos.subspan(qpos.size() - 4, 2);
  do {
    object[0] = first(rng);
    object[1] = second(rng);
  } while (std::hypot(object[0], object[1]) <= 0.17);
  qpos[qpos.size() - 2] = 0;
  qpos[qpos.size() - 1] = 0;
  AddUniformNoise(0.005, rng, qvel.first(qvel.size() - 4));
}

StepResult Pusher::Step(MujocoSimulation& simulation, std::span<const double> action) const {
  simulation.Advance(action);
  const std::span<const double> object = simulation.BodyPosition(object_);
  return {.reward = -options_.reward_dist_weight * Distance(object, simulation.BodyPosition(goal_)) -
                    options_.reward_near_weight * Distance(object, simulation.BodyPosition(tips_arm_)) -
                    options_.reward_control_weight * SumOfSquares(action)};
}

void Pusher::Observe(const MujocoSimulation& simulation, std::span<double> obs) const {
  ObsWriter(obs)
      .Add(simulation.qpos().first(kArmJoints))
      .Add(simulation.qvel().first(kArmJoints))
      .Add(simulation.BodyPosition(tips_arm_))
      .Add(simulation.BodyPosition(object_))
      .Add(simulation.BodyPosition(goal_));
}

TaskFunctions Pusher::MakeTaskFunctions(const Options& options) {
  return {.reward =
              [options](const torch::Tensor&, const torch::Tensor& action, const torch::Tensor& next_obs) {
                constexpr int64_t kTip = 2 * kArmJoints;
                const torch::Tensor tip = next_obs.slice(1, kTip, kTip + 3);
                const torch::Tensor object = next_obs.slice(1, kTip + 3, kTip + 6);
                const torch::Tensor goal = next_obs.slice(1, kTip + 6, kTip + 9);
                return -options.reward_dist_weight * (object - goal).norm(2, 1) -
                       options.reward_near_weight * (object - tip).norm(2, 1) -
                       options.reward_control_weight * action.square().sum(1);
              },
          .terminated = NeverTerminated};
}

}  // namespace reverie
