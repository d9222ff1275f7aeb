// Whether what a file computes is what the policy in use computes.
#ifndef REVERIE_SRC_POLICIES_AGREEMENT_H_
#define REVERIE_SRC_POLICIES_AGREEMENT_H_

#include <string>

#include "reverie/core/tensor.h"

namespace reverie {

// The same numbers [..., D] twice, of any device: as they are computed in use, and by the same parameters in float64.
struct Computed {
  torch::Tensor used;
  torch::Tensor exact;
};

// What differs between `file` and `in_use`, in words; "" where they are the same function: where the mean absolute
// difference in each of the D dimensions is within 1e-2 of `unit` [D] as used, and in float64 within 1e-12 of it and a
// millionth of the rounding of float32, which is what sums in another order differ by: the more, the larger the
// parameters are.
std::string Disagreement(const Computed& file, const Computed& in_use, const torch::Tensor& unit);

}  // namespace reverie

#endif  // REVERIE_SRC_POLICIES_AGREEMENT_H_
