// Square roots whose derivative at zero is zero rather than infinite.
#ifndef REVERIE_SRC_NN_SAFE_SQRT_H_
#define REVERIE_SRC_NN_SAFE_SQRT_H_

#include <ATen/ATen.h>

#include "reverie/core/tensor.h"

namespace reverie {

// sqrt(x) where x > least, else 0 with derivative 0. The inner mask keeps the infinite derivative, which times zero is
// not a number, out of the backward pass.
inline torch::Tensor SafeSqrt(const torch::Tensor& x, double least = 0) {
  const torch::Tensor small = x <= least;
  return x.masked_fill(small, 1).sqrt().masked_fill(small, 0);
}

}  // namespace reverie

#endif  // REVERIE_SRC_NN_SAFE_SQRT_H_
