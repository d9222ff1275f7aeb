#include "squashed_gaussian_cuda.h"

#include "core/kernel.cuh"

namespace reverie::cuda {
namespace {

// Rows of a block: a warp sums their log-densities.
constexpr int64_t kSampleRows = 32;

__global__ void SampleKernel(const float* __restrict__ head, const float* __restrict__ noise, LogStdBounds bounds,
                             SquashedArrays sample, int64_t rows, int64_t act_dim) {
  const int64_t first = int64_t{blockIdx.x} * kSampleRows;
  const int64_t count = kSampleRows < rows - first ? kSampleRows : rows - first;
  for (int64_t i = threadIdx.x; i < count * act_dim; i += kBlock) {
    const int64_t row = first + i / act_dim;
    const int64_t at = first * act_dim + i;
    const int64_t mean_at = row * act_dim + at;
    const SquashedDraw draw = DrawSquashed(head[mean_at], head[mean_at + act_dim], noise[at], bounds);
    sample.action[at] = draw.action;
    sample.by_log_std[at] = draw.by_log_std;
    sample.unclamped[at] = draw.unclamped;
    sample.log_density[at] = draw.log_density;
  }
  __syncthreads();
  const int64_t row = first + threadIdx.x;
  if (threadIdx.x < count) {
    float sum = 0;
    for (int64_t j = 0; j < act_dim; ++j) {
      sum += sample.log_density[row * act_dim + j];
    }
    sample.log_prob[row] = sum;
  }
}

__global__ void HeadGradientKernel(SquashedArrays sample, const float* __restrict__ action_grad,
                                   const float* __restrict__ log_prob_grad, float* __restrict__ head_grad,
                                   int64_t count, int64_t act_dim) {
  const int64_t at = int64_t{blockIdx.x} * kBlock + threadIdx.x;
  if (at >= count) {
    return;
  }
  const HeadGradient grad =
      SquashedGradient(sample.action[at], sample.by_log_std[at], sample.unclamped[at], action_grad[at], *log_prob_grad);
  const int64_t mean_at = at / act_dim * act_dim + at;
  head_grad[mean_at] = grad.mean;
  head_grad[mean_at + act_dim] = grad.log_std;
}

}  // namespace

void SampleSquashed(const float* head, const float* noise, const LogStdBounds& bounds, const SquashedArrays& sample,
                    int64_t rows, int64_t act_dim, CudaStream stream) {
  Launch("SampleSquashed", SampleKernel, BlocksFor(rows, kSampleRows), stream, head, noise, bounds, sample, rows,
         act_dim);
}

void SquashedHeadGradient(const SquashedArrays& sample, const float* action_grad, const float* log_prob_grad,
                          float* head_grad, int64_t rows, int64_t act_dim, CudaStream stream) {
  Launch("SquashedHeadGradient", HeadGradientKernel, BlocksFor(rows * act_dim, kBlock), stream, sample, action_grad,
         log_prob_grad, head_grad, rows * act_dim, act_dim);
}

}  // namespace reverie::cuda
