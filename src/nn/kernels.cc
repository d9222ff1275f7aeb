#include "reverie/nn/kernels.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "block.h"
#include "core/gpu.h"
#include "core/vectorize.h"
#include "kernels_cuda.h"
#include "kernels_math.h"

namespace reverie {
namespace {

// Numbers that are worth a thread of their own.
constexpr int64_t kGrain = 16384;
// Columns that one task sums over all rows.
constexpr int64_t kColumns = 64;
// Rows of one task of the loss; its sums are added up in the order of the tasks.
constexpr int64_t kLossRows = 128;

using cuda::Sizes;

Sizes SizesOf(const torch::Tensor& y) { return {.members = y.size(0), .rows = y.size(1), .width = y.size(2)}; }

float* DataOrNull(const torch::Tensor& tensor) { return tensor.defined() ? tensor.data_ptr<float>() : nullptr; }

// ---- Forward ----

REVERIE_CLONES void AddBiasRow(float* __restrict y, const float* __restrict bias, int64_t n) {
  for (int64_t j = 0; j < n; ++j) {
    y[j] += bias[j];
  }
}

REVERIE_CLONES void BiasReluRow(float* __restrict y, const float* __restrict bias, int64_t n) {
  for (int64_t j = 0; j < n; ++j) {
    y[j] = Relu(y[j] + bias[j]);
  }
}

REVERIE_CLONES void BiasSiluRow(float* __restrict y, const float* __restrict bias, int64_t n) {
  for (int64_t j = 0; j < n; ++j) {
    y[j] = Silu(y[j] + bias[j]).value;
  }
}

REVERIE_CLONES void BiasSiluSlopeRow(float* __restrict y, const float* __restrict bias, float* __restrict slope,
                                     int64_t n) {
  for (int64_t j = 0; j < n; ++j) {
    const SiluValue silu = Silu(y[j] + bias[j]);
    y[j] = silu.value;
    slope[j] = silu.slope;
  }
}

// row(e, at): one row of member e, whose first number is number `at` of the tensor.
template <class Row>
void ForEachRow(const Sizes& sizes, Row row) {
  const int64_t grain = std::max<int64_t>(1, kGrain / sizes.width);
  at::parallel_for(0, sizes.members * sizes.rows, grain, [&](int64_t begin, int64_t end) {
    const FlushSubnormals flush;
    for (int64_t i = begin; i < end; ++i) {
      row(i / sizes.rows, i * sizes.width);
    }
  });
}

// ---- Backward ----

struct Columns {
  int64_t rows, stride, count;  // count <= kColumns
};

REVERIE_CLONES void ReluBackwardColumns(float* __restrict grad, const float* __restrict relu, float* __restrict sums,
                                        const Columns& c) {
  float sum[kColumns] = {};
  for (int64_t i = 0; i < c.rows; ++i) {
    float* __restrict g = grad + i * c.stride;
    const float* __restrict h = relu + i * c.stride;
    for (int64_t j = 0; j < c.count; ++j) {
      g[j] = h[j] > 0 ? g[j] : 0.0F;
      sum[j] += g[j];
    }
  }
  std::copy_n(sum, c.count, sums);
}

REVERIE_CLONES void SlopeBackwardColumns(float* __restrict grad, const float* __restrict slope, float* __restrict sums,
                                         const Columns& c) {
  float sum[kColumns] = {};
  for (int64_t i = 0; i < c.rows; ++i) {
    float* __restrict g = grad + i * c.stride;
    const float* __restrict s = slope + i * c.stride;
    for (int64_t j = 0; j < c.count; ++j) {
      g[j] *= s[j];
      sum[j] += g[j];
    }
  }
  std::copy_n(sum, c.count, sums);
}

REVERIE_CLONES void SumColumns(const float* __restrict grad, float* __restrict sums, const Columns& c) {
  float sum[kColumns] = {};
  for (int64_t i = 0; i < c.rows; ++i) {
    const float* __restrict g = grad + i * c.stride;
    for (int64_t j = 0; j < c.count; ++j) {
      sum[j] += g[j];
    }
  }
  std::copy_n(sum, c.count, sums);
}

// task(at, sums, columns) for each block of columns of each member; bias_grad may be null.
template <class Task>
void ForEachColumnBlock(const Sizes& sizes, float* bias_grad, Task task) {
  const int64_t blocks = at::divup(sizes.width, kColumns);
  const int64_t grain = std::max<int64_t>(1, kGrain / (sizes.rows * kColumns));
  at::parallel_for(0, sizes.members * blocks, grain, [&](int64_t begin, int64_t end) {
    const FlushSubnormals flush;
    float unused[kColumns];
    for (int64_t i = begin; i < end; ++i) {
      const int64_t member = i / blocks;
      const int64_t column = i % blocks * kColumns;
      task(member * sizes.rows * sizes.width + column,
           bias_grad == nullptr ? unused : bias_grad + member * sizes.width + column,
           Columns{.rows = sizes.rows, .stride = sizes.width, .count = std::min(kColumns, sizes.width - column)});
    }
  });
}

// ---- Gaussian loss ----

struct LossTile {
  const float *mean, *raw, *target, *l_max, *l_min;
  float *mean_grad, *raw_grad, *max_grad, *min_grad, *loss;  // the last three are added to
};

REVERIE_CLONES void LossOfTile(const LossTile& tile, float c, int64_t n) {
  const float* mean = tile.mean;
  const float* raw = tile.raw;
  const float* target = tile.target;
  const float* l_max = tile.l_max;
  const float* l_min = tile.l_min;
  float* mean_grad = tile.mean_grad;
  float* raw_grad = tile.raw_grad;
  float* max_grad = tile.max_grad;
  float* min_grad = tile.min_grad;
  float* loss = tile.loss;
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    const GaussianLossTerms terms = GaussianLoss(mean[i], raw[i], target[i], l_max[i], l_min[i], c);
    mean_grad[i] = terms.mean_grad;
    raw_grad[i] = terms.raw_grad;
    max_grad[i] += terms.max_grad;
    min_grad[i] += terms.min_grad;
    loss[i] += terms.loss;
  }
}

// ---- Adam ----

REVERIE_CLONES void AdamRange(const AdamFactors& f, float decay, float* __restrict p, const float* __restrict g,
                              float* __restrict m, float* __restrict v, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const AdamNumbers stepped =
        AdamStepped(f, decay, g[i], {.value = p[i], .first_moment = m[i], .second_moment = v[i]});
    p[i] = stepped.value;
    m[i] = stepped.first_moment;
    v[i] = stepped.second_moment;
  }
}

