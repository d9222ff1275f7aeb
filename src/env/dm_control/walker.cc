#include "reverie/env/dm_control/walker.h"

#include "suite_util.h"

namespace reverie::dm_control {
namespace {

constexpr int64_t kBodies = 7;
constexpr Tolerance kStandingWalker{.lower = 1.2, .upper = kNoBound, .margin = 0.6};

Tolerance WalkerMoves(double speed) {
  return {.lower = speed, .upper = kNoBound, .margin = speed / 2, .sigmoid = Sigmoid::kLinear, .value_at_margin = 0.5};
}

// Number: double or torch::Tensor.
template <class Number>
Number WalkerStands(const Number& z, const Number& up) {
  return (3 * kStandingWalker(z) + (1 + up) / 2) / 4;
}

}  // namespace

Walker::Walker(const Variant& variant, MujocoSimulation& simulation)
    : variant_(variant),
      torso_(simulation.BodyIndex("torso")),
      velocity_(SensorAt(simulation, "torso_subtreelinvel")) {}

void Walker::DrawStart(RandomEngine& rng, MujocoSimulation& simulation) const { DrawJoints(rng, simulation); }

void Walker::Observe(const MujocoSimulation& simulation, std::span<double> obs) const {
  ObsWriter writer(obs);
  for (int64_t body = 1; body <= kBodies; ++body) {
    writer.Add(BodyAxis(simulation, body, kXx)).Add(BodyAxis(simulation, body, kXz));
  }
  writer.Add(simulation.BodyPosition(torso_)[2]).Add(simulation.qvel());
}

double Walker::Reward(const MujocoSimulation& simulation) const {
  const double stands = WalkerStands(simulation.BodyPosition(torso_)[2], BodyAxis(simulation, torso_, kZz));
  if (variant_.speed == 0) {
    return stands;
  }
  return stands * (5 * WalkerMoves(variant_.speed)(simulation.data().sensordata[velocity_]) + 1) / 6;
}

// In the plane the x component of the torso's x axis, the first of the observation, is the z component of its z axis.
TaskFunctions::Batched Walker::KnownReward(const Variant& variant) {
  if (variant.speed > 0) {
    return {};
  }
  return [](const torch::Tensor&, const torch::Tensor&, const torch::Tensor& next_obs) {
    return WalkerStands(next_obs.select(1, 14), ImaginedCosine(next_obs.select(1, 0)));
  };
}

}  // namespace reverie::dm_control
