#include "imagination_cuda.h"

#include "core/kernel.cuh"
#include "imagination_math.h"

namespace reverie::cuda {
namespace {

__global__ void DealKernel(const __grid_constant__ DealArguments a) {
  const int64_t width = a.obs_dim + a.act_dim;
  const int64_t at = int64_t{blockIdx.x} * kBlock + threadIdx.x;
  if (at >= a.slots * width) {
    return;
  }
  const int64_t row = a.order[at / width % a.rows];
  const int64_t j = at % width;
  const float x = j < a.obs_dim ? a.obs[row * a.obs_stride + j] : a.action[row * a.action_stride + j - a.obs_dim];
  a.inputs[at] = Standardised(x, a.mean[j], a.std[j]);
}

__global__ void DrawKernel(const __grid_constant__ DrawArguments a) {
  const int64_t at = int64_t{blockIdx.x} * kBlock + threadIdx.x;
  if (at >= a.rows * a.dim) {
    return;
  }
  const int64_t slot = at / a.dim;
  const int64_t d = at % a.dim;
  const int64_t row = a.order[slot];
  const int64_t mean_at = slot * 2 * a.dim + d;
  const float drawn =
      DrawTarget(a.output[mean_at], a.output[mean_at + a.dim], a.noise[at],
                 {.l_max = a.max_log_var[d], .l_min = a.min_log_var[d], .offset = a.offset[d], .scale = a.scale[d]});
  if (d < a.obs_dim) {
    a.next_obs[row * a.next_obs_stride + d] = a.add_obs ? a.obs[row * a.obs_stride + d] + drawn : drawn;
  } else {
    a.reward[row * a.reward_stride] = drawn;
  }
  if (d == 0) {
    a.hypothesis[row] = slot / a.share;
  }
}

__global__ void FiniteKernel(const float* __restrict__ x, bool* __restrict__ finite, int64_t rows, int64_t width,
                             int64_t stride) {
  const int64_t row = int64_t{blockIdx.x} * kBlock + threadIdx.x;
  if (row >= rows) {
    return;
  }
  bool all = true;
  for (int64_t j = 0; j < width; ++j) {
    all = IsFinite(x[row * stride + j]) && all;
  }
  finite[row] = all;
}

}  // namespace

void DealInputs(const DealArguments& arguments, CudaStream stream) {
  const int64_t numbers = arguments.slots * (arguments.obs_dim + arguments.act_dim);
  Launch("DealInputs", DealKernel, BlocksFor(numbers, kBlock), stream, arguments);
}

void DrawTargets(const DrawArguments& arguments, CudaStream stream) {
  Launch("DrawTargets", DrawKernel, BlocksFor(arguments.rows * arguments.dim, kBlock), stream, arguments);
}

void FiniteRows(const float* x, bool* finite, int64_t rows, int64_t width, int64_t stride, CudaStream stream) {
  Launch("FiniteRows", FiniteKernel, BlocksFor(rows, kBlock), stream, x, finite, rows, width, stride);
}

}  // namespace reverie::cuda