REVERIE_CLONES void AdamRangeWithTarget(const AdamFactors& f, float decay, float* __restrict p,
                                        const float* __restrict g, float* __restrict m, float* __restrict v,
                                        float* __restrict target, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const AdamNumbers stepped =
        AdamStepped(f, decay, g[i], {.value = p[i], .first_moment = m[i], .second_moment = v[i]});
    p[i] = stepped.value;
    m[i] = stepped.first_moment;
    v[i] = stepped.second_moment;
    target[i] += f.tau * (stepped.value - target[i]);
  }
}

}  // namespace

void AddBiasBlock(float* y, const float* bias, int64_t rows, int64_t n) {
  const FlushSubnormals flush;
  for (int64_t i = 0; i < rows; ++i) {
    AddBiasRow(y + i * n, bias, n);
  }
}

void BiasReluBlock(float* y, const float* bias, int64_t rows, int64_t n) {
  const FlushSubnormals flush;
  for (int64_t i = 0; i < rows; ++i) {
    BiasReluRow(y + i * n, bias, n);
  }
}

void BiasSiluBlock(float* y, const float* bias, int64_t rows, int64_t n) {
  const FlushSubnormals flush;
  for (int64_t i = 0; i < rows; ++i) {
    BiasSiluRow(y + i * n, bias, n);
  }
}

