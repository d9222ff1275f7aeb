// What one thread does to a block of rows between two matrix products of nn/layer_norm_mlp.h's networks, on pointers.
//
// Numbers are float32. Those too small to be normal are taken as zero by who calls (FlushSubnormals).
#ifndef REVERIE_SRC_NN_LAYER_NORM_KERNELS_H_
#define REVERIE_SRC_NN_LAYER_NORM_KERNELS_H_

#include <cstdint>
#include <span>

namespace reverie {

// Rows of `width` numbers that begin `stride` apart, the first of them being row `first` of its tensor.
struct RowBlock {
  int64_t first, rows, width, stride;
};

// Of a hidden layer, what goes into the products being y:
//   z = scale (y + bias), 0 where dropped;   h = silu(z);   n = (h - mean h) / sqrt(var h + epsilon), h where epsilon
//   is 0
struct HiddenPass {
  float scale = 1;
  float epsilon = 0;
};

// y becomes n; bias [width]. dropped: ascending, position row width + column of the tensor. Where slope is not null,
// slope = dh / dy lies as y does, and inverse_std [rows] = 1 / sqrt(var h + epsilon), which stays as it is where
// epsilon is 0.
void HiddenForward(const HiddenPass& pass, const RowBlock& block, const float* bias, std::span<const int64_t> dropped,
                   float* y, float* slope, float* inverse_std);

// grad of a loss by n, lying as n and slope do, becomes that by y.
void HiddenBackward(const HiddenPass& pass, const RowBlock& block, const float* n, const float* slope,
                    const float* inverse_std, float* grad);

// sums [width] = the sum over rows.
void SumOfRows(const RowBlock& block, const float* y, float* sums);

// y += bias [width] in each row, which then lies at `to`, rows without gaps.
void AddBiasAndGather(const RowBlock& block, const float* y, const float* bias, float* to);

}  // namespace reverie

#endif  // REVERIE_SRC_NN_LAYER_NORM_KERNELS_H_
