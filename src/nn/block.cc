#include "block.h"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/mm.h>

#include <algorithm>
#include <stdexcept>

#include "amx.h"
#include "reverie/nn/elementwise.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define REVERIE_HAS_PANELS 1
#include <immintrin.h>
#endif

#if REVERIE_HAS_SGEMM
// The BLAS that LibTorch was built with: column-major, so that it is asked for y^T = b^T a^T.
extern "C" void sgemm_(const char* trans_a, const char* trans_b, const int* m, const int* n, const int* k,
                       const float* alpha, const float* a, const int* lda, const float* b, const int* ldb,
                       const float* beta, float* c, const int* ldc);
#endif

namespace reverie {
namespace {

// y [a.rows, n] contiguous = a [a.rows, k] b [k, n], b contiguous.
void PlainProduct(const ConstBlock& a, const float* b, int64_t k, int64_t n, float* y) {
  const int64_t stride = std::max(a.stride, k);  // that of a single row may be anything
#if REVERIE_HAS_SGEMM
  const auto rows = static_cast<int>(a.rows);
  const auto columns = static_cast<int>(n);
  const auto inner = static_cast<int>(k);
  const auto lda = static_cast<int>(stride);
  const float one = 1;
  const float zero = 0;
  sgemm_("N", "N", &columns, &rows, &inner, &one, b, &columns, a.data, &lda, &zero, y, &columns);
#else
  const auto view = [](const float* data, int64_t rows, int64_t columns, int64_t row_stride) {
    return at::from_blob(const_cast<float*>(data), {rows, columns}, {row_stride, 1}, at::kFloat);
  };
  at::Tensor product = view(y, a.rows, n, n);
  at::mm_out(product, view(a.data, a.rows, k, stride), view(b, k, n, n));
#endif
}

// y [m, n] contiguous = a^T [m, a.rows] b [a.rows, n], b contiguous, or added to y.
void PlainTransposedProduct(const ConstBlock& a, int64_t m, const float* b, int64_t n, bool add, float* y) {
  const int64_t stride = std::max(a.stride, m);
#if REVERIE_HAS_SGEMM
  const auto rows = static_cast<int>(m);
  const auto columns = static_cast<int>(n);
  const auto inner = static_cast<int>(a.rows);
  const auto lda = static_cast<int>(stride);
  const float one = 1;
  const float kept = add ? 1 : 0;
  sgemm_("N", "T", &columns, &rows, &inner, &one, b, &columns, a.data, &lda, &kept, y, &columns);
#else
  const auto view = [](const float* data, int64_t rows, int64_t columns, int64_t row_stride) {
    return at::from_blob(const_cast<float*>(data), {rows, columns}, {row_stride, 1}, at::kFloat);
  };
  at::Tensor product = view(y, m, n, n);
  product.addmm_(view(a.data, a.rows, m, stride).t(), view(b, a.rows, n, n), add ? 1 : 0, 1);
#endif
}

constexpr int64_t kPanelVectors = 3;

// Numbers of a vector.
int64_t LanesOf(Packing packing) {
  switch (packing) {
    case Packing::kRows:
      return 1;
    case Packing::kAvx2:
      return 8;
    case Packing::kAvx512:
    case Packing::kAmx:
      return 16;
  }
  throw std::logic_error("unknown packing");
}

// visit(first column, vectors) for each panel: as few as can be, of sizes as even as can be.
template <class Visit>
[[gnu::always_inline]] inline void ForEachPanel(const WeightLayout& layout, Visit visit) {
  const int64_t lanes = LanesOf(layout.packing);
  const int64_t vectors = layout.padded_n() / lanes;
  const int64_t panels = (vectors + kPanelVectors - 1) / kPanelVectors;
  for (int64_t p = 0; p < panels; ++p) {
    const int64_t begin = p * vectors / panels;
    visit(begin * lanes, (p + 1) * vectors / panels - begin);
  }
}

void LayOutPanels(const float* weights, int64_t row_stride, const WeightLayout& layout, float* panels) {
  const int64_t lanes = LanesOf(layout.packing);
  ForEachPanel(layout, [&](int64_t begin, int64_t vectors) {
    const int64_t width = vectors * lanes;
    const int64_t count = std::min(width, layout.n - begin);
    float* row = panels + begin * layout.k;
    for (int64_t i = 0; i < layout.k; ++i, row += width) {
      std::fill(std::copy_n(weights + i * row_stride + begin, count, row), row + width, 0.0F);
    }
  });
}

// Rows of a panel that are filled together, so that a row of the transposed weights is read by whole cache lines.
constexpr int64_t kTransposedRows = 16;

void LayOutTransposedPanels(const float* weights, int64_t row_stride, const WeightLayout& layout, float* panels) {
  const int64_t lanes = LanesOf(layout.packing);
  ForEachPanel(layout, [&](int64_t begin, int64_t vectors) {
    const int64_t width = vectors * lanes;
    const int64_t count = std::min(width, layout.n - begin);
    float* const panel = panels + begin * layout.k;
    for (int64_t first = 0; first < layout.k; first += kTransposedRows) {
      const int64_t last = std::min(first + kTransposedRows, layout.k);
      for (int64_t j = 0; j < count; ++j) {
        const float* const column = weights + (begin + j) * row_stride;
        for (int64_t i = first; i < last; ++i) {
          panel[i * width + j] = column[i];
        }
      }
      for (int64_t i = first; i < last; ++i) {
        std::fill(panel + i * width + count, panel + (i + 1) * width, 0.0F);
      }
    }
  });
}

}  // namespace

int64_t WeightLayout::padded_n() const {
  const int64_t lanes = LanesOf(packing);
  return (n + lanes - 1) / lanes * lanes;
}

int64_t WeightLayout::bytes() const {
  return packing == Packing::kAmx ? AmxBytes(*this) : k * padded_n() * static_cast<int64_t>(sizeof(float));
}

int64_t WeightLayout::padded_rows(int64_t rows) const { return packing == Packing::kAmx ? AmxRows(rows) : rows; }

void PackWeights(const float* weights, const WeightLayout& layout, void* packed) {
  if (layout.packing == Packing::kAmx) {
    LayOutAmxTiles(weights, layout, packed);
  } else {
    PackWeights(weights, layout.n, layout, packed);
  }
}

void PackWeights(const float* weights, int64_t row_stride, const WeightLayout& layout, void* packed) {
  auto* const numbers = static_cast<float*>(packed);
  if (layout.packing != Packing::kRows) {
    return LayOutPanels(weights, row_stride, layout, numbers);
  }
  for (int64_t i = 0; i < layout.k; ++i) {
    std::copy_n(weights + i * row_stride, layout.n, numbers + i * layout.n);
  }
}

void PackTransposedWeights(const float* weights, int64_t row_stride, const WeightLayout& layout, void* packed) {
  auto* const numbers = static_cast<float*>(packed);
  if (layout.packing != Packing::kRows) {
    return LayOutTransposedPanels(weights, row_stride, layout, numbers);
  }
  for (int64_t j = 0; j < layout.n; ++j) {
    for (int64_t i = 0; i < layout.k; ++i) {
      numbers[i * layout.n + j] = weights[j * row_stride + i];
    }
  }
}

#if REVERIE_HAS_PANELS

namespace {

// How a product reads `a`: number q of row i is a[i row + q inner].
struct Strides {
  int64_t row, inner;
};

// y [kRows, kVectors vectors] = a [kRows, k] panel, or added to y, all sums in registers.
template <int kLanes, int kRows, int kVectors>
[[gnu::always_inline]] inline void Tile(const float* a, Strides of, const float* panel, int64_t k, bool add, float* y,
                                        int64_t y_stride) {
  using Vector [[gnu::vector_size(kLanes * sizeof(float))]] = float;
  Vector sums[kRows][kVectors] = {};
  if (add) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 3
      for (int v = 0; v < kVectors; ++v) {
        sums[i][v] = reinterpret_cast<Vector*>(y + i * y_stride)[v];
      }
    }
  }
#pragma GCC unroll 2
  for (int64_t q = 0; q < k; ++q) {
    const Vector* b = reinterpret_cast<const Vector*>(panel + q * kVectors * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 3
      for (int v = 0; v < kVectors; ++v) {
        sums[i][v] += a[i * of.row + q * of.inner] * b[v];
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) {
      reinterpret_cast<Vector*>(y + i * y_stride)[v] = sums[i][v];
    }
  }
}

// kRows rows at a time, then four, then one.
template <int kLanes, int kRows, int kVectors>
[[gnu::always_inline]] inline void ThroughPanel(const float* a, Strides of, int64_t rows, const float* panel, int64_t k,
                                                bool add, float* y, int64_t y_stride) {
  int64_t i = 0;
  for (; i + kRows <= rows; i += kRows) {
    Tile<kLanes, kRows, kVectors>(a + i * of.row, of, panel, k, add, y + i * y_stride, y_stride);
  }
  for (; i + 4 <= rows; i += 4) {
    Tile<kLanes, 4, kVectors>(a + i * of.row, of, panel, k, add, y + i * y_stride, y_stride);
  }
  for (; i < rows; ++i) {
    Tile<kLanes, 1, kVectors>(a + i * of.row, of, panel, k, add, y + i * y_stride, y_stride);
  }
}

// A tile's sums, a panel's row and a number of `a` fill kRegisters registers as far as whole rows can.
template <int kLanes, int kRegisters>
[[gnu::always_inline]] inline void ThroughPanels(const float* a, Strides of, int64_t rows, const float* panels,
                                                 const WeightLayout& layout, bool add, float* y) {
  ForEachPanel(
      layout, [&](int64_t begin, int64_t vectors) __attribute__((always_inline)) {
        const float* panel = panels + begin * layout.k;
        const int64_t y_stride = layout.padded_n();
        if (vectors == 3) {
          ThroughPanel<kLanes, (kRegisters - 4) / 3, 3>(a, of, rows, panel, layout.k, add, y + begin, y_stride);
        } else if (vectors == 2) {
          ThroughPanel<kLanes, (kRegisters - 3) / 2, 2>(a, of, rows, panel, layout.k, add, y + begin, y_stride);
        } else {
          ThroughPanel<kLanes, kRegisters / 2, 1>(a, of, rows, panel, layout.k, add, y + begin, y_stride);
        }
      });
}

[[gnu::target("arch=x86-64-v4")]] void Avx512Product(const ConstBlock& a, const float* panels,
                                                     const WeightLayout& layout, float* y) {
  ThroughPanels<16, 32>(a.data, {.row = a.stride, .inner = 1}, a.rows, panels, layout, /*add=*/false, y);
}

[[gnu::target("arch=x86-64-v3")]] void Avx2Product(const ConstBlock& a, const float* panels, const WeightLayout& layout,
                                                   float* y) {
  ThroughPanels<8, 16>(a.data, {.row = a.stride, .inner = 1}, a.rows, panels, layout, /*add=*/false, y);
}

[[gnu::target("arch=x86-64-v4")]] void Avx512TransposedProduct(const ConstBlock& a, int64_t m, const float* panels,
                                                               const WeightLayout& layout, bool add, float* y) {
  ThroughPanels<16, 32>(a.data, {.row = 1, .inner = a.stride}, m, panels, layout, add, y);
}

[[gnu::target("arch=x86-64-v3")]] void Avx2TransposedProduct(const ConstBlock& a, int64_t m, const float* panels,
                                                             const WeightLayout& layout, bool add, float* y) {
  ThroughPanels<8, 16>(a.data, {.row = 1, .inner = a.stride}, m, panels, layout, add, y);
}

// x sigmoid(x) as kernels_math.h has it, by what AVX-512 has in place of a division and of a power's exponent.
[[gnu::target("arch=x86-64-v4")]] void Avx512BiasSilu(float* y, const float* bias, int64_t rows, int64_t n) {
  constexpr __mmask16 kAll = 0xFFFF;
  for (int64_t i = 0; i < rows; ++i, y += n) {
    for (int64_t j = 0; j < n; j += 16) {
      const __m512 x = _mm512_load_ps(y + j) + _mm512_load_ps(bias + j);
      const __m512 above = _mm512_maskz_max_ps(kAll, _mm512_set1_ps(-87), x);  // NaN where x is
      const __m512 minus = -_mm512_maskz_min_ps(kAll, _mm512_set1_ps(88), above);
      __m512 shifted;
      __m512 p;
      ExpParts(minus, shifted, p);
      const __m512 d = 1.0F + _mm512_maskz_scalef_ps(kAll, p, shifted - kExpRound);
      const __m512 s = _mm512_maskz_rcp14_ps(kAll, d);
      _mm512_store_ps(y + j, x * (s * (2.0F - d * s)));
    }
  }
}

}  // namespace

