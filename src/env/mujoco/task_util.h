// What several tasks need to write observations, costs and batched functions.
#ifndef REVERIE_SRC_ENV_MUJOCO_TASK_UTIL_H_
#define REVERIE_SRC_ENV_MUJOCO_TASK_UTIL_H_

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

#include "reverie/core/tensor.h"
#include "reverie/env/mujoco/simulation.h"
#include "reverie/env/task_functions.h"

namespace reverie {

// What the options common to the tasks mean.
inline constexpr std::string_view kXmlFileDoc =
    "model file; a bare name is that of a file in the folder of whoever gives it, or one of Gymnasium's";
inline constexpr std::string_view kFrameSkipDoc = "simulation steps per step";
inline constexpr std::string_view kForwardRewardDoc = "weight of the forward speed";
inline constexpr std::string_view kCtrlCostDoc = "weight of the squared action";
inline constexpr std::string_view kHealthyRewardDoc = "reward of a step that ends healthy";
inline constexpr std::string_view kTerminateDoc = "end the episode when unhealthy";
inline constexpr std::string_view kHealthyZDoc = "healthy heights of the torso, m";
inline constexpr std::string_view kResetNoiseDoc = "scale of the noise in the start state";

// What Hopper's and Walker2d's speeds are clipped to in an observation.
inline constexpr std::array<double, 2> kObservedSpeeds{-10.0, 10.0};

// Length of [qpos, qvel] without the first `skip` numbers.
inline int64_t StateSize(const MujocoSimulation& simulation, int64_t skip) {
  return static_cast<int64_t>(simulation.qpos().size() + simulation.qvel().size()) - skip;
}

// low < value < high.
inline bool IsInside(double value, const std::array<double, 2>& range) { return range[0] < value && value < range[1]; }

inline double Clip(double value, const std::array<double, 2>& range) {
  return std::min(std::max(value, range[0]), range[1]);
}

inline double SumOfSquares(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) {
    sum += value * value;
  }
  return sum;
}

// Advances one step of a task whose qpos begins with x. Returns the speed along x meanwhile, m/s.
inline double AdvanceAlongX(MujocoSimulation& simulation, std::span<const double> action) {
  const double x = simulation.qpos()[0];
  simulation.Advance(action);
  return (simulation.qpos()[0] - x) / simulation.dt();
}

// The same of observations that begin with x: [B].
inline torch::Tensor SpeedAlongX(const torch::Tensor& obs, const torch::Tensor& next_obs, double dt) {
  return (next_obs.select(1, 0) - obs.select(1, 0)) / dt;
}

// Writes an observation piece by piece.
class ObsWriter {
 public:
  explicit ObsWriter(std::span<double> obs) : next_(obs.begin()) {}
  ObsWriter& Add(std::span<const double> values) {
    next_ = std::copy(values.begin(), values.end(), next_);
    return *this;
  }
  ObsWriter& AddClipped(std::span<const double> values, const std::array<double, 2>& range) {
    next_ = std::transform(values.begin(), values.end(), next_, [&range](double value) { return Clip(value, range); });
    return *this;
  }
  ObsWriter& Add(double value) {
    *next_++ = value;
    return *this;
  }

 private:
  std::span<double>::iterator next_;
};

// As IsInside, for every element.
inline torch::Tensor AllInside(const torch::Tensor& values, const std::array<double, 2>& range) {
  return values.gt(range[0]).logical_and_(values.lt(range[1]));
}

// The rows of `unhealthy` whose observation is finite.
inline torch::Tensor AndFinite(const torch::Tensor& unhealthy, const torch::Tensor& next_obs) {
  return unhealthy.logical_and(next_obs.isfinite().all(1));
}

// The `terminated` of a task that ends where healthy(next_obs) [B] bool is false.
template <class Healthy>
TaskFunctions::Batched EndsUnhealthy(Healthy healthy) {
  return [healthy](const torch::Tensor&, const torch::Tensor&, const torch::Tensor& next_obs) {
    return AndFinite(healthy(next_obs).logical_not(), next_obs);
  };
}

}  // namespace reverie

#endif  // REVERIE_SRC_ENV_MUJOCO_TASK_UTIL_H_