void AddBias(torch::Tensor& y, const torch::Tensor& bias) {
  const Sizes sizes = SizesOf(y);
  float* to = y.data_ptr<float>();
  const float* b = bias.data_ptr<float>();
  if (!y.is_cpu()) {
    OnGpu(y, [&](auto stream) { cuda::AddBias(to, b, sizes, stream); });
    return;
  }
  ForEachRow(sizes, [&](int64_t e, int64_t at) { AddBiasRow(to + at, b + e * sizes.width, sizes.width); });
}

void BiasRelu(torch::Tensor& y, const torch::Tensor& bias) {
  const Sizes sizes = SizesOf(y);
  float* to = y.data_ptr<float>();
  const float* b = bias.data_ptr<float>();
  if (!y.is_cpu()) {
    OnGpu(y, [&](auto stream) { cuda::BiasRelu(to, b, sizes, stream); });
    return;
  }
  ForEachRow(sizes, [&](int64_t e, int64_t at) { BiasReluRow(to + at, b + e * sizes.width, sizes.width); });
}

void BiasSilu(torch::Tensor& y, const torch::Tensor& bias) {
  const Sizes sizes = SizesOf(y);
  float* to = y.data_ptr<float>();
  const float* b = bias.data_ptr<float>();
  if (!y.is_cpu()) {
    OnGpu(y, [&](auto stream) { cuda::BiasSilu(to, b, sizes, stream); });
    return;
  }
  ForEachRow(sizes, [&](int64_t e, int64_t at) { BiasSiluRow(to + at, b + e * sizes.width, sizes.width); });
}

void BiasSiluWithSlope(torch::Tensor& y, const torch::Tensor& bias, torch::Tensor& slope) {
  const Sizes sizes = SizesOf(y);
  float* to = y.data_ptr<float>();
  float* slopes = slope.data_ptr<float>();
  const float* b = bias.data_ptr<float>();
  if (!y.is_cpu()) {
    OnGpu(y, [&](auto stream) { cuda::BiasSiluWithSlope(to, b, slopes, sizes, stream); });
    return;
  }
  ForEachRow(sizes,
             [&](int64_t e, int64_t at) { BiasSiluSlopeRow(to + at, b + e * sizes.width, slopes + at, sizes.width); });
}

void ReluBackward(torch::Tensor& grad, const torch::Tensor& relu, torch::Tensor bias_grad) {
  const Sizes sizes = SizesOf(grad);
  float* g = grad.data_ptr<float>();
  const float* h = relu.data_ptr<float>();
  float* bias_sums = DataOrNull(bias_grad);
  if (!grad.is_cpu()) {
    OnGpu(grad, [&](auto stream) { cuda::ReluBackward(g, h, bias_sums, sizes, stream); });
    return;
  }
  ForEachColumnBlock(sizes, bias_sums, [&](int64_t at, float* sums, const Columns& columns) {
    ReluBackwardColumns(g + at, h + at, sums, columns);
  });
}

void SlopeBackward(torch::Tensor& grad, const torch::Tensor& slope, torch::Tensor bias_grad) {
  const Sizes sizes = SizesOf(grad);
  float* g = grad.data_ptr<float>();
  const float* s = slope.data_ptr<float>();
  float* bias_sums = DataOrNull(bias_grad);
  if (!grad.is_cpu()) {
    OnGpu(grad, [&](auto stream) { cuda::SlopeBackward(g, s, bias_sums, sizes, stream); });
    return;
  }
  ForEachColumnBlock(sizes, bias_sums, [&](int64_t at, float* sums, const Columns& columns) {
    SlopeBackwardColumns(g + at, s + at, sums, columns);
  });
}

void SumRows(const torch::Tensor& grad, torch::Tensor bias_grad) {
  if (!bias_grad.defined()) {
    return;
  }
  const Sizes sizes = SizesOf(grad);
  const float* g = grad.data_ptr<float>();
  float* bias_sums = bias_grad.data_ptr<float>();
  if (!grad.is_cpu()) {
    OnGpu(grad, [&](auto stream) { cuda::SumRows(g, bias_sums, sizes, stream); });
    return;
  }
  ForEachColumnBlock(sizes, bias_sums,
                     [&](int64_t at, float* sums, const Columns& columns) { SumColumns(g + at, sums, columns); });
}

