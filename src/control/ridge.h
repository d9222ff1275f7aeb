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

// The Cholesky factor of symmetric matrices [..., D, D] that are positive definite but for rounding: where they are
// not, of those with the ridge added, tenfold until that is enough.
inline torch::Tensor FactorOf(const torch::Tensor& matrices, const torch::Tensor& ridge) {
  constexpr double kMost = 1e20;
  for (double times = 0;; times = times == 0 ? 1 : 10 * times) {
    const auto [factor, info] = torch::linalg_cholesky_ex(matrices + times * ridge);
    if (!info.any().item<bool>() || times > kMost) {
      return factor;
    }
  }
}

}  // namespace reverie

#endif  // REVERIE_SRC_CONTROL_RIDGE_H_
