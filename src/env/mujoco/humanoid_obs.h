// The observation that Humanoid and HumanoidStandup share.
#ifndef REVERIE_SRC_ENV_MUJOCO_HUMANOID_OBS_H_
#define REVERIE_SRC_ENV_MUJOCO_HUMANOID_OBS_H_

#include <mujoco/mujoco.h>

#include "reverie/config/fields.h"
#include "task_util.h"

namespace reverie {

// The actuators drive the joints after the root's six degrees of freedom.
inline constexpr int64_t kRootVelocities = 6;

template <class Options>
void VisitHumanoidObs(Options& options, Fields& fields) {
  fields("exclude_current_positions_from_observation", options.exclude_current_positions_from_observation,
         "leave x and y out of the observation");
  fields("include_cinert_in_observation", options.include_cinert_in_observation,
         "observe every body's mass and inertia about the centre of mass");
  fields("include_cvel_in_observation", options.include_cvel_in_observation, "observe every body's velocity");
  fields("include_qfrc_actuator_in_observation", options.include_qfrc_actuator_in_observation,
         "observe the actuators' forces");
  fields("include_cfrc_ext_in_observation", options.include_cfrc_ext_in_observation, "observe the contact forces");
}

template <class Options>
int64_t HumanoidObsDim(const Options& options, const MujocoSimulation& simulation) {
  const int64_t bodies = simulation.model().nbody - 1;
  return StateSize(simulation, options.exclude_current_positions_from_observation ? 2 : 0) +
         (options.include_cinert_in_observation ? 10 * bodies : 0) +
         (options.include_cvel_in_observation ? 6 * bodies : 0) +
         (options.include_qfrc_actuator_in_observation ? simulation.model().nv - kRootVelocities : 0) +
         (options.include_cfrc_ext_in_observation ? 6 * bodies : 0);
}

template <class Options>
void ObserveHumanoid(const Options& options, const MujocoSimulation& simulation, std::span<double> obs) {
  const mjData& data = simulation.data();
  const size_t bodies = static_cast<size_t>(simulation.model().nbody) - 1;
  ObsWriter writer(obs);
  writer.Add(simulation.qpos().subspan(options.exclude_current_positions_from_observation ? 2 : 0));
  writer.Add(simulation.qvel());
  // The world is the first body and is left out.
  if (options.include_cinert_in_observation) {
    writer.Add({data.cinert + 10, 10 * bodies});
  }
  if (options.include_cvel_in_observation) {
    writer.Add({data.cvel + 6, 6 * bodies});
  }
  if (options.include_qfrc_actuator_in_observation) {
    writer.Add({data.qfrc_actuator + kRootVelocities, simulation.qvel().size() - kRootVelocities});
  }
  if (options.include_cfrc_ext_in_observation) {
    writer.Add({data.cfrc_ext + 6, 6 * bodies});
  }
}

// weight |contact forces|^2, clipped.
inline double ContactCost(const MujocoSimulation& simulation, double weight, const std::array<double, 2>& range) {
  const size_t size = 6 * static_cast<size_t>(simulation.model().nbody);
  return Clip(weight == 0 ? 0.0 : weight * SumOfSquares({simulation.data().cfrc_ext, size}), range);
}

}  // namespace reverie

#endif  // REVERIE_SRC_ENV_MUJOCO_HUMANOID_OBS_H_