void GaussianLossGradient(const torch::Tensor& output, const torch::Tensor& target, const torch::Tensor& l_max,
                          const torch::Tensor& l_min, float c, float penalty, torch::Tensor& grad,
                          torch::Tensor& max_grad, torch::Tensor& min_grad, torch::Tensor& loss) {
  const int64_t dim = target.size(2);
  const int64_t rows = output.size(0) * output.size(1);
  const float* from = output.data_ptr<float>();
  const float* targets = target.data_ptr<float>();
  const float* upper = l_max.data_ptr<float>();
  const float* lower = l_min.data_ptr<float>();
  float* to = grad.data_ptr<float>();
  float* max_sums = max_grad.data_ptr<float>();
  float* min_sums = min_grad.data_ptr<float>();
  float* loss_value = loss.data_ptr<float>();
  if (!output.is_cpu()) {
    OnGpu(output, [&](auto stream) {
      // Kept by LibTorch's allocator from one call to the next, for this stream alone.
      const torch::Tensor workspace = torch::empty({3, cuda::kGaussianLossBlocks, dim}, output.options());
      cuda::GaussianLossGradient({.output = from,
                                  .target = targets,
                                  .l_max = upper,
                                  .l_min = lower,
                                  .grad = to,
                                  .max_grad = max_sums,
                                  .min_grad = min_sums,
                                  .loss = loss_value,
                                  .workspace = workspace.data_ptr<float>(),
                                  .rows = rows,
                                  .dim = dim,
                                  .c = c,
                                  .penalty = penalty},
                                 stream);
    });
    return;
  }

  // Tiles of kTileRows rows are laid out so that the inner loop runs over whole vectors whatever `dim` is.
  constexpr int64_t kTileRows = 16;
  const int64_t tasks = at::divup(rows, kLossRows);
  const int64_t tile_size = kTileRows * dim;
  thread_local std::vector<float> partial_sums;
  partial_sums.resize(static_cast<size_t>(tasks * (2 * dim + 1)));
  float* partials = partial_sums.data();
  at::parallel_for(0, tasks, 1, [&](int64_t first, int64_t last) {
    const FlushSubnormals flush;
    thread_local std::vector<float> scratch;
    scratch.resize(static_cast<size_t>(10 * tile_size));
    float* next = scratch.data();
    const auto take = [&] { return std::exchange(next, next + tile_size); };
    float* mean = take();
    float* raw = take();
    float* y = take();
    float* tile_max = take();
    float* tile_min = take();
    const LossTile tile{.mean = mean,
                        .raw = raw,
                        .target = y,
                        .l_max = tile_max,
                        .l_min = tile_min,
                        .mean_grad = take(),
                        .raw_grad = take(),
                        .max_grad = take(),
                        .min_grad = take(),
                        .loss = take()};
    for (int64_t i = 0; i < kTileRows; ++i) {
      std::copy_n(upper, dim, tile_max + i * dim);
      std::copy_n(lower, dim, tile_min + i * dim);
    }
    for (int64_t task = first; task < last; ++task) {
      std::fill(tile.max_grad, tile.loss + tile_size, 0.0F);
      const int64_t end = std::min(rows, (task + 1) * kLossRows);
      for (int64_t row = task * kLossRows; row < end; row += kTileRows) {
        const int64_t count = std::min(kTileRows, end - row);
        for (int64_t i = 0; i < count; ++i) {
          const float* source = from + (row + i) * 2 * dim;
          std::copy_n(source, dim, mean + i * dim);
          std::copy_n(source + dim, dim, raw + i * dim);
        }
        std::copy_n(targets + row * dim, count * dim, y);
        LossOfTile(tile, c, count * dim);
        for (int64_t i = 0; i < count; ++i) {
          float* sink = to + (row + i) * 2 * dim;
          std::copy_n(tile.mean_grad + i * dim, dim, sink);
          std::copy_n(tile.raw_grad + i * dim, dim, sink + dim);
        }
      }
      float* sums = partials + task * (2 * dim + 1);
      std::fill_n(sums, 2 * dim + 1, 0.0F);
      for (int64_t i = 0; i < kTileRows; ++i) {
        for (int64_t d = 0; d < dim; ++d) {
          sums[d] += tile.max_grad[i * dim + d];
          sums[dim + d] += tile.min_grad[i * dim + d];
          sums[2 * dim] += tile.loss[i * dim + d];
        }
      }
    }
  });
  double loss_sum = 0;
  double bounds_sum = 0;
  for (int64_t d = 0; d < dim; ++d) {
    max_sums[d] = penalty;
    min_sums[d] = -penalty;
    bounds_sum += static_cast<double>(upper[d] - lower[d]);
  }
  for (int64_t task = 0; task < tasks; ++task) {
    const float* sums = partials + task * (2 * dim + 1);
    for (int64_t d = 0; d < dim; ++d) {
      max_sums[d] += sums[d];
      min_sums[d] += sums[dim + d];
    }
    loss_sum += static_cast<double>(sums[2 * dim]);
  }
  *loss_value = c * static_cast<float>(loss_sum) + penalty * static_cast<float>(bounds_sum);
}

