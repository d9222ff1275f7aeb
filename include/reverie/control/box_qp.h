// A quadratic function of few variables inside a box.
//
//   min_x 1/2 x^T H x + g^T x   subject to   low <= x <= high
//
// By projected Newton steps (Bertsekas 1982, as used by Tassa, Mansard and Todorov 2014, "Control-limited differential
// dynamic programming", section III): variables at a bound whose gradient points outwards are clamped there, a Newton
// step is taken in the others, and a backtracking search goes along its projection into the box.
#ifndef REVERIE_CONTROL_BOX_QP_H_
#define REVERIE_CONTROL_BOX_QP_H_

#include <cstdint>

#include "reverie/core/tensor.h"

namespace reverie {

enum class BoxQpStatus {
  kSolved,               // the gradient of the free variables is zero, or nothing is gained any more
  kAllClamped,           // solved, at a corner of the box
  kMaxIterations,        // 100; x is the best point found
  kNotPositiveDefinite,  // H, in the variables that are free
  kNotFinite,            // H, g or the bounds, or low above high
};

struct BoxQpResult {
  BoxQpStatus status = BoxQpStatus::kSolved;
  torch::Tensor x;     // [m], inside the box; the start where a number is not finite
  torch::Tensor free;  // [m] bool: not clamped
  int64_t iterations = 0;
};

// hessian H [m, m] symmetric; gradient g, low, high (may be infinite), start [m]: where the search begins, moved into
// the box. All float64 on the CPU. Throws std::invalid_argument where a shape does not fit. Cost: O(m^3) an iteration
// in which the clamped variables change, else O(m^2).
BoxQpResult SolveBoxQp(const torch::Tensor& hessian, const torch::Tensor& gradient, const torch::Tensor& low,
                       const torch::Tensor& high, const torch::Tensor& start);

}  // namespace reverie

#endif  // REVERIE_CONTROL_BOX_QP_H_
