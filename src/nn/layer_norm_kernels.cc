#include "layer_norm_kernels.h"

#include <algorithm>
#include <cmath>

#include "core/vectorize.h"
#include "kernels_math.h"

namespace reverie {
namespace {

REVERIE_CLONES void ScaledSiluRow(float* __restrict y, const float* __restrict bias, float scale, int64_t n) {
  for (int64_t j = 0; j < n; ++j) {
    y[j] = Silu(scale * (y[j] + bias[j])).value;
  }
}

REVERIE_CLONES void ScaledSiluSlopeRow(float* __restrict y, const float* __restrict bias, float scale,
                                       float* __restrict slope, int64_t n) {
  for (int64_t j = 0; j < n; ++j) {
    const SiluValue silu = Silu(scale * (y[j] + bias[j]));
    y[j] = silu.value;
    slope[j] = scale * silu.slope;
  }
}

// Returns 1 / sqrt(var + epsilon).
REVERIE_CLONES float NormalizeRow(float* __restrict h, float epsilon, int64_t n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < n; ++j) {
    sum += h[j];
  }
  const float mean = sum / static_cast<float>(n);
  float square = 0;
#pragma omp simd reduction(+ : square)
  for (int64_t j = 0; j < n; ++j) {
    h[j] -= mean;
    square += h[j] * h[j];
  }
  const float inverse_std = 1 / std::sqrt(square / static_cast<float>(n) + epsilon);
  for (int64_t j = 0; j < n; ++j) {
    h[j] *= inverse_std;
  }
  return inverse_std;
}

// By h: inverse_std (g - mean g - n mean(g n)).
REVERIE_CLONES void NormalizeBackwardRow(float* __restrict grad, const float* __restrict normalized,
                                         const float* __restrict slope, float inverse_std, int64_t n) {
  float sum = 0;
  float product = 0;
#pragma omp simd reduction(+ : sum, product)
  for (int64_t j = 0; j < n; ++j) {
    sum += grad[j];
    product += grad[j] * normalized[j];
  }
  const float mean = sum / static_cast<float>(n);
  const float along = product / static_cast<float>(n);
  for (int64_t j = 0; j < n; ++j) {
    grad[j] = inverse_std * (grad[j] - mean - normalized[j] * along) * slope[j];
  }
}

REVERIE_CLONES void SlopeRow(float* __restrict grad, const float* __restrict slope, int64_t n) {
  for (int64_t j = 0; j < n; ++j) {
    grad[j] *= slope[j];
  }
}

REVERIE_CLONES void AddRow(float* __restrict sums, const float* __restrict y, int64_t n) {
  for (int64_t j = 0; j < n; ++j) {
    sums[j] += y[j];
  }
}

REVERIE_CLONES void BiasedRow(float* __restrict to, const float* __restrict y, const float* __restrict bias,
                              int64_t n) {
  for (int64_t j = 0; j < n; ++j) {
    to[j] = y[j] + bias[j];
  }
}

}  // namespace

void HiddenForward(const HiddenPass& pass, const RowBlock& block, const float* bias, std::span<const int64_t> dropped,
                   float* y, float* slope, float* inverse_std) {
  auto next = std::lower_bound(dropped.begin(), dropped.end(), block.first * block.width);
  for (int64_t i = 0; i < block.rows; ++i) {
    float* const row = y + i * block.stride;
    float* const row_slope = slope == nullptr ? nullptr : slope + i * block.stride;
    if (slope == nullptr) {
      ScaledSiluRow(row, bias, pass.scale, block.width);
    } else {
      ScaledSiluSlopeRow(row, bias, pass.scale, row_slope, block.width);
    }
    const int64_t begin = (block.first + i) * block.width;
    for (; next != dropped.end() && *next < begin + block.width; ++next) {
      row[*next - begin] = 0;
      if (slope != nullptr) {
        row_slope[*next - begin] = 0;
      }
    }
    if (pass.epsilon > 0) {
      const float inverse = NormalizeRow(row, pass.epsilon, block.width);
      if (slope != nullptr) {
        inverse_std[i] = inverse;
      }
    }
  }
}

void HiddenBackward(const HiddenPass& pass, const RowBlock& block, const float* n, const float* slope,
                    const float* inverse_std, float* grad) {
  for (int64_t i = 0; i < block.rows; ++i) {
    const int64_t at = i * block.stride;
    if (pass.epsilon > 0) {
      NormalizeBackwardRow(grad + at, n + at, slope + at, inverse_std[i], block.width);
    } else {
      SlopeRow(grad + at, slope + at, block.width);
    }
  }
}

void SumOfRows(const RowBlock& block, const float* y, float* sums) {
  std::fill_n(sums, block.width, 0.0F);
  for (int64_t i = 0; i < block.rows; ++i) {
    AddRow(sums, y + i * block.stride, block.width);
  }
}

void AddBiasAndGather(const RowBlock& block, const float* y, const float* bias, float* to) {
  for (int64_t i = 0; i < block.rows; ++i) {
    BiasedRow(to + i * block.width, y + i * block.stride, bias, block.width);
  }
}

}  // namespace reverie
