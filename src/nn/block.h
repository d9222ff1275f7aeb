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

// How a product's weights lie, each faster than the one before it where the processor has it.
enum class Packing {
  kRows,  // row after row
  // Panels of up to three vectors of columns, whose rows lie one after another.
  kAvx2,
  kAvx512,
  kAmx,  // tiles of bfloat16 parts (amx.h)
};

// The best that this processor multiplies.
Packing BestPacking();

// Weights [k, n] that lie so. All but kRows fill up n with zeros to whole vectors.
struct WeightLayout {
  int64_t k, n;
  Packing packing = Packing::kRows;
  int64_t parts = 3;  // of a number, with kAmx

  int64_t padded_n() const;
  int64_t bytes() const;
  // Of the product's result for so many rows: kAmx writes whole tiles.
  int64_t padded_rows(int64_t rows) const;
};

// weights [k, n] contiguous, packed [layout.bytes()] aligned to 64 bytes.
void PackWeights(const float* weights, const WeightLayout& layout, void* packed);
// The same for weights whose rows lie `row_stride` numbers apart, and for those that stand transposed, [n, k], with
// such rows. Not for kAmx.
void PackWeights(const float* weights, int64_t row_stride, const WeightLayout& layout, void* packed);
void PackTransposedWeights(const float* weights, int64_t row_stride, const WeightLayout& layout, void* packed);

// y [padded_rows, padded_n] contiguous = a [a.rows, k] times weights that lie so; rows beyond a.rows are anything.
// Packed weights and their y are aligned to 64 bytes.
void BlockProduct(const ConstBlock& a, const void* weights, const WeightLayout& layout, float* y);

// y [m, padded_n] contiguous = a^T [m, k] times weights that lie so, or added to y, where a has k rows, m columns of
// which count. Not for kAmx.
void BlockTransposedProduct(const ConstBlock& a, int64_t m, const void* weights, const WeightLayout& layout, bool add,
                            float* y);

// y [rows, n]: rows of AddBias, BiasRelu and BiasSilu (kernels.h), bias [n].
void AddBiasBlock(float* y, const float* bias, int64_t rows, int64_t n);
void BiasReluBlock(float* y, const float* bias, int64_t rows, int64_t n);
void BiasSiluBlock(float* y, const float* bias, int64_t rows, int64_t n);

// BiasSiluBlock of what BlockProduct wrote, bias [padded_n] aligned as y.
void BiasSilu(float* y, const float* bias, int64_t rows, const WeightLayout& layout);

}  // namespace reverie

#endif  // REVERIE_SRC_NN_BLOCK_H_