Packing BestPacking() {
  static const Packing best = AmxAtHand()                           ? Packing::kAmx
                              : __builtin_cpu_supports("x86-64-v4") ? Packing::kAvx512
                              : __builtin_cpu_supports("x86-64-v3") ? Packing::kAvx2
                                                                    : Packing::kRows;
  return best;
}

void BlockProduct(const ConstBlock& a, const void* weights, const WeightLayout& layout, float* y) {
  const auto* numbers = static_cast<const float*>(weights);
  switch (layout.packing) {
    case Packing::kAmx:
      return AmxProduct(a, weights, layout, y);
    case Packing::kAvx512:
      return Avx512Product(a, numbers, layout, y);
    case Packing::kAvx2:
      return Avx2Product(a, numbers, layout, y);
    case Packing::kRows:
      return PlainProduct(a, numbers, layout.k, layout.n, y);
  }
}

void BlockTransposedProduct(const ConstBlock& a, int64_t m, const void* weights, const WeightLayout& layout, bool add,
                            float* y) {
  const auto* numbers = static_cast<const float*>(weights);
  switch (layout.packing) {
    case Packing::kAmx:
      throw std::logic_error("BlockTransposedProduct: not for AMX");
    case Packing::kAvx512:
      return Avx512TransposedProduct(a, m, numbers, layout, add, y);
    case Packing::kAvx2:
      return Avx2TransposedProduct(a, m, numbers, layout, add, y);
    case Packing::kRows:
      return PlainTransposedProduct(a, m, numbers, layout.n, add, y);
  }
}

void BiasSilu(float* y, const float* bias, int64_t rows, const WeightLayout& layout) {
  if (layout.packing >= Packing::kAvx512) {
    Avx512BiasSilu(y, bias, rows, layout.padded_n());
  } else {
    BiasSiluBlock(y, bias, rows, layout.padded_n());
  }
}

#else

Packing BestPacking() { return Packing::kRows; }

void BlockTransposedProduct(const ConstBlock& a, int64_t m, const void* weights, const WeightLayout& layout, bool add,
                            float* y) {
  PlainTransposedProduct(a, m, static_cast<const float*>(weights), layout.n, add, y);
}

void BlockProduct(const ConstBlock& a, const void* weights, const WeightLayout& layout, float* y) {
  PlainProduct(a, static_cast<const float*>(weights), layout.k, layout.n, y);
}

void BiasSilu(float* y, const float* bias, int64_t rows, const WeightLayout& layout) {
  BiasSiluBlock(y, bias, rows, layout.padded_n());
}

#endif

}  // namespace reverie
