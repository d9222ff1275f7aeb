#include "amx.h"

#if REVERIE_HAS_AMX

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace reverie {
namespace {

// A tile has up to 16 rows of 64 bytes: 16 float32 sums, 32 numbers of x, or 16 pairs of w's numbers that follow one
// another in a column.
constexpr int64_t kTileRows = 16;
constexpr int64_t kSums = 16;
constexpr int64_t kDepth = 32;
constexpr int64_t kTileNumbers = kTileRows * kDepth;
constexpr int64_t kRowBytes = 64;
// Tiles down two columns after which sums rest in memory: so many stay in the first-level cache for all rows.
constexpr int64_t kRestingTiles = 8;

int64_t Tiles(int64_t n, int64_t of) { return (n + of - 1) / of; }

// Of tiles as even as can be, the last of which may go beyond the rows.
int64_t HeightOf(int64_t rows) { return Tiles(rows, Tiles(rows, kTileRows)); }

struct alignas(64) TileShapes {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// What AmxProduct goes through for two tiles of rows and two of columns, or the first of them alone.
struct Corner {
  const uint16_t* x;  // [rows, parts, depth]
  int64_t x_stride, next_x, x_part;
  const uint16_t* w;  // [steps, parts, kTileNumbers]
  int64_t next_w;
  float* y;
  int64_t y_stride, next_y;
  int64_t first_step, end_step;
};

#define REVERIE_AMX gnu::target("arch=x86-64-v4,avx512bf16,amx-tile,amx-bf16")

// Registers: 0 to 3 have sums, [row tile][column tile]; 4 and 5 tiles of x, 6 and 7 of w.

template <int kRows>
[[REVERIE_AMX, gnu::always_inline]] inline void LoadX(const Corner& c, const uint16_t* x) {
  _tile_loadd(4, x, c.x_stride * 2);
  if constexpr (kRows == 2) {
    _tile_loadd(5, x + c.next_x, c.x_stride * 2);
  }
}

template <int kColumns>
[[REVERIE_AMX, gnu::always_inline]] inline void LoadW(const Corner& c, const uint16_t* w) {
  _tile_loadd(6, w, kRowBytes);
  if constexpr (kColumns == 2) {
    _tile_loadd(7, w + c.next_w, kRowBytes);
  }
}

template <int kRows, int kColumns>
[[REVERIE_AMX, gnu::always_inline]] inline void AddProducts() {
  _tile_dpbf16ps(0, 4, 6);
  if constexpr (kColumns == 2) {
    _tile_dpbf16ps(1, 4, 7);
  }
  if constexpr (kRows == 2) {
    _tile_dpbf16ps(2, 5, 6);
    if constexpr (kColumns == 2) {
      _tile_dpbf16ps(3, 5, 7);
    }
  }
}

template <int kRows, int kColumns>
[[REVERIE_AMX, gnu::always_inline]] inline void LoadSums(const Corner& c) {
  _tile_loadd(0, c.y, c.y_stride * 4);
  if constexpr (kColumns == 2) {
    _tile_loadd(1, c.y + kSums, c.y_stride * 4);
  }
  if constexpr (kRows == 2) {
    _tile_loadd(2, c.y + c.next_y, c.y_stride * 4);
    if constexpr (kColumns == 2) {
      _tile_loadd(3, c.y + c.next_y + kSums, c.y_stride * 4);
    }
  }
}

template <int kRows, int kColumns>
[[REVERIE_AMX, gnu::always_inline]] inline void StoreSums(const Corner& c) {
  _tile_stored(0, c.y, c.y_stride * 4);
  if constexpr (kColumns == 2) {
    _tile_stored(1, c.y + kSums, c.y_stride * 4);
  }
  if constexpr (kRows == 2) {
    _tile_stored(2, c.y + c.next_y, c.y_stride * 4);
    if constexpr (kColumns == 2) {
      _tile_stored(3, c.y + c.next_y + kSums, c.y_stride * 4);
    }
  }
}

// All products of the parts that amx.h names, in an order in which one product's load serves the next.
template <int kParts, int kRows, int kColumns>
[[REVERIE_AMX, gnu::always_inline]] inline void AddStep(const Corner& c, int64_t step) {
  const uint16_t* x1 = c.x + step * kDepth;
  const uint16_t* x2 = x1 + c.x_part;
  const uint16_t* w1 = c.w + step * kParts * kTileNumbers;
  const uint16_t* w2 = w1 + kTileNumbers;
  const uint16_t* x3 = x2 + c.x_part;
  const uint16_t* w3 = w2 + kTileNumbers;
  LoadX<kRows>(c, x1);
  if constexpr (kParts == 3) {
    LoadW<kColumns>(c, w3);
    AddProducts<kRows, kColumns>();
    LoadW<kColumns>(c, w2);
    AddProducts<kRows, kColumns>();
    LoadX<kRows>(c, x2);
    AddProducts<kRows, kColumns>();
    LoadW<kColumns>(c, w1);
    AddProducts<kRows, kColumns>();
    LoadX<kRows>(c, x3);
    AddProducts<kRows, kColumns>();
    LoadX<kRows>(c, x1);
  } else if constexpr (kParts == 2) {
    LoadW<kColumns>(c, w2);
    AddProducts<kRows, kColumns>();
    LoadW<kColumns>(c, w1);
    AddProducts<kRows, kColumns>();
    LoadX<kRows>(c, x2);
  } else {
    LoadW<kColumns>(c, w1);
  }
  AddProducts<kRows, kColumns>();
}

template <int kParts, int kRows, int kColumns>
[[REVERIE_AMX, gnu::always_inline]] inline void MultiplyCorner(const Corner& c) {
  // The compiler does not know that loads of tiles read memory.
  asm volatile("" ::: "memory");
  if (c.first_step == 0) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  } else {
    LoadSums<kRows, kColumns>(c);
  }
  for (int64_t step = c.first_step; step < c.end_step; ++step) {
    AddStep<kParts, kRows, kColumns>(c, step);
  }
  StoreSums<kRows, kColumns>(c);
}

// The next part of 16 numbers, which it is taken from.
[[REVERIE_AMX, gnu::always_inline]] inline __m256i TakePart(__m512& x) {
  const auto part = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x));
  x -= _mm512_castsi512_ps(_mm512_maskz_slli_epi32(0xFFFF, _mm512_maskz_cvtepu16_epi32(0xFFFF, part), 16));
  return part;
}

