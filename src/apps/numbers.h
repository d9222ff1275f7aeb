// Tensors as commands print them.
#ifndef REVERIE_SRC_APPS_NUMBERS_H_
#define REVERIE_SRC_APPS_NUMBERS_H_

#include <vector>

#include "reverie/core/tensor.h"

namespace reverie {

// All elements of a tensor, row by row.
inline std::vector<double> Numbers(const torch::Tensor& tensor) {
  const torch::Tensor flat = tensor.to(torch::kCPU, torch::kFloat64).contiguous().flatten();
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

}  // namespace reverie

#endif  // REVERIE_SRC_APPS_NUMBERS_H_
