// What one thread does to a block of rows, on pointers: the products and passes of an MLP without LibTorch's dispatch,
// which costs more than the memory passes where a block has a few hundred rows.
#ifndef REVERIE_SRC_NN_BLOCK_H_
#define REVERIE_SRC_NN_BLOCK_H_

#include <cstdint>

namespace reverie {

// Row-major float32; rows begin `stride` numbers apart.
struct ConstBlock {
  const float* data;
  int64_t rows, stride;
};

// y [a.rows, n] contiguous = a [a.rows, k] b [k, n], b contiguous.
void BlockProduct(const ConstBlock& a, const float* b, int64_t k, int64_t n, float* y);

// y [rows, n]: rows of AddBias, BiasRelu and BiasSilu (kernels.h), bias [n].
void AddBiasBlock(float* y, const float* bias, int64_t rows, int64_t n);
void BiasReluBlock(float* y, const float* bias, int64_t rows, int64_t n);
void BiasSiluBlock(float* y, const float* bias, int64_t rows, int64_t n);

}  // namespace reverie

#endif  // REVERIE_SRC_NN_BLOCK_H_
