// What several of dm_control's tasks need to draw, observe and judge states.
#ifndef REVERIE_SRC_ENV_DM_CONTROL_SUITE_UTIL_H_
#define REVERIE_SRC_ENV_DM_CONTROL_SUITE_UTIL_H_

#include <mujoco/mujoco.h>

#include <array>
#include <span>
#include <stdexcept>
#include <string>

#include "env/mujoco/task_util.h"
#include "reverie/core/rng.h"
#include "reverie/env/dm_control/dm_control_env.h"
#include "reverie/env/dm_control/tolerance.h"
#include "reverie/env/mujoco/simulation.h"

namespace reverie::dm_control {

// Elements of a 3x3 matrix in rows: kXz is the x component of the frame's z axis.
enum MatrixElement { kXx = 0, kXz = 2, kZx = 6, kZy = 7, kZz = 8 };

inline double BodyAxis(const MujocoSimulation& simulation, int64_t body, MatrixElement element) {
  return simulation.data().xmat[9 * body + element];
}

// The three numbers of object `index` in one of mjData's or mjModel's arrays.
inline std::span<const double> Vector(const double* array, int64_t index) { return {array + 3 * index, 3}; }

// `vector` seen from a frame whose axes are the columns of `matrix`, 3x3 in rows.
std::array<double, 3> InFrame(std::span<const double> vector, const double* matrix);

std::array<double, 3> Difference(std::span<const double> a, std::span<const double> b);
double Norm(std::span<const double> vector);

// Where the readings of the sensor of that name begin in mjData's sensordata.
int64_t SensorAt(const MujocoSimulation& simulation, const std::string& name);

// What a model's specification has under that name. Throws std::invalid_argument where there is nothing.
mjsElement* Element(const mjSpec& spec, mjtObj kind, const std::string& name);

double DrawUniform(double low, double high, RandomEngine& rng);
double DrawNormal(RandomEngine& rng);

// Uniform on the unit sphere of quaternions: [4].
void DrawOrientation(RandomEngine& rng, std::span<double> quaternion);

// Joints with limits: uniform in them. Hinges without: uniform in [-pi, pi). Free joints: an orientation whose four
// numbers are uniform in [0, 1) before they are normalised, as dm_control has it; their place is left.
// Throws std::logic_error for a ball joint, which none of the tasks here has.
void DrawJoints(RandomEngine& rng, MujocoSimulation& simulation);

// draw() until nothing touches. Throws std::runtime_error after a thousand attempts.
template <class Draw>
void DrawWithoutContact(MujocoSimulation& simulation, Draw draw) {
  for (int attempt = 0; attempt < 1000; ++attempt) {
    draw();
    simulation.Derive();
    if (simulation.data().ncon == 0) {
      return;
    }
  }
  throw std::runtime_error(simulation.name() + ": no start state without contacts in 1000 attempts");
}

// A cosine that a model imagined, which may lie outside [-1, 1], as the nearest that there is.
torch::Tensor ImaginedCosine(const torch::Tensor& cosine);

// (4 + mean_i T(ctrl_i)) / 5 with T quadratic, 0 at 1: 1 without control, 0.8 with all of it.
double SmallControl(std::span<const double> ctrl);
torch::Tensor SmallControl(const torch::Tensor& action);  // [B, act_dim] -> [B]

}  // namespace reverie::dm_control

#endif  // REVERIE_SRC_ENV_DM_CONTROL_SUITE_UTIL_H_
