// Products of float32 matrices in AMX's tiles, which multiply bfloat16 numbers sixteen times as fast as AVX-512 does
// float32 ones and add up in float32. A number is the sum of up to three bfloat16 parts, x = x_1 + x_2 + x_3 (Henry,
// Tang and Heinecke 2019, section II):
//
//   3 parts: x w = x_1 w_1 + x_1 w_2 + x_2 w_1 + x_2 w_2 + x_1 w_3 + x_3 w_1    as exact as float32's own sums
//   2 parts: x w = x_1 w_1 + x_1 w_2 + x_2 w_1                                  what is left out is below 2^-15 of x w
//   1 part:  x w = x_1 w_1                                                      and here below 2^-7
//
// A number beyond the largest bfloat16, 3.39e38, gives what is not finite.
#ifndef REVERIE_SRC_NN_AMX_H_
#define REVERIE_SRC_NN_AMX_H_

#include "block.h"

// Clang's intrinsics want the whole file compiled for AMX.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define REVERIE_HAS_AMX 1
#endif

namespace reverie {

// Whether the processor has it and the kernel lends it to this process, for which it is asked once.
bool AmxAtHand();

// Rows of whole tiles for so many.
int64_t AmxRows(int64_t rows);

// Size of the tiles.
int64_t AmxBytes(const WeightLayout& layout);

// weights [k, n] contiguous; tiles AmxBytes(layout), aligned to 64 bytes.
void LayOutAmxTiles(const float* weights, const WeightLayout& layout, void* tiles);

// BlockProduct (block.h) of weights that lie so. y [AmxRows(a.rows), n in whole vectors of 16], of which the rows
// beyond a.rows are anything.
void AmxProduct(const ConstBlock& a, const void* tiles, const WeightLayout& layout, float* y);

}  // namespace reverie

#endif  // REVERIE_SRC_NN_AMX_H_
