// The kernels of imagination.h on a GPU: its functions over pointers to device memory, one launch each on a stream.
// They keep the promises of nn/kernels_cuda.h.
#ifndef REVERIE_SRC_MODELS_IMAGINATION_CUDA_H_
#define REVERIE_SRC_MODELS_IMAGINATION_CUDA_H_

#include <cstdint>

#include "core/cuda_stream.h"

namespace reverie::cuda {

// Rows of packed transitions begin `stride` numbers apart.
struct DealArguments {
  const float *obs, *action, *mean, *std;
  const int64_t* order;
  float* inputs;
  int64_t rows, slots, obs_dim, act_dim;
  int64_t obs_stride, action_stride;
};
void DealInputs(const DealArguments& arguments, CudaStream stream);

struct DrawArguments {
  const float *output, *noise, *obs;
  const float *max_log_var, *min_log_var, *offset, *scale;
  const int64_t* order;
  float *next_obs, *reward;  // reward null where none is learned
  int64_t* hypothesis;
  int64_t rows, share, obs_dim, dim;
  int64_t obs_stride, next_obs_stride, reward_stride;
  bool add_obs;
};
void DrawTargets(const DrawArguments& arguments, CudaStream stream);

void FiniteRows(const float* x, bool* finite, int64_t rows, int64_t width, int64_t stride, CudaStream stream);

}  // namespace reverie::cuda

#endif  // REVERIE_SRC_MODELS_IMAGINATION_CUDA_H_
