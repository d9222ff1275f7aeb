// Where functions over tensors leave the CPU.
#ifndef REVERIE_SRC_CORE_GPU_H_
#define REVERIE_SRC_CORE_GPU_H_

#include <stdexcept>

#include "reverie/core/tensor.h"

#if REVERIE_WITH_CUDA
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace reverie {

// launches(stream) with the GPU of `tensor` as the current one and its current stream. A generic lambda: in a build
// without CUDA it is never compiled, since the kernels that it names are not there. Throws std::logic_error where the
// tensor is on no GPU that this build knows.
template <class Launches>
void OnGpu(const torch::Tensor& tensor, [[maybe_unused]] const Launches& launches) {
#if REVERIE_WITH_CUDA
  if (tensor.is_cuda()) {
    const c10::cuda::CUDAGuard guard(tensor.device());
    launches(c10::cuda::getCurrentCUDAStream().stream());
    return;
  }
  throw std::logic_error("a kernel was given a tensor on " + tensor.device().str() + "; expected cpu or cuda");
#else
  throw std::logic_error("a kernel was given a tensor on " + tensor.device().str() +
                         "; expected cpu, since this build is without CUDA");
#endif
}

}  // namespace reverie

#endif  // REVERIE_SRC_CORE_GPU_H_
