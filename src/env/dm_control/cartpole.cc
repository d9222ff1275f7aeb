#include "reverie/env/dm_control/cartpole.h"

#include <numbers>

#include "suite_util.h"

namespace reverie::dm_control {
namespace {

constexpr Tolerance kCentredCart{.margin = 2};
constexpr Tolerance kStillPole{.margin = 5};
constexpr Tolerance kCartInReach{.lower = -0.25, .upper = 0.25};
constexpr Tolerance kUprightPole{.lower = 0.995, .upper = 1};

// Number: double or torch::Tensor. The cosine of a pole upright may be above 1 by rounding, in dm_control as here.
template <class Number>
Number CartpoleReward(bool sparse, const Number& x, const Number& cosine, const Number& speed,
                      const Number& small_control) {
  if (sparse) {
    return kCartInReach(x) * kUprightPole(cosine);
  }
  return (cosine + 1) / 2 * small_control * ((1 + kStillPole(speed)) / 2) * ((1 + kCentredCart(x)) / 2);
}

}  // namespace

Cartpole::Cartpole(const Variant& variant, MujocoSimulation& simulation)
    : variant_(variant), pole_(simulation.BodyIndex("pole_1")) {}

void Cartpole::DrawStart(RandomEngine& rng, MujocoSimulation& simulation) const {
  const std::span<double> qpos = simulation.qpos_to_draw();
  if (variant_.swing_up) {
    qpos[0] = 0.01 * DrawNormal(rng);
    qpos[1] = std::numbers::pi + 0.01 * DrawNormal(rng);
  } else {
    qpos[0] = DrawUniform(-0.1, 0.1, rng);
    qpos[1] = DrawUniform(-0.034, 0.034, rng);
  }
  for (double& speed : simulation.qvel_to_draw()) {
    speed = 0.01 * DrawNormal(rng);
  }
}

void Cartpole::Observe(const MujocoSimulation& simulation, std::span<double> obs) const {
  ObsWriter(obs)
      .Add(simulation.qpos()[0])
      .Add(BodyAxis(simulation, pole_, kZz))
      .Add(BodyAxis(simulation, pole_, kXz))
      .Add(simulation.qvel());
}

double Cartpole::Reward(const MujocoSimulation& simulation) const {
  return CartpoleReward(variant_.sparse, simulation.qpos()[0], BodyAxis(simulation, pole_, kZz), simulation.qvel()[1],
                        SmallControl(simulation.ctrl()));
}

TaskFunctions::Batched Cartpole::KnownReward(const Variant& variant) {
  return [variant](const torch::Tensor&, const torch::Tensor& action, const torch::Tensor& next_obs) {
    const auto column = [&](int64_t i) { return next_obs.select(1, i); };
    return CartpoleReward(variant.sparse, column(0), ImaginedCosine(column(1)), column(4), SmallControl(action));
  };
}

}  // namespace reverie::dm_control
