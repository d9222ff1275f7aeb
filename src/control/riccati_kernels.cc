#include "riccati_kernels.h"

#include <cmath>
#include <limits>

#include "core/vectorize.h"

namespace reverie {
namespace {

// Four doubles, in one register where the processor has such wide ones. Arrays of plain numbers were kept in memory.
using Four = double __attribute__((vector_size(32)));

[[gnu::always_inline]] inline void Load(const double* from, Four& to) { __builtin_memcpy(&to, from, sizeof(Four)); }
[[gnu::always_inline]] inline void Store(const Four& from, double* to) { __builtin_memcpy(to, &from, sizeof(Four)); }

// The product's block of that many rows and four times as many columns, summed in registers.
template <int kRows, int kFours>
[[gnu::always_inline]] inline void AddBlock(const double* a, int64_t a_stride, const double* b, int64_t b_stride,
                                            double* c, int64_t c_stride, int64_t inner) {
  Four sums[kRows][kFours];
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kFours; ++j) {
      Load(c + i * c_stride + 4 * j, sums[i][j]);
    }
  }
  for (int64_t k = 0; k < inner; ++k) {
    Four row[kFours];
    for (int j = 0; j < kFours; ++j) {
      Load(b + k * b_stride + 4 * j, row[j]);
    }
    for (int i = 0; i < kRows; ++i) {
      const double factor = a[k * a_stride + i];
      for (int j = 0; j < kFours; ++j) {
        sums[i][j] += factor * row[j];
      }
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kFours; ++j) {
      Store(sums[i][j], c + i * c_stride + 4 * j);
    }
  }
}

// The columns that are left over, one by one.
template <int kRows>
[[gnu::always_inline]] inline void AddColumn(const double* a, int64_t a_stride, const double* b, int64_t b_stride,
                                             double* c, int64_t c_stride, int64_t inner) {
  double sums[kRows] = {};
  for (int64_t k = 0; k < inner; ++k) {
    for (int i = 0; i < kRows; ++i) {
      sums[i] += a[k * a_stride + i] * b[k * b_stride];
    }
  }
  for (int i = 0; i < kRows; ++i) {
    c[i * c_stride] += sums[i];
  }
}

template <int kRows>
[[gnu::always_inline]] inline void AddRows(const double* a, int64_t a_stride, const double* b, int64_t b_stride,
                                           double* c, int64_t c_stride, int64_t inner, int64_t columns) {
  int64_t j = 0;
  for (; j + 8 <= columns; j += 8) {
    AddBlock<kRows, 2>(a, a_stride, b + j, b_stride, c + j, c_stride, inner);
  }
  for (; j + 4 <= columns; j += 4) {
    AddBlock<kRows, 1>(a, a_stride, b + j, b_stride, c + j, c_stride, inner);
  }
  for (; j < columns; ++j) {
    AddColumn<kRows>(a, a_stride, b + j, b_stride, c + j, c_stride, inner);
  }
}

REVERIE_CLONES void AddScaledRow(double* __restrict y, const double* __restrict x, double scale, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    y[i] += scale * x[i];
  }
}

REVERIE_CLONES void ScaleRow(double* __restrict y, double scale, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    y[i] *= scale;
  }
}

}  // namespace

REVERIE_CLONES void AddTransposedProduct(const double* a, int64_t a_stride, const double* b, int64_t b_stride,
                                         double* c, int64_t c_stride, int64_t inner, int64_t rows, int64_t columns) {
  int64_t i = 0;
  for (; i + 4 <= rows; i += 4) {
    AddRows<4>(a + i, a_stride, b, b_stride, c + i * c_stride, c_stride, inner, columns);
  }
  for (; i < rows; ++i) {
    AddRows<1>(a + i, a_stride, b, b_stride, c + i * c_stride, c_stride, inner, columns);
  }
}

bool FactoriseRows(double* matrix, int64_t size) {
  for (int64_t i = 0; i < size; ++i) {
    double* row = matrix + i * size;
    for (int64_t j = 0; j <= i; ++j) {
      const double* other = matrix + j * size;
      double rest = row[j];
      for (int64_t k = 0; k < j; ++k) {
        rest -= row[k] * other[k];
      }
      if (j < i) {
        row[j] = rest / other[j];
      } else if (rest > 0 && rest <= std::numeric_limits<double>::max()) {
        row[i] = std::sqrt(rest);
      } else {
        return false;
      }
    }
  }
  return true;
}

void SolveRowsNegated(const double* factor, int64_t size, double* y, int64_t columns) {
  for (int64_t i = 0; i < size; ++i) {
    for (int64_t j = 0; j < i; ++j) {
      AddScaledRow(y + i * columns, y + j * columns, -factor[i * size + j], columns);
    }
    ScaleRow(y + i * columns, 1 / factor[i * size + i], columns);
  }
  for (int64_t i = size - 1; i >= 0; --i) {
    for (int64_t j = i + 1; j < size; ++j) {  // these are negated already
      AddScaledRow(y + i * columns, y + j * columns, factor[j * size + i], columns);
    }
    ScaleRow(y + i * columns, -1 / factor[i * size + i], columns);
  }
}

void Symmetrise(double* matrix, int64_t size) {
  for (int64_t i = 0; i < size; ++i) {
    for (int64_t j = 0; j < i; ++j) {
      matrix[i * size + j] = matrix[j * size + i] = 0.5 * (matrix[i * size + j] + matrix[j * size + i]);
    }
  }
}

REVERIE_CLONES bool AllFinite(const double* values, int64_t count) {
  int64_t others = 0;
#pragma omp simd reduction(+ : others)
  for (int64_t i = 0; i < count; ++i) {
    others += std::abs(values[i]) <= std::numeric_limits<double>::max() ? 0 : 1;
  }
  return others == 0;
}

}  // namespace reverie
