// Monotonic rational-quadratic splines from R to R, element by element.
//
// Between K + 1 knots from (-5, -5) to (5, 5) the function is a quotient of quadratics that goes through the knots with
// given slopes, outside it is the identity. Its inverse is known as well. Source: Durkan et al. 2019, Neural Spline
// Flows, equations 4 to 8.
#ifndef REVERIE_NN_RATIONAL_QUADRATIC_SPLINE_H_
#define REVERIE_NN_RATIONAL_QUADRATIC_SPLINE_H_

#include "reverie/core/tensor.h"

namespace reverie {

// Numbers that make one spline of K bins: K widths, K heights and K - 1 inner slopes, all unbounded. All 0: the
// identity.
inline int64_t SplineParameters(int64_t bins) { return 3 * bins - 1; }

struct Mapped {
  torch::Tensor value;
  torch::Tensor log_slope;  // of the function at the point, or of the inverse there
};

// x [...], raw [..., 3 K - 1]: both [...]. Differentiable in both.
Mapped Spline(const torch::Tensor& x, const torch::Tensor& raw);
Mapped InverseSpline(const torch::Tensor& y, const torch::Tensor& raw);

}  // namespace reverie

#endif  // REVERIE_NN_RATIONAL_QUADRATIC_SPLINE_H_
