#include "reverie/env/dm_control/pendulum.h"

#include <cmath>
#include <numbers>

#include "suite_util.h"

namespace reverie::dm_control {
namespace {

// Up to a rounding above 1, as in dm_control.
Tolerance PendulumUpright() { return {.lower = std::cos(8 * std::numbers::pi / 180), .upper = 1}; }

}  // namespace

Pendulum::Pendulum(const Variant&, MujocoSimulation& simulation) : pole_(simulation.BodyIndex("pole")) {}

void Pendulum::DrawStart(RandomEngine& rng, MujocoSimulation& simulation) const {
  simulation.qpos_to_draw()[0] = DrawUniform(-std::numbers::pi, std::numbers::pi, rng);
}

void Pendulum::Observe(const MujocoSimulation& simulation, std::span<double> obs) const {
  ObsWriter(obs).Add(BodyAxis(simulation, pole_, kZz)).Add(BodyAxis(simulation, pole_, kXz)).Add(simulation.qvel());
}

double Pendulum::Reward(const MujocoSimulation& simulation) const {
  return PendulumUpright()(BodyAxis(simulation, pole_, kZz));
}

TaskFunctions::Batched Pendulum::KnownReward(const Variant&) {
  return [upright = PendulumUpright()](const torch::Tensor&, const torch::Tensor&, const torch::Tensor& next_obs) {
    return upright(ImaginedCosine(next_obs.select(1, 0)));
  };
}

}  // namespace reverie::dm_control
