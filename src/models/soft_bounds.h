// Numbers kept within bounds without an edge. Internal to the models.
#ifndef REVERIE_SRC_MODELS_SOFT_BOUNDS_H_
#define REVERIE_SRC_MODELS_SOFT_BOUNDS_H_

#include <ATen/ATen.h>

namespace reverie {

// least + softplus(most - softplus(most - raw) - least): raw itself far within.
// Bounds are numbers or tensors.
template <class Bound>
at::Tensor SoftlyBetween(const Bound& least, const Bound& most, const at::Tensor& raw) {
  return least + at::softplus(most - at::softplus(most - raw) - least);
}

}  // namespace reverie

#endif  // REVERIE_SRC_MODELS_SOFT_BOUNDS_H_