void AdamStep(const AdamConstants& constants, const std::vector<DecaySegment>& decay, torch::Tensor& step,
              torch::Tensor& values, torch::Tensor& grads, torch::Tensor& first_moment, torch::Tensor& second_moment,
              torch::Tensor target, double tau) {
  float* steps = step.data_ptr<float>();
  float* p = values.data_ptr<float>();
  const float* g = grads.data_ptr<float>();
  float* m = first_moment.data_ptr<float>();
  float* v = second_moment.data_ptr<float>();
  float* follower = DataOrNull(target);
  // Autograd, and who keeps what follows from the values, are told that they change; not by a replayed graph.
  for (const torch::Tensor* changed : {&values, &target}) {
    if (changed->defined()) {
      changed->unsafeGetTensorImpl()->bump_version();
    }
  }
  if (!values.is_cpu()) {
    if (decay.size() > cuda::kMaxDecaySegments) {
      throw std::logic_error("AdamStep: " + std::to_string(decay.size()) + " decay segments; a GPU takes at most " +
                             std::to_string(cuda::kMaxDecaySegments));
    }
    cuda::AdamArguments arguments{.constants = constants,
                                  .tau = tau,
                                  .step = steps,
                                  .values = p,
                                  .grads = g,
                                  .first_moment = m,
                                  .second_moment = v,
                                  .target = follower,
                                  .count = values.numel(),
                                  .segments = static_cast<int>(decay.size()),
                                  .decay = {}};
    std::copy(decay.begin(), decay.end(), arguments.decay);
    OnGpu(values, [&](auto stream) { cuda::AdamStep(arguments, stream); });
    return;
  }
  const AdamFactors factors = AdamFactorsOf(constants, tau, static_cast<double>(*steps += 1));
  const auto run = [&](int64_t begin, int64_t end, float factor) {
    if (follower == nullptr) {
      AdamRange(factors, factor, p + begin, g + begin, m + begin, v + begin, end - begin);
    } else {
      AdamRangeWithTarget(factors, factor, p + begin, g + begin, m + begin, v + begin, follower + begin, end - begin);
    }
  };
  at::parallel_for(0, values.numel(), kGrain, [&](int64_t begin, int64_t end) {
    const FlushSubnormals flush;
    int64_t at = begin;
    for (const DecaySegment& segment : decay) {
      const int64_t from = std::clamp(segment.begin, at, end);
      const int64_t to = std::clamp(segment.end, at, end);
      run(at, from, 0);
      run(from, to, segment.factor);
      at = std::max(at, to);
    }
    run(at, end, 0);
  });
}

}  // namespace reverie
