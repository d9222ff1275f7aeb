#include "suite_util.h"

#include <cmath>
#include <numbers>
#include <random>
#include <stdexcept>

namespace reverie::dm_control {
namespace {

constexpr Tolerance kNoControl{.margin = 1, .sigmoid = Sigmoid::kQuadratic, .value_at_margin = 0};

void Normalize(std::span<double> vector) {
  const double norm = Norm(vector);
  for (double& x : vector) {
    x /= norm;
  }
}

}  // namespace

std::array<double, 3> InFrame(std::span<const double> vector, const double* matrix) {
  std::array<double, 3> seen{};
  for (size_t axis = 0; axis < 3; ++axis) {
    for (size_t i = 0; i < 3; ++i) {
      seen[axis] += vector[i] * matrix[3 * i + axis];
    }
  }
  return seen;
}

std::array<double, 3> Difference(std::span<const double> a, std::span<const double> b) {
  return {a[0] - b[0], a[1] - b[1], a[2] - b[2]};
}

double Norm(std::span<const double> vector) { return std::sqrt(SumOfSquares(vector)); }

int64_t SensorAt(const MujocoSimulation& simulation, const std::string& name) {
  return simulation.model().sensor_adr[simulation.Index(mjOBJ_SENSOR, name)];
}

mjsElement* Element(const mjSpec& spec, mjtObj kind, const std::string& name) {
  mjsElement* element = mjs_findElement(&spec, kind, name.c_str());
  if (element == nullptr) {
    throw std::invalid_argument(std::string(mjs_getString(spec.modelname)) + ": the model has no " +
                                mju_type2Str(kind) + " named " + name);
  }
  return element;
}

double DrawUniform(double low, double high, RandomEngine& rng) {
  return std::uniform_real_distribution<double>(low, high)(rng);
}

double DrawNormal(RandomEngine& rng) { return std::normal_distribution<double>()(rng); }

void DrawOrientation(RandomEngine& rng, std::span<double> quaternion) {
  for (double& x : quaternion) {
    x = DrawNormal(rng);
  }
  Normalize(quaternion);
}

void DrawJoints(RandomEngine& rng, MujocoSimulation& simulation) {
  const mjModel& model = simulation.model();
  for (int64_t joint = 0; joint < model.njnt; ++joint) {
    const int type = model.jnt_type[joint];
    const std::span<double> from = simulation.qpos_to_draw().subspan(static_cast<size_t>(model.jnt_qposadr[joint]));
    if (type == mjJNT_BALL) {
      throw std::logic_error(simulation.name() + " has a ball joint, whose start is not known");
    }
    if (type == mjJNT_FREE) {
      for (double& x : from.subspan(3, 4)) {
        x = DrawUniform(0, 1, rng);
      }
      Normalize(from.subspan(3, 4));
    } else if (model.jnt_limited[joint]) {
      from[0] = DrawUniform(model.jnt_range[2 * joint], model.jnt_range[2 * joint + 1], rng);
    } else if (type == mjJNT_HINGE) {
      from[0] = DrawUniform(-std::numbers::pi, std::numbers::pi, rng);
    }
  }
}

torch::Tensor ImaginedCosine(const torch::Tensor& cosine) { return cosine.clamp(-1, 1); }

double SmallControl(std::span<const double> ctrl) {
  double sum = 0;
  for (const double x : ctrl) {
    sum += kNoControl(x);
  }
  return (4 + sum / static_cast<double>(ctrl.size())) / 5;
}

torch::Tensor SmallControl(const torch::Tensor& action) { return (4 + kNoControl(action).mean(1)) / 5; }

}  // namespace reverie::dm_control
