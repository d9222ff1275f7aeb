#include "reverie/env/dm_control/humanoid.h"

#include <cmath>

#include "suite_util.h"

namespace reverie::dm_control {
namespace {

constexpr Tolerance kHumanoidHead{.lower = 1.4, .upper = kNoBound, .margin = 0.35};
constexpr Tolerance kHumanoidUpright{
    .lower = 0.9, .upper = kNoBound, .margin = 1.9, .sigmoid = Sigmoid::kLinear, .value_at_margin = 0};
constexpr Tolerance kHumanoidStill{.margin = 2};

Tolerance HumanoidMoves(double speed) {
  return {.lower = speed, .upper = kNoBound, .margin = speed, .sigmoid = Sigmoid::kLinear, .value_at_margin = 0};
}

}  // namespace

Humanoid::Humanoid(const Variant& variant, MujocoSimulation& simulation)
    : variant_(variant),
      torso_(simulation.BodyIndex("torso")),
      head_(simulation.BodyIndex("head")),
      extremities_{simulation.BodyIndex("left_hand"), simulation.BodyIndex("left_foot"),
                   simulation.BodyIndex("right_hand"), simulation.BodyIndex("right_foot")},
      velocity_(SensorAt(simulation, "torso_subtreelinvel")) {}

void Humanoid::DrawStart(RandomEngine& rng, MujocoSimulation& simulation) const {
  DrawWithoutContact(simulation, [&] { DrawJoints(rng, simulation); });
}

void Humanoid::Observe(const MujocoSimulation& simulation, std::span<double> obs) const {
  const mjData& data = simulation.data();
  ObsWriter writer(obs);
  writer.Add(simulation.qpos().subspan(7)).Add(data.xpos[3 * head_ + 2]);
  for (const int64_t body : extremities_) {
    writer.Add(InFrame(Difference(Vector(data.xpos, body), Vector(data.xpos, torso_)), data.xmat + 9 * torso_));
  }
  writer.Add(BodyAxis(simulation, torso_, kZx))
      .Add(BodyAxis(simulation, torso_, kZy))
      .Add(BodyAxis(simulation, torso_, kZz))
      .Add(std::span<const double>(data.sensordata + velocity_, 3))
      .Add(simulation.qvel());
}

double Humanoid::Reward(const MujocoSimulation& simulation) const {
  const mjData& data = simulation.data();
  const double standing = kHumanoidHead(data.xpos[3 * head_ + 2]) * kHumanoidUpright(BodyAxis(simulation, torso_, kZz));
  const double vx = data.sensordata[velocity_];
  const double vy = data.sensordata[velocity_ + 1];
  const double moving = variant_.speed > 0 ? (5 * HumanoidMoves(variant_.speed)(std::hypot(vx, vy)) + 1) / 6
                                           : (kHumanoidStill(vx) + kHumanoidStill(vy)) / 2;
  return SmallControl(simulation.ctrl()) * standing * moving;
}

TaskFunctions::Batched Humanoid::KnownReward(const Variant& variant) {
  return [speed = variant.speed](const torch::Tensor&, const torch::Tensor& action, const torch::Tensor& next_obs) {
    const torch::Tensor standing = kHumanoidHead(next_obs.select(1, 21)) * kHumanoidUpright(next_obs.select(1, 36));
    const torch::Tensor velocity = next_obs.slice(1, 37, 39);
    const torch::Tensor moving =
        speed > 0 ? (5 * HumanoidMoves(speed)(velocity.norm(2, 1)) + 1) / 6 : kHumanoidStill(velocity).mean(1);
    return SmallControl(action) * standing * moving;
  };
}

}  // namespace reverie::dm_control
