// The kernels of kernels.h on a GPU: its functions over pointers to device memory, launched on a stream.
//
// Each is one launch, or two where it says so. Nothing is allocated, nothing waits for the GPU, every sum is taken in
// an order that depends on the sizes alone: the same numbers every time, and all of it can be captured into a CUDA
// graph. Numbers too small to be normal count as zero. All throw std::runtime_error where a launch is refused.
#ifndef REVERIE_SRC_NN_KERNELS_CUDA_H_
#define REVERIE_SRC_NN_KERNELS_CUDA_H_

#include <cstdint>

#include "core/cuda_stream.h"
#include "reverie/nn/adam.h"

namespace reverie::cuda {

// [members, rows, width]; at most 65535 members.
struct Sizes {
  int64_t members, rows, width;
};

void AddBias(float* y, const float* bias, const Sizes& sizes, CudaStream stream);
void BiasRelu(float* y, const float* bias, const Sizes& sizes, CudaStream stream);
void BiasSilu(float* y, const float* bias, const Sizes& sizes, CudaStream stream);
void BiasSiluWithSlope(float* y, const float* bias, float* slope, const Sizes& sizes, CudaStream stream);

// bias_grad may be null.
void ReluBackward(float* grad, const float* relu, float* bias_grad, const Sizes& sizes, CudaStream stream);
void SlopeBackward(float* grad, const float* slope, float* bias_grad, const Sizes& sizes, CudaStream stream);
void SumRows(const float* grad, float* bias_grad, const Sizes& sizes, CudaStream stream);

// Blocks that rows are dealt to; a single one adds up their sums.
constexpr int64_t kGaussianLossBlocks = 128;
struct GaussianLossArguments {
  const float *output, *target, *l_max, *l_min;
  float *grad, *max_grad, *min_grad, *loss;
  float* workspace;  // 3 kGaussianLossBlocks dim numbers
  int64_t rows, dim;
  float c, penalty;
};
void GaussianLossGradient(const GaussianLossArguments& arguments, CudaStream stream);  // two launches

constexpr int kMaxDecaySegments = 32;
struct AdamArguments {
  AdamConstants constants;
  double tau;
  float* step;
  float* values;
  const float* grads;
  float *first_moment, *second_moment;
  float* target;  // may be null
  int64_t count;
  int segments;
  DecaySegment decay[kMaxDecaySegments];
};
// Two launches where the block of numbers is longer than a block of threads: the second counts the step.
void AdamStep(const AdamArguments& arguments, CudaStream stream);

}  // namespace reverie::cuda

#endif  // REVERIE_SRC_NN_KERNELS_CUDA_H_
