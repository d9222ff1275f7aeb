#include "reverie/env/dm_control/cheetah.h"

#include "suite_util.h"

namespace reverie::dm_control {
namespace {

constexpr Tolerance kRunningCheetah{
    .lower = 10, .upper = kNoBound, .margin = 10, .sigmoid = Sigmoid::kLinear, .value_at_margin = 0};

}  // namespace

Cheetah::Cheetah(const Variant&, MujocoSimulation& simulation)
    : velocity_(SensorAt(simulation, "torso_subtreelinvel")) {}

void Cheetah::DrawStart(RandomEngine& rng, MujocoSimulation& simulation) const {
  const mjModel& model = simulation.model();
  for (int64_t joint = 0; joint < model.njnt; ++joint) {
    if (model.jnt_limited[joint]) {
      simulation.qpos_to_draw()[static_cast<size_t>(model.jnt_qposadr[joint])] =
          DrawUniform(model.jnt_range[2 * joint], model.jnt_range[2 * joint + 1], rng);
    }
  }
  simulation.Settle(200);  // its first half step is of the pose before, in dm_control too
}

void Cheetah::Observe(const MujocoSimulation& simulation, std::span<double> obs) const {
  ObsWriter(obs).Add(simulation.qpos().subspan(1)).Add(simulation.qvel());
}

double Cheetah::Reward(const MujocoSimulation& simulation) const {
  return kRunningCheetah(simulation.data().sensordata[velocity_]);
}

TaskFunctions::Batched Cheetah::KnownReward(const Variant&) { return {}; }

}  // namespace reverie::dm_control
