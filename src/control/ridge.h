// What is added to covariances so that they can be inverted.
#ifndef REVERIE_SRC_CONTROL_RIDGE_H_
#define REVERIE_SRC_CONTROL_RIDGE_H_

#include <limits>

#include "reverie/core/tensor.h"

namespace reverie {

// diag(share var y) of rows y [N, D] -> [D, D], so that units do not matter. A column that does not vary has the
// rounding of its numbers in place of a variance.
inline torch::Tensor RidgeOf(const torch::Tensor& rows, double share) {
  constexpr double kRounding = 1e-12;
  const torch::Tensor variance = rows.var(0, /*unbiased=*/false);
  const torch::Tensor least = (rows.square().mean(0) * kRounding).clamp_min(std::numeric_limits<float>::min());
  return torch::diag(share * torch::maximum(variance, least));
}

}  // namespace reverie

#endif  // REVERIE_SRC_CONTROL_RIDGE_H_