// x [a.rows, kParts, depth]: the parts of a [a.rows, k], filled up with zeros.
template <int kParts>
[[REVERIE_AMX]] void Split(const ConstBlock& a, int64_t k, int64_t depth, uint16_t* x) {
  for (int64_t i = 0; i < a.rows; ++i, x += kParts * depth) {
    const float* from = a.data + i * a.stride;
    for (int64_t q = 0; q < depth; q += 16) {
      const int64_t left = std::clamp<int64_t>(k - q, 0, 16);
      __m512 rest = _mm512_maskz_loadu_ps(static_cast<__mmask16>((1U << left) - 1U), from + q);
      for (int64_t p = 0; p < kParts; ++p) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(x + p * depth + q), TakePart(rest));
      }
    }
  }
}

template <int kParts>
[[REVERIE_AMX]] void Multiply(const uint16_t* x, int64_t rows, const uint16_t* tiles, int64_t k, int64_t n, float* y) {
  const int64_t steps = Tiles(k, kDepth);
  const int64_t depth = steps * kDepth;
  const int64_t columns = Tiles(n, kSums);
  const int64_t height = HeightOf(rows);
  const int64_t row_tiles = Tiles(rows, height);
  TileShapes shapes;
  for (size_t t = 0; t < 8; ++t) {
    shapes.row_bytes[t] = kRowBytes;
    shapes.rows[t] = static_cast<uint8_t>(t < 6 ? height : kTileRows);
  }
  asm volatile("" ::"r"(&shapes) : "memory");  // that it is read, the intrinsic does not say
  _tile_loadconfig(&shapes);
  const int64_t rests = Tiles(steps, kRestingTiles / kParts);
  for (int64_t j = 0; j < columns; j += 2) {
    for (int64_t rest = 0; rest < rests; ++rest) {
      for (int64_t t = 0; t < row_tiles; t += 2) {
        const Corner corner{.x = x + t * height * kParts * depth,
                            .x_stride = kParts * depth,
                            .next_x = height * kParts * depth,
                            .x_part = depth,
                            .w = tiles + j * steps * kParts * kTileNumbers,
                            .next_w = steps * kParts * kTileNumbers,
                            .y = y + t * height * columns * kSums + j * kSums,
                            .y_stride = columns * kSums,
                            .next_y = height * columns * kSums,
                            .first_step = rest * steps / rests,
                            .end_step = (rest + 1) * steps / rests};
        const bool two_rows = t + 1 < row_tiles;
        if (j + 1 < columns) {
          two_rows ? MultiplyCorner<kParts, 2, 2>(corner) : MultiplyCorner<kParts, 1, 2>(corner);
        } else {
          two_rows ? MultiplyCorner<kParts, 2, 1>(corner) : MultiplyCorner<kParts, 1, 1>(corner);
        }
      }
    }
  }
  _tile_release();
}

}  // namespace

