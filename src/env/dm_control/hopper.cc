#include "reverie/env/dm_control/hopper.h"

#include <cmath>

#include "suite_util.h"

namespace reverie::dm_control {
namespace {

constexpr Tolerance kStandingHopper{.lower = 0.6, .upper = 2};
constexpr Tolerance kHoppingHopper{
    .lower = 2, .upper = kNoBound, .margin = 1, .sigmoid = Sigmoid::kLinear, .value_at_margin = 0.5};

}  // namespace

Hopper::Hopper(const Variant& variant, MujocoSimulation& simulation)
    : variant_(variant),
      torso_(simulation.BodyIndex("torso")),
      foot_(simulation.BodyIndex("foot")),
      velocity_(SensorAt(simulation, "torso_subtreelinvel")),
      toe_(SensorAt(simulation, "touch_toe")),
      heel_(SensorAt(simulation, "touch_heel")) {}

void Hopper::DrawStart(RandomEngine& rng, MujocoSimulation& simulation) const { DrawJoints(rng, simulation); }

void Hopper::Observe(const MujocoSimulation& simulation, std::span<double> obs) const {
  const double* sensors = simulation.data().sensordata;
  ObsWriter(obs)
      .Add(simulation.qpos().subspan(1))
      .Add(simulation.qvel())
      .Add(std::log1p(sensors[toe_]))
      .Add(std::log1p(sensors[heel_]));
}

double Hopper::Reward(const MujocoSimulation& simulation) const {
  const mjData& data = simulation.data();
  const double standing = kStandingHopper(data.xipos[3 * torso_ + 2] - data.xipos[3 * foot_ + 2]);
  return standing * (variant_.hop ? kHoppingHopper(data.sensordata[velocity_]) : SmallControl(simulation.ctrl()));
}

// A chain of bodies that turn about y: each lies at its place in the frame of the one before, turned by the sum of the
// angles so far.
TaskFunctions::Batched Hopper::KnownReward(const Variant& variant) {
  if (variant.hop) {
    return {};
  }
  MujocoSimulation simulation(Load(variant), kModel, kSubsteps, StepOrder::kDerivedIsCurrent);
  const Hopper task(variant, simulation);
  const mjModel& model = simulation.model();
  struct Place {
    double x, z;
  };
  const auto place = [](const double* array, int64_t body) { return Place{array[3 * body], array[3 * body + 2]}; };
  const Place torso = place(model.body_ipos, task.torso_);
  std::vector<Place> chain;  // from the torso's frame on
  for (int64_t body = task.torso_ + 1; body <= task.foot_; ++body) {
    chain.push_back(place(model.body_pos, body));
  }
  chain.push_back(place(model.body_ipos, task.foot_));
  return [torso, chain](const torch::Tensor&, const torch::Tensor& action, const torch::Tensor& next_obs) {
    const auto height_of = [](const Place& at, const torch::Tensor& angle) {
      return at.z * angle.cos() - at.x * angle.sin();
    };
    torch::Tensor angle = next_obs.select(1, 1);
    torch::Tensor height = height_of(torso, angle);
    for (size_t i = 0; i < chain.size(); ++i) {
      height = height - height_of(chain[i], angle);
      if (i + 1 < chain.size()) {
        angle = angle + next_obs.select(1, 2 + static_cast<int64_t>(i));
      }
    }
    return kStandingHopper(height) * SmallControl(action);
  };
}

}  // namespace reverie::dm_control
