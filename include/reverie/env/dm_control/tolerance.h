// How near a number is to an interval: what the rewards of dm_control's suite are made of.
#ifndef REVERIE_ENV_DM_CONTROL_TOLERANCE_H_
#define REVERIE_ENV_DM_CONTROL_TOLERANCE_H_

#include <limits>

#include "reverie/core/tensor.h"

namespace reverie::dm_control {

inline constexpr double kNoBound = std::numeric_limits<double>::infinity();

// How a value falls with the distance d >= 0 from the interval, in margins; v is what is left at d = 1.
enum class Sigmoid {
  kGaussian,     // exp(-(s d)^2 / 2), s = sqrt(-2 ln v)
  kHyperbolic,   // 1 / cosh(s d), s = arcosh(1 / v)
  kLongTail,     // 1 / ((s d)^2 + 1), s = sqrt(1 / v - 1)
  kReciprocal,   // 1 / (s d + 1), s = 1 / v - 1
  kCosine,       // (1 + cos(pi s d)) / 2 where s d < 1, else 0; s = arccos(2 v - 1) / pi
  kLinear,       // 1 - s d where s d < 1, else 0; s = 1 - v
  kQuadratic,    // 1 - (s d)^2 where s d < 1, else 0; s = sqrt(1 - v)
  kTanhSquared,  // 1 - tanh(s d)^2, s = artanh(sqrt(1 - v))
};

//   d = max(lower - x, x - upper, 0) / margin;   value = sigmoid(d), in [0, 1]
//
// With a margin of 0 it is 1 inside the closed interval and 0 outside. v may be 0 for kCosine, kLinear and kQuadratic
// alone, and is below 1. Source: dm_control 1.0.50, utils/rewards.py.
struct Tolerance {
  double lower = 0, upper = 0;  // either may be infinite
  double margin = 0;            // >= 0, in units of x
  Sigmoid sigmoid = Sigmoid::kGaussian;
  double value_at_margin = 0.1;

  double operator()(double x) const;

  // The same for each element, in x's dtype. Differentiable, with finite gradients where x is finite.
  torch::Tensor operator()(const torch::Tensor& x) const;
};

}  // namespace reverie::dm_control

#endif  // REVERIE_ENV_DM_CONTROL_TOLERANCE_H_
