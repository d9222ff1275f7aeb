#include "kernels_cuda.h"

#include "core/kernel.cuh"
#include "kernels_math.h"

namespace reverie::cuda {
namespace {

// ---- Forward ----

// A block covers 32 columns of eight rows, and of rows further down where the grid cannot be high enough.
constexpr unsigned kForwardColumns = 32;
constexpr unsigned kForwardLanes = kBlock / kForwardColumns;

// act(at, bias) for every number of y.
template <class Act>
__global__ void ForwardKernel(Act act, const float* __restrict__ bias, Sizes sizes) {
  const int64_t column = int64_t{blockIdx.x} * kForwardColumns + threadIdx.x % kForwardColumns;
  if (column >= sizes.width) {
    return;
  }
  const int64_t member = blockIdx.z;
  const float b = bias[member * sizes.width + column];
  const int64_t stride = int64_t{gridDim.y} * kForwardLanes;
  for (int64_t row = int64_t{blockIdx.y} * kForwardLanes + threadIdx.x / kForwardColumns; row < sizes.rows;
       row += stride) {
    act((member * sizes.rows + row) * sizes.width + column, b);
  }
}

template <class Act>
void Forward(const char* name, const Act& act, const float* bias, const Sizes& sizes, CudaStream stream) {
  const dim3 grid(BlocksFor(sizes.width, kForwardColumns), BlocksFor(sizes.rows, kForwardLanes, kMaxGridY),
                  static_cast<unsigned>(sizes.members));
  Launch(name, ForwardKernel<Act>, grid, stream, act, bias, sizes);
}

struct AddBiasAct {
  float* y;
  __device__ void operator()(int64_t at, float bias) const { y[at] += bias; }
};

struct BiasReluAct {
  float* y;
  __device__ void operator()(int64_t at, float bias) const { y[at] = Relu(y[at] + bias); }
};

struct BiasSiluAct {
  float* y;
  __device__ void operator()(int64_t at, float bias) const { y[at] = Silu(y[at] + bias).value; }
};

struct BiasSiluSlopeAct {
  float* y;
  float* slope;
  __device__ void operator()(int64_t at, float bias) const {
    const SiluValue silu = Silu(y[at] + bias);
    y[at] = silu.value;
    slope[at] = silu.slope;
  }
};

// ---- Backward ----

// A block sums eight columns, a whole sector of memory a row, and takes 32 rows at a time: even a small batch has
// blocks for most of the GPU.
constexpr unsigned kSumColumns = 8;
constexpr unsigned kSumLanes = kBlock / kSumColumns;
// Numbers that a thread reads before it writes the first of them: it waits for memory once, not for each.
constexpr unsigned kBatch = 4;

// back.Store(at, back.Term(at)) for every number; sums [members, width] of the terms over rows, where it is not null.
template <class Back>
__global__ void BackwardKernel(Back back, float* __restrict__ sums, Sizes sizes) {
  const int64_t column = int64_t{blockIdx.x} * kSumColumns + threadIdx.x % kSumColumns;
  const unsigned lane = threadIdx.x / kSumColumns;
  const int64_t member = blockIdx.y;
  const int64_t stride = kSumLanes * sizes.width;
  float sum = 0;
  if (column < sizes.width) {
    for (int64_t row = lane; row < sizes.rows; row += kBatch * kSumLanes) {
      const int64_t at = (member * sizes.rows + row) * sizes.width + column;
      float terms[kBatch];
      for (unsigned k = 0; k < kBatch; ++k) {
        terms[k] = row + k * kSumLanes < sizes.rows ? back.Term(at + k * stride) : 0.0F;
      }
      for (unsigned k = 0; k < kBatch; ++k) {
        if (row + k * kSumLanes < sizes.rows) {
          back.Store(at + k * stride, terms[k]);
        }
        sum += terms[k];
      }
    }
  }
  if (sums == nullptr) {
    return;
  }
  sum = BlockSum<kSumColumns>(sum);
  if (lane == 0 && column < sizes.width) {
    sums[member * sizes.width + column] = sum;
  }
}

template <class Back>
void Backward(const char* name, const Back& back, float* sums, const Sizes& sizes, CudaStream stream) {
  const dim3 grid(BlocksFor(sizes.width, kSumColumns), static_cast<unsigned>(sizes.members));
  Launch(name, BackwardKernel<Back>, grid, stream, back, sums, sizes);
}

struct ReluBack {
  float* grad;
  const float* relu;
  __device__ float Term(int64_t at) const { return relu[at] > 0 ? grad[at] : 0.0F; }
  __device__ void Store(int64_t at, float term) const { grad[at] = term; }
};

struct SlopeBack {
  float* grad;
  const float* slope;
  __device__ float Term(int64_t at) const { return grad[at] * slope[at]; }
  __device__ void Store(int64_t at, float term) const { grad[at] = term; }
};

struct SumBack {
  const float* grad;
  __device__ float Term(int64_t at) const { return grad[at]; }
  __device__ void Store(int64_t /*at*/, float /*term*/) const {}
};

// ---- Gaussian loss ----

// workspace [3, blocks, dim]: each block's sums of the gradients by l_max and l_min and of the loss.
__global__ void LossKernel(const __grid_constant__ GaussianLossArguments a, int64_t rows_per_block) {
  const int64_t d = int64_t{blockIdx.x} * kSumColumns + threadIdx.x % kSumColumns;
  const unsigned lane = threadIdx.x / kSumColumns;
  const int64_t first = int64_t{blockIdx.y} * rows_per_block;
  const int64_t end = first + rows_per_block < a.rows ? first + rows_per_block : a.rows;
  float max_sum = 0;
  float min_sum = 0;
  float loss_sum = 0;
  if (d < a.dim) {
    const float l_max = a.l_max[d];
    const float l_min = a.l_min[d];
    for (int64_t row = first + lane; row < end; row += kSumLanes) {
      const int64_t mean_at = row * 2 * a.dim + d;
      const int64_t raw_at = mean_at + a.dim;
      const GaussianLossTerms terms =
          GaussianLoss(a.output[mean_at], a.output[raw_at], a.target[row * a.dim + d], l_max, l_min, a.c);
      a.grad[mean_at] = terms.mean_grad;
      a.grad[raw_at] = terms.raw_grad;
      max_sum += terms.max_grad;
      min_sum += terms.min_grad;
      loss_sum += terms.loss;
    }
  }
  max_sum = BlockSum<kSumColumns>(max_sum);
  min_sum = BlockSum<kSumColumns>(min_sum);
  loss_sum = BlockSum<kSumColumns>(loss_sum);
  if (lane == 0 && d < a.dim) {
    float* sums = a.workspace + blockIdx.y * a.dim + d;
    const int64_t stride = gridDim.y * a.dim;
    sums[0] = max_sum;
    sums[stride] = min_sum;
    sums[2 * stride] = loss_sum;
  }
}

__global__ void LossSumKernel(const __grid_constant__ GaussianLossArguments a, int64_t blocks) {
  const unsigned lane = threadIdx.x / kSumColumns;
  const int64_t stride = blocks * a.dim;
  double loss = 0;
  double bounds = 0;
  for (int64_t first = 0; first < a.dim; first += kSumColumns) {
    const int64_t d = first + threadIdx.x % kSumColumns;
    float max_sum = 0;
    float min_sum = 0;
    if (d < a.dim) {
      for (int64_t block = lane; block < blocks; block += kSumLanes) {
        const float* sums = a.workspace + block * a.dim + d;
        max_sum += sums[0];
        min_sum += sums[stride];
        loss += static_cast<double>(sums[2 * stride]);
      }
    }
    max_sum = BlockSum<kSumColumns>(max_sum);
    min_sum = BlockSum<kSumColumns>(min_sum);
    if (lane == 0 && d < a.dim) {
      a.max_grad[d] = a.penalty + max_sum;
      a.min_grad[d] = min_sum - a.penalty;
      bounds += static_cast<double>(a.l_max[d] - a.l_min[d]);
    }
  }
  loss = BlockSum<1>(loss);
  bounds = BlockSum<1>(bounds);
  if (threadIdx.x == 0) {
    *a.loss = a.c * static_cast<float>(loss) + a.penalty * static_cast<float>(bounds);
  }
}

// ---- Adam ----

// Enough to fill a GPU; longer blocks of numbers are gone through in strides.
constexpr int64_t kAdamBlocks = 1024;

__device__ float DecayAt(const AdamArguments& a, int64_t i) {
  for (int s = 0; s < a.segments; ++s) {
    if (a.decay[s].begin <= i && i < a.decay[s].end) {
      return a.decay[s].factor;
    }
  }
  return 0;
}

__global__ void AdamKernel(const __grid_constant__ AdamArguments a) {
  __shared__ AdamFactors factors;
  if (threadIdx.x == 0) {
    const float t = *a.step + 1.0F;
    factors = AdamFactorsOf(a.constants, a.tau, static_cast<double>(t));
    if (gridDim.x == 1) {
      *a.step = t;
    }
  }
  __syncthreads();
  const int64_t stride = int64_t{gridDim.x} * kBlock;
  for (int64_t i = int64_t{blockIdx.x} * kBlock + threadIdx.x; i < a.count; i += stride) {
    const float target = a.target == nullptr ? 0.0F : a.target[i];
    const AdamNumbers stepped =
        AdamStepped(factors, DecayAt(a, i), a.grads[i],
                    {.value = a.values[i], .first_moment = a.first_moment[i], .second_moment = a.second_moment[i]});
    a.values[i] = stepped.value;
    a.first_moment[i] = stepped.first_moment;
    a.second_moment[i] = stepped.second_moment;
    if (a.target != nullptr) {
      a.target[i] = target + factors.tau * (stepped.value - target);
    }
  }
}

// A launch of its own: other blocks of AdamKernel may not have read the step yet when one is done.
__global__ void CountStepKernel(float* step) {
  if (threadIdx.x == 0) {
    *step += 1.0F;
  }
}

}  // namespace

void AddBias(float* y, const float* bias, const Sizes& sizes, CudaStream stream) {
  Forward("AddBias", AddBiasAct{y}, bias, sizes, stream);
}

void BiasRelu(float* y, const float* bias, const Sizes& sizes, CudaStream stream) {
  Forward("BiasRelu", BiasReluAct{y}, bias, sizes, stream);
}

void BiasSilu(float* y, const float* bias, const Sizes& sizes, CudaStream stream) {
  Forward("BiasSilu", BiasSiluAct{y}, bias, sizes, stream);
}

void BiasSiluWithSlope(float* y, const float* bias, float* slope, const Sizes& sizes, CudaStream stream) {
  Forward("BiasSiluWithSlope", BiasSiluSlopeAct{y, slope}, bias, sizes, stream);
}

void ReluBackward(float* grad, const float* relu, float* bias_grad, const Sizes& sizes, CudaStream stream) {
  Backward("ReluBackward", ReluBack{grad, relu}, bias_grad, sizes, stream);
}

void SlopeBackward(float* grad, const float* slope, float* bias_grad, const Sizes& sizes, CudaStream stream) {
  Backward("SlopeBackward", SlopeBack{grad, slope}, bias_grad, sizes, stream);
}

void SumRows(const float* grad, float* bias_grad, const Sizes& sizes, CudaStream stream) {
  Backward("SumRows", SumBack{grad}, bias_grad, sizes, stream);
}

void GaussianLossGradient(const GaussianLossArguments& arguments, CudaStream stream) {
  // Whole rounds of rows, and no more blocks than have any.
  const int64_t rounds = (arguments.rows + kSumLanes * kGaussianLossBlocks - 1) / (kSumLanes * kGaussianLossBlocks);
  const int64_t rows_per_block = kSumLanes * rounds;
  const int64_t blocks = rounds == 0 ? 0 : (arguments.rows + rows_per_block - 1) / rows_per_block;
  const dim3 grid(BlocksFor(arguments.dim, kSumColumns), static_cast<unsigned>(blocks));
  Launch("GaussianLossGradient", LossKernel, grid, stream, arguments, rows_per_block);
  Launch("GaussianLossGradient's sums", LossSumKernel, 1, stream, arguments, blocks);
}

void AdamStep(const AdamArguments& arguments, CudaStream stream) {
  const unsigned blocks = BlocksFor(arguments.count, kBlock, kAdamBlocks);
  Launch("AdamStep", AdamKernel, blocks, stream, arguments);
  if (blocks != 1) {
    Launch("AdamStep's count", CountStepKernel, 1, stream, arguments.step);
  }
}

}  // namespace reverie::cuda
