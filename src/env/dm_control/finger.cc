#include "reverie/env/dm_control/finger.h"

#include <cmath>
#include <numbers>

#include "suite_util.h"

namespace reverie::dm_control {
namespace {

constexpr double kSpinSpeed = 15;      // rad/s
constexpr double kSpinDamping = 0.03;  // N m s / rad

void Hide(mjsSite* site) { site->rgba[3] = 0; }

}  // namespace

std::shared_ptr<const mjModel_> Finger::Load(const Variant& variant) {
  if (variant.target_radius > 0) {
    return LoadModel(kModel);
  }
  return LoadModel(kModel, "spin", [](mjSpec& spec) {
    mjs_asJoint(Element(spec, mjOBJ_JOINT, "hinge"))->damping[0] = kSpinDamping;
    Hide(mjs_asSite(Element(spec, mjOBJ_SITE, "target")));
    Hide(mjs_asSite(Element(spec, mjOBJ_SITE, "tip")));
  });
}

Finger::Finger(const Variant& variant, MujocoSimulation& simulation)
    : turns_(variant.target_radius > 0),
      target_(simulation.Index(mjOBJ_SITE, "target")),
      proximal_(SensorAt(simulation, "proximal")),
      distal_(SensorAt(simulation, "distal")),
      proximal_velocity_(SensorAt(simulation, "proximal_velocity")),
      distal_velocity_(SensorAt(simulation, "distal_velocity")),
      hinge_velocity_(SensorAt(simulation, "hinge_velocity")),
      tip_at_(SensorAt(simulation, "tip")),
      target_at_(SensorAt(simulation, "target")),
      spinner_at_(SensorAt(simulation, "spinner")),
      touch_top_(SensorAt(simulation, "touchtop")),
      touch_bottom_(SensorAt(simulation, "touchbottom")) {
  if (turns_) {
    mjModel& model = simulation.OwnModel();
    model.site_size[3 * target_] = variant.target_radius;
    target_position_ = model.site_pos + 3 * target_;
    simulation.AddToState("target:x", target_position_[0]);
    simulation.AddToState("target:z", target_position_[2]);
  }
}

void Finger::DrawStart(RandomEngine& rng, MujocoSimulation& simulation) const {
  if (turns_) {
    const mjModel& model = simulation.model();
    const auto hinge = Vector(simulation.data().xanchor, simulation.Index(mjOBJ_JOINT, "hinge"));
    const auto cap = Vector(model.geom_size, simulation.Index(mjOBJ_GEOM, "cap1"));
    const double radius = cap[0] + cap[1] + cap[2];
    const double angle = DrawUniform(-std::numbers::pi, std::numbers::pi, rng);
    target_position_[0] = hinge[0] + radius * std::sin(angle);
    target_position_[2] = hinge[2] + radius * std::cos(angle);
  }
  DrawWithoutContact(simulation, [&] { DrawJoints(rng, simulation); });
}

double Finger::DistanceToTarget(const MujocoSimulation& simulation) const {
  const double* sensors = simulation.data().sensordata;
  return std::hypot(sensors[target_at_] - sensors[tip_at_], sensors[target_at_ + 2] - sensors[tip_at_ + 2]) -
         simulation.model().site_size[3 * target_];
}

void Finger::Observe(const MujocoSimulation& simulation, std::span<double> obs) const {
  const double* sensors = simulation.data().sensordata;
  ObsWriter writer(obs);
  writer.Add(sensors[proximal_])
      .Add(sensors[distal_])
      .Add(sensors[tip_at_] - sensors[spinner_at_])
      .Add(sensors[tip_at_ + 2] - sensors[spinner_at_ + 2])
      .Add(sensors[proximal_velocity_])
      .Add(sensors[distal_velocity_])
      .Add(sensors[hinge_velocity_])
      .Add(std::log1p(sensors[touch_top_]))
      .Add(std::log1p(sensors[touch_bottom_]));
  if (turns_) {
    writer.Add(sensors[target_at_] - sensors[spinner_at_])
        .Add(sensors[target_at_ + 2] - sensors[spinner_at_ + 2])
        .Add(DistanceToTarget(simulation));
  }
}

double Finger::Reward(const MujocoSimulation& simulation) const {
  if (turns_) {
    return DistanceToTarget(simulation) <= 0 ? 1 : 0;
  }
  return simulation.data().sensordata[hinge_velocity_] <= -kSpinSpeed ? 1 : 0;
}

TaskFunctions::Batched Finger::KnownReward(const Variant& variant) {
  const int64_t column = variant.target_radius > 0 ? 11 : 6;
  const double limit = variant.target_radius > 0 ? 0 : -kSpinSpeed;
  return [column, limit](const torch::Tensor&, const torch::Tensor&, const torch::Tensor& next_obs) {
    return next_obs.select(1, column).le(limit).to(next_obs.scalar_type());
  };
}

}  // namespace reverie::dm_control
