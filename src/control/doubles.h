// Tensors of doubles, as everything in control/ takes them.
#ifndef REVERIE_SRC_CONTROL_DOUBLES_H_
#define REVERIE_SRC_CONTROL_DOUBLES_H_

#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>

#include "reverie/core/tensor.h"

namespace reverie {

// Throws std::invalid_argument naming the tensor, what it is and what was expected.
inline void RequireDoubles(const char* name, const torch::Tensor& tensor, std::initializer_list<int64_t> shape) {
  const c10::IntArrayRef expected(shape.begin(), shape.size());
  if (tensor.defined() && tensor.scalar_type() == torch::kFloat64 && tensor.device().is_cpu() &&
      tensor.is_contiguous() && tensor.sizes() == expected) {
    return;
  }
  std::string text = std::string(name) + " is ";
  if (tensor.defined()) {
    text += c10::str(tensor.is_contiguous() ? "" : "strided ", tensor.scalar_type(), tensor.sizes(), " on ",
                     tensor.device());
  } else {
    text += "not there";
  }
  throw std::invalid_argument(text + ", expected contiguous doubles" + c10::str(expected) + " on the CPU");
}

// The tensor itself where it is of that shape already, or a new one of zeros.
inline void MakeDoubles(torch::Tensor* tensor, std::initializer_list<int64_t> shape) {
  const c10::IntArrayRef sizes(shape.begin(), shape.size());
  if (!tensor->defined() || tensor->scalar_type() != torch::kFloat64 || tensor->sizes() != sizes) {
    *tensor = torch::zeros(sizes, torch::kFloat64);
  }
}

}  // namespace reverie

#endif  // REVERIE_SRC_CONTROL_DOUBLES_H_
