#include "reverie/nn/kernels.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "reverie/nn/elementwise.h"
#include "vectorize.h"

namespace reverie {
namespace {

// Numbers that are worth a thread of their own.
constexpr int64_t kGrain = 16384;
// Columns that one task sums over all rows.
constexpr int64_t kColumns = 64;
// Rows of one task of the loss; its sums are added up in the order of the tasks.
constexpr int64_t kLossRows = 128;

struct Sizes {
  int64_t members, rows, width;
  explicit Sizes(const torch::Tensor& y) : members(y.size(0)), rows(y.size(1)), width(y.size(2)) {}
};

// ---- Forward ----

REVERIE_CLONES void AddBiasRow(float* __restrict y, const float* __restrict bias, int64_t n) {
  for (int64_t j = 0; j < n; ++j) {
    y[j] += bias[j];
  }
}

REVERIE_CLONES void BiasReluRow(float* __restrict y, const float* __restrict bias, int64_t n) {
  for (int64_t j = 0; j < n; ++j) {
    const float x = y[j] + bias[j];
    y[j] = 0.0F > x ? 0.0F : x;
  }
}

REVERIE_CLONES void BiasSiluRow(float* __restrict y, const float* __restrict bias, int64_t n) {
  for (int64_t j = 0; j < n; ++j) {
    const float x = y[j] + bias[j];
    y[j] = x * Sigmoid(x);
  }
}

REVERIE_CLONES void BiasSiluSlopeRow(float* __restrict y, const float* __restrict bias, float* __restrict slope,
                                     int64_t n) {
  for (int64_t j = 0; j < n; ++j) {
    const float x = y[j] + bias[j];
    const float s = Sigmoid(x);
    y[j] = x * s;
    slope[j] = s * (1.0F + x * (1.0F - s));
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

// task(at, sums, columns) for each block of columns of each member; sums is null where bias_grad is undefined.
template <class Task>
void ForEachColumnBlock(const Sizes& sizes, torch::Tensor& bias_grad, Task task) {
  float* sums = bias_grad.defined() ? bias_grad.data_ptr<float>() : nullptr;
  const int64_t blocks = at::divup(sizes.width, kColumns);
  const int64_t grain = std::max<int64_t>(1, kGrain / (sizes.rows * kColumns));
  at::parallel_for(0, sizes.members * blocks, grain, [&](int64_t begin, int64_t end) {
    const FlushSubnormals flush;
    float unused[kColumns];
    for (int64_t i = begin; i < end; ++i) {
      const int64_t member = i / blocks;
      const int64_t column = i % blocks * kColumns;
      task(member * sizes.rows * sizes.width + column, sums == nullptr ? unused : sums + member * sizes.width + column,
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
    const SoftplusValue above = Softplus(l_max[i] - raw[i]);
    const float t = l_max[i] - above.value;
    const SoftplusValue below = Softplus(t - l_min[i]);
    const float log_var = l_min[i] + below.value;
    const float error = mean[i] - target[i];
    const float precision_error = error * Exp(-log_var);
    const float scaled_square = error * precision_error;
    const float by_log_var = c * (1.0F - scaled_square);
    const float by_t = by_log_var * below.slope;
    mean_grad[i] = 2.0F * c * precision_error;
    raw_grad[i] = by_t * above.slope;
    max_grad[i] += by_t * above.rest;
    min_grad[i] += by_log_var * below.rest;
    loss[i] += scaled_square + log_var;
  }
}

// ---- Adam ----

struct AdamFactors {
  float beta1, beta2, step_size, second_correction, epsilon, decay, tau;
};

REVERIE_CLONES void AdamRange(const AdamFactors& f, float* __restrict p, const float* __restrict g, float* __restrict m,
                              float* __restrict v, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const float grad = g[i] + f.decay * p[i];
    m[i] += (1.0F - f.beta1) * (grad - m[i]);
    v[i] = f.beta2 * v[i] + (1.0F - f.beta2) * grad * grad;
    p[i] -= f.step_size * m[i] / (std::sqrt(v[i]) * f.second_correction + f.epsilon);
  }
}

REVERIE_CLONES void AdamRangeWithTarget(const AdamFactors& f, float* __restrict p, const float* __restrict g,
                                        float* __restrict m, float* __restrict v, float* __restrict target, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const float grad = g[i] + f.decay * p[i];
    m[i] += (1.0F - f.beta1) * (grad - m[i]);
    v[i] = f.beta2 * v[i] + (1.0F - f.beta2) * grad * grad;
    p[i] -= f.step_size * m[i] / (std::sqrt(v[i]) * f.second_correction + f.epsilon);
    target[i] += f.tau * (p[i] - target[i]);
  }
}

}  // namespace

void AddBias(torch::Tensor& y, const torch::Tensor& bias) {
  if (!y.is_cpu()) {
    y.add_(bias);
    return;
  }
  const Sizes sizes(y);
  float* to = y.data_ptr<float>();
  const float* b = bias.data_ptr<float>();
  ForEachRow(sizes, [&](int64_t e, int64_t at) { AddBiasRow(to + at, b + e * sizes.width, sizes.width); });
}

void BiasRelu(torch::Tensor& y, const torch::Tensor& bias) {
  if (!y.is_cpu()) {
    y.add_(bias).relu_();
    return;
  }
  const Sizes sizes(y);
  float* to = y.data_ptr<float>();
  const float* b = bias.data_ptr<float>();
  ForEachRow(sizes, [&](int64_t e, int64_t at) { BiasReluRow(to + at, b + e * sizes.width, sizes.width); });
}

void BiasSilu(torch::Tensor& y, const torch::Tensor& bias) {
  if (!y.is_cpu()) {
    y.add_(bias);
    at::silu_(y);
    return;
  }
  const Sizes sizes(y);
  float* to = y.data_ptr<float>();
  const float* b = bias.data_ptr<float>();
  ForEachRow(sizes, [&](int64_t e, int64_t at) { BiasSiluRow(to + at, b + e * sizes.width, sizes.width); });
}

void BiasSiluWithSlope(torch::Tensor& y, const torch::Tensor& bias, torch::Tensor& slope) {
  if (!y.is_cpu()) {
    y.add_(bias);
    const torch::Tensor s = torch::sigmoid(y);
    slope.copy_(s * (1 + y * (1 - s)));
    y.mul_(s);
    return;
  }
  const Sizes sizes(y);
  float* to = y.data_ptr<float>();
  float* slopes = slope.data_ptr<float>();
  const float* b = bias.data_ptr<float>();
  ForEachRow(sizes,
             [&](int64_t e, int64_t at) { BiasSiluSlopeRow(to + at, b + e * sizes.width, slopes + at, sizes.width); });
}

void ReluBackward(torch::Tensor& grad, const torch::Tensor& relu, torch::Tensor bias_grad) {
  if (!grad.is_cpu()) {
    at::threshold_backward_out(grad, grad, relu, 0);
    SumRows(grad, bias_grad);
    return;
  }
  float* g = grad.data_ptr<float>();
  const float* h = relu.data_ptr<float>();
  ForEachColumnBlock(Sizes(grad), bias_grad, [&](int64_t at, float* sums, const Columns& columns) {
    ReluBackwardColumns(g + at, h + at, sums, columns);
  });
}

void SlopeBackward(torch::Tensor& grad, const torch::Tensor& slope, torch::Tensor bias_grad) {
  if (!grad.is_cpu()) {
    grad.mul_(slope);
    SumRows(grad, bias_grad);
    return;
  }
  float* g = grad.data_ptr<float>();
  const float* s = slope.data_ptr<float>();
  ForEachColumnBlock(Sizes(grad), bias_grad, [&](int64_t at, float* sums, const Columns& columns) {
    SlopeBackwardColumns(g + at, s + at, sums, columns);
  });
}

void SumRows(const torch::Tensor& grad, torch::Tensor bias_grad) {
  if (!bias_grad.defined()) {
    return;
  }
  if (!grad.is_cpu()) {
    at::sum_out(bias_grad, grad, {1}, /*keepdim=*/true);
    return;
  }
  const float* g = grad.data_ptr<float>();
  ForEachColumnBlock(Sizes(grad), bias_grad,
                     [&](int64_t at, float* sums, const Columns& columns) { SumColumns(g + at, sums, columns); });
}

void GaussianLossGradient(const torch::Tensor& output, const torch::Tensor& target, const torch::Tensor& l_max,
                          const torch::Tensor& l_min, float c, float penalty, torch::Tensor& grad,
                          torch::Tensor& max_grad, torch::Tensor& min_grad, torch::Tensor& loss) {
  const int64_t dim = target.size(2);
  if (!output.is_cpu()) {
    const torch::Tensor mean = output.slice(-1, 0, dim);
    const torch::Tensor raw = output.slice(-1, dim, 2 * dim);
    const torch::Tensor t = l_max - at::softplus(l_max - raw);
    const torch::Tensor log_var = l_min + at::softplus(t - l_min);
    const torch::Tensor error = mean - target;
    const torch::Tensor precision_error = error * torch::exp(-log_var);
    const torch::Tensor scaled_square = error * precision_error;
    const torch::Tensor by_log_var = (1 - scaled_square) * c;
    const torch::Tensor by_t = by_log_var * torch::sigmoid(t - l_min);
    grad.slice(-1, 0, dim).copy_(precision_error * (2 * c));
    grad.slice(-1, dim, 2 * dim).copy_(by_t * torch::sigmoid(l_max - raw));
    // What the gates hold back goes to the bounds; 1 - sigmoid(x) = sigmoid(-x) without cancellation.
    const std::vector<int64_t> rows{0, 1};
    max_grad.copy_((by_t * torch::sigmoid(raw - l_max)).sum(rows).view_as(max_grad)).add_(penalty);
    min_grad.copy_((by_log_var * torch::sigmoid(l_min - t)).sum(rows).view_as(min_grad)).sub_(penalty);
    loss.copy_((scaled_square + log_var).sum() * c + penalty * (l_max.sum() - l_min.sum()));
    return;
  }

  // Tiles of kTileRows rows are laid out so that the inner loop runs over whole vectors whatever `dim` is.
  constexpr int64_t kTileRows = 16;
  const int64_t rows = output.size(0) * output.size(1);
  const int64_t tasks = at::divup(rows, kLossRows);
  const int64_t tile_size = kTileRows * dim;
  const float* from = output.data_ptr<float>();
  const float* targets = target.data_ptr<float>();
  const float* upper = l_max.data_ptr<float>();
  const float* lower = l_min.data_ptr<float>();
  float* to = grad.data_ptr<float>();
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
  float* max_sums = max_grad.data_ptr<float>();
  float* min_sums = min_grad.data_ptr<float>();
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
  *loss.data_ptr<float>() = c * static_cast<float>(loss_sum) + penalty * static_cast<float>(bounds_sum);
}

void AdamStep(const AdamConstants& constants, const std::vector<DecaySegment>& decay, torch::Tensor& step,
              torch::Tensor& values, torch::Tensor& grads, torch::Tensor& first_moment, torch::Tensor& second_moment,
              torch::Tensor target, double tau) {
  if (!values.is_cpu()) {
    step.add_(1);
    for (const DecaySegment& segment : decay) {
      grads.slice(0, segment.begin, segment.end).add_(values.slice(0, segment.begin, segment.end), segment.factor);
    }
    at::_fused_adam_(values, grads, first_moment, second_moment, /*max_exp_avg_sqs=*/{}, step, constants.learning_rate,
                     constants.beta1, constants.beta2, /*weight_decay=*/0, constants.epsilon, /*amsgrad=*/false,
                     /*maximize=*/false);
    if (target.defined()) {
      target.lerp_(values, tau);
    }
    return;
  }
  const auto t = static_cast<double>(*step.data_ptr<float>() += 1);
  const AdamFactors factors{
      .beta1 = static_cast<float>(constants.beta1),
      .beta2 = static_cast<float>(constants.beta2),
      .step_size = static_cast<float>(constants.learning_rate / (1 - std::pow(constants.beta1, t))),
      .second_correction = static_cast<float>(1 / std::sqrt(1 - std::pow(constants.beta2, t))),
      .epsilon = static_cast<float>(constants.epsilon),
      .decay = 0,
      .tau = static_cast<float>(tau)};
  float* p = values.data_ptr<float>();
  const float* g = grads.data_ptr<float>();
  float* m = first_moment.data_ptr<float>();
  float* v = second_moment.data_ptr<float>();
  float* follower = target.defined() ? target.data_ptr<float>() : nullptr;
  const auto run = [&](int64_t begin, int64_t end, float factor) {
    AdamFactors f = factors;
    f.decay = factor;
    if (follower == nullptr) {
      AdamRange(f, p + begin, g + begin, m + begin, v + begin, end - begin);
    } else {
      AdamRangeWithTarget(f, p + begin, g + begin, m + begin, v + begin, follower + begin, end - begin);
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
