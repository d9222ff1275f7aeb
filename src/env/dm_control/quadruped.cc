#include "reverie/env/dm_control/quadruped.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "reverie/core/text.h"
#include "suite_util.h"

namespace reverie::dm_control {
namespace {

constexpr double kEpisodeSeconds = 20;
constexpr int64_t kToeReadings = 24;
constexpr Tolerance kQuadrupedUpright{
    .lower = 1, .upper = kNoBound, .margin = 2, .sigmoid = Sigmoid::kLinear, .value_at_margin = 0};

Tolerance QuadrupedMoves(double speed) {
  return {.lower = speed, .upper = kNoBound, .margin = speed, .sigmoid = Sigmoid::kLinear, .value_at_margin = 0.5};
}

void Remove(mjSpec& spec, mjsElement* element) {
  if (mjs_delete(&spec, element) != 0) {
    throw std::runtime_error(std::string(Quadruped::kModel) + ": MuJoCo: " + mjs_getError(&spec));
  }
}

}  // namespace

std::shared_ptr<const mjModel_> Quadruped::Load(const Variant& variant) {
  const double half_size = kEpisodeSeconds * variant.speed;
  return LoadModel(kModel, Text("floor ", half_size), [half_size](mjSpec& spec) {
    mjsGeom* floor = mjs_asGeom(Element(spec, mjOBJ_GEOM, "floor"));
    floor->size[0] = half_size;
    floor->size[1] = half_size;
    for (const char* geom : {"wall_px", "wall_py", "wall_nx", "wall_ny", "terrain"}) {
      Remove(spec, Element(spec, mjOBJ_GEOM, geom));
    }
    Remove(spec, Element(spec, mjOBJ_BODY, "ball"));
    Remove(spec, Element(spec, mjOBJ_SITE, "target"));
    for (mjsElement* sensor = mjs_firstElement(&spec, mjOBJ_SENSOR); sensor != nullptr;) {
      mjsElement* next = mjs_nextElement(&spec, sensor);
      if (mjs_asSensor(sensor)->type == mjSENS_RANGEFINDER) {
        Remove(spec, sensor);
      }
      sensor = next;
    }
  });
}

Quadruped::Quadruped(const Variant& variant, MujocoSimulation& simulation)
    : variant_(variant),
      torso_(simulation.BodyIndex("torso")),
      velocimeter_(SensorAt(simulation, "velocimeter")),
      accelerometer_(SensorAt(simulation, "imu_accel")),
      gyro_(SensorAt(simulation, "imu_gyro")),
      toes_(SensorAt(simulation, "force_toe_front_left")) {}

void Quadruped::DrawStart(RandomEngine& rng, MujocoSimulation& simulation) const {
  std::array<double, 4> orientation{};
  DrawOrientation(rng, orientation);
  double z = 0;
  DrawWithoutContact(simulation, [&] {
    simulation.Clear();
    const std::span<double> root = simulation.qpos_to_draw();
    root[0] = 0;
    root[1] = 0;
    root[2] = z;
    std::copy(orientation.begin(), orientation.end(), root.begin() + 3);
    z += 0.01;
  });
}

void Quadruped::Observe(const MujocoSimulation& simulation, std::span<double> obs) const {
  const mjData& data = simulation.data();
  const auto sensor = [&data](int64_t at) { return std::span<const double>(data.sensordata + at, 3); };
  ObsWriter writer(obs);
  writer.Add(simulation.qpos().subspan(7))
      .Add(simulation.qvel().subspan(6))
      .Add(std::span<const double>(data.act, static_cast<size_t>(simulation.model().na)))
      .Add(sensor(velocimeter_))
      .Add(BodyAxis(simulation, torso_, kZz))
      .Add(sensor(accelerometer_))
      .Add(sensor(gyro_));
  for (int64_t i = 0; i < kToeReadings; ++i) {
    writer.Add(std::asinh(data.sensordata[toes_ + i]));
  }
}

double Quadruped::Reward(const MujocoSimulation& simulation) const {
  return kQuadrupedUpright(BodyAxis(simulation, torso_, kZz)) *
         QuadrupedMoves(variant_.speed)(simulation.data().sensordata[velocimeter_]);
}

TaskFunctions::Batched Quadruped::KnownReward(const Variant& variant) {
  return [moves = QuadrupedMoves(variant.speed)](const torch::Tensor&, const torch::Tensor&,
                                                 const torch::Tensor& next_obs) {
    return kQuadrupedUpright(next_obs.select(1, 47)) * moves(next_obs.select(1, 44));
  };
}

}  // namespace reverie::dm_control
