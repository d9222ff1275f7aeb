// What several tasks need to write observations, costs and batched functions.
#ifndef REVERIE_SRC_ENV_MUJOCO_TASK_UTIL_H_
#define REVERIE_SRC_ENV_MUJOCO_TASK_UTIL_H_

#include <algorithm>
#include <span>

#include "reverie/core/tensor.h"

namespace reverie {

inline double SumOfSquares(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) {
    sum += value * value;
  }
  return sum;
}

// Writes an observation piece by piece.
class ObsWriter {
 public:
  explicit ObsWriter(std::span<double> obs) : next_(obs.begin()) {}
  ObsWriter& Add(std::span<const double> values) {
    next_ = std::copy(values.begin(), values.end(), next_);
    return *this;
  }
  ObsWriter& AddClipped(std::span<const double> values, double low, double high) {
    next_ = std::transform(values.begin(), values.end(), next_,
                           [low, high](double value) { return std::clamp(value, low, high); });
    return *this;
  }
  ObsWriter& Add(double value) {
    *next_++ = value;
    return *this;
  }

 private:
  std::span<double>::iterator next_;
};

// low < column < high, [B] bool.
inline torch::Tensor Inside(const torch::Tensor& column, double low, double high) {
  return column.gt(low).logical_and_(column.lt(high));
}

// The rows of `unhealthy` whose observation is finite.
inline torch::Tensor AndFinite(const torch::Tensor& unhealthy, const torch::Tensor& next_obs) {
  return unhealthy.logical_and(next_obs.isfinite().all(1));
}

}  // namespace reverie

#endif  // REVERIE_SRC_ENV_MUJOCO_TASK_UTIL_H_
