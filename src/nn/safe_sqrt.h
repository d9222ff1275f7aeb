// Square roots whose derivative at zero is zero rather than infinite.
#ifndef REVERIE_SRC_NN_SAFE_SQRT_H_
#define REVERIE_SRC_NN_SAFE_SQRT_H_

#include <ATen/ATen.h>

#include "reverie/core/tensor.h"

namespace reverie {

// sqrt(x) where x > 0, else 0 with derivative 0. The inner mask keeps the infinite derivative, which times zero is not
// a number, out of the backward pass.
inline torch::Tensor SafeSqrt(const torch::Tensor& x) {
  const torch::Tensor zero = x <= 0;
  return x.masked_fill(zero, 1).sqrt().masked_fill(zero, 0);
}

}  // namespace reverie

#endif  // REVERIE_SRC_NN_SAFE_SQRT_H_
