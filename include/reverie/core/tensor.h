// LibTorch's tensors by the narrowest header that has them: `torch/torch.h` costs three times as much to compile.
#ifndef REVERIE_CORE_TENSOR_H_
#define REVERIE_CORE_TENSOR_H_

#include <torch/types.h>

#endif  // REVERIE_CORE_TENSOR_H_
