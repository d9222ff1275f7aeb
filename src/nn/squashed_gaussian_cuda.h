// SampleSquashed and SquashedHeadGradient of squashed_gaussian.h on a GPU: over pointers to device memory, one launch
// each, under the promises of kernels_cuda.h.
#ifndef REVERIE_SRC_NN_SQUASHED_GAUSSIAN_CUDA_H_
#define REVERIE_SRC_NN_SQUASHED_GAUSSIAN_CUDA_H_

#include <cstdint>

#include "core/cuda_stream.h"
#include "squashed_gaussian_math.h"

namespace reverie::cuda {

struct SquashedArrays {
  float *action, *log_prob, *by_log_std, *unclamped, *log_density;
};

void SampleSquashed(const float* head, const float* noise, const LogStdBounds& bounds, const SquashedArrays& sample,
                    int64_t rows, int64_t act_dim, CudaStream stream);

void SquashedHeadGradient(const SquashedArrays& sample, const float* action_grad, const float* log_prob_grad,
                          float* head_grad, int64_t rows, int64_t act_dim, CudaStream stream);

}  // namespace reverie::cuda

#endif  // REVERIE_SRC_NN_SQUASHED_GAUSSIAN_CUDA_H_