bool AmxAtHand() {
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM, which older headers lack
  constexpr int kTileData = 18;               // the state's number, as XSAVE counts
  static const bool at_hand = __builtin_cpu_supports("x86-64-v4") && __builtin_cpu_supports("avx512bf16") &&
                              __builtin_cpu_supports("amx-bf16") &&
                              syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return at_hand;
}

int64_t AmxRows(int64_t rows) { return Tiles(rows, HeightOf(rows)) * HeightOf(rows); }

int64_t AmxBytes(const WeightLayout& layout) {
  return Tiles(layout.n, kSums) * Tiles(layout.k, kDepth) * layout.parts * kTileNumbers *
         static_cast<int64_t>(sizeof(uint16_t));
}

namespace {

template <int kParts>
void LayOut(const float* weights, int64_t k, int64_t n, uint16_t* tiles) {
  uint16_t parts[kParts * kDepth];
  for (int64_t j = 0; j < Tiles(n, kSums); ++j) {
    for (int64_t step = 0; step < Tiles(k, kDepth); ++step, tiles += kParts * kTileNumbers) {
      for (int64_t d = 0; d < kDepth; ++d) {
        const int64_t row = step * kDepth + d;
        const int64_t count = row < k ? std::min(kSums, n - j * kSums) : 0;
        Split<kParts>({.data = weights + row * n + j * kSums, .rows = 1, .stride = n}, count, kDepth, parts);
        for (int64_t p = 0; p < kParts; ++p) {
          for (int64_t i = 0; i < kSums; ++i) {
            tiles[p * kTileNumbers + d / 2 * kDepth + i * 2 + d % 2] = parts[p * kDepth + i];
          }
        }
      }
    }
  }
}

template <int kParts>
void TileProduct(const ConstBlock& a, const uint16_t* tiles, int64_t k, int64_t n, float* y) {
  struct alignas(kRowBytes) Line {
    uint16_t numbers[kDepth];
  };
  const int64_t steps = Tiles(k, kDepth);
  thread_local std::vector<Line> lines;
  lines.resize(std::max(lines.size(), static_cast<size_t>(AmxRows(a.rows) * kParts * steps)));
  auto* x = reinterpret_cast<uint16_t*>(lines.data());
  Split<kParts>(a, k, steps * kDepth, x);
  Multiply<kParts>(x, a.rows, tiles, k, n, y);
}

}  // namespace

void LayOutAmxTiles(const float* weights, const WeightLayout& layout, void* tiles) {
  auto* to = static_cast<uint16_t*>(tiles);
  switch (layout.parts) {
    case 1:
      return LayOut<1>(weights, layout.k, layout.n, to);
    case 2:
      return LayOut<2>(weights, layout.k, layout.n, to);
    default:
      return LayOut<3>(weights, layout.k, layout.n, to);
  }
}

void AmxProduct(const ConstBlock& a, const void* tiles, const WeightLayout& layout, float* y) {
  const auto* from = static_cast<const uint16_t*>(tiles);
  switch (layout.parts) {
    case 1:
      return TileProduct<1>(a, from, layout.k, layout.n, y);
    case 2:
      return TileProduct<2>(a, from, layout.k, layout.n, y);
    default:
      return TileProduct<3>(a, from, layout.k, layout.n, y);
  }
}

}  // namespace reverie

#else

#include <stdexcept>

namespace reverie {
namespace {

[[noreturn]] void Refuse() { throw std::logic_error("AMX products were compiled out"); }

}  // namespace

bool AmxAtHand() { return false; }
int64_t AmxRows(int64_t) { Refuse(); }
int64_t AmxBytes(const WeightLayout&) { Refuse(); }
void LayOutAmxTiles(const float*, const WeightLayout&, void*) { Refuse(); }
void AmxProduct(const ConstBlock&, const void*, const WeightLayout&, float*) { Refuse(); }

}  // namespace reverie

#endif
