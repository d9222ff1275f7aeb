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

// How weights [k, n] lie: row after row, or as panels of up to three vectors of columns, whose rows lie one after
// another and are filled up with zeros to whole vectors.
struct PanelLayout {
  int64_t k, n;
  int64_t lanes = 1;  // numbers of a vector; 1: no panels

  int64_t padded_n() const { return (n + lanes - 1) / lanes * lanes; }
  int64_t numbers() const { return k * padded_n(); }
};

// What this processor's panels have: 16 with AVX-512, 8 with AVX2, 0 where there is nothing to be had from panels.
int64_t PanelLanes();

// weights [k, n] contiguous, panels [layout.numbers()].
void LayOutPanels(const float* weights, const PanelLayout& layout, float* panels);

// y [a.rows, padded_n] contiguous = a [a.rows, k] times weights that lie so. Panels and y are aligned to their vectors.
void BlockProduct(const ConstBlock& a, const float* weights, const PanelLayout& layout, float* y);

// y [rows, n]: rows of AddBias, BiasRelu and BiasSilu (kernels.h), bias [n].
void AddBiasBlock(float* y, const float* bias, int64_t rows, int64_t n);
void BiasReluBlock(float* y, const float* bias, int64_t rows, int64_t n);
void BiasSiluBlock(float* y, const float* bias, int64_t rows, int64_t n);

// BiasSiluBlock of what BlockProduct wrote, bias [padded_n] aligned as y.
void BiasSilu(float* y, const float* bias, int64_t rows, const PanelLayout& layout);

}  // namespace reverie

#endif  // REVERIE_SRC_NN_BLOCK_H_
