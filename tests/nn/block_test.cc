#include "nn/block.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "reverie/core/state.h"
#include "reverie/core/tensor.h"

namespace reverie {
namespace {

// All ways for weights to lie that this processor multiplies.
std::vector<Packing> Packings() {
  std::vector<Packing> packings;
  for (const Packing packing : {Packing::kRows, Packing::kAvx2, Packing::kAvx512, Packing::kAmx}) {
    if (packing <= BestPacking()) {
      packings.push_back(packing);
    }
  }
  return packings;
}

// a [rows, k or more] b [k, n], of which the columns beyond k are not looked at, with b lying so: [rows, padded_n].
torch::Tensor Product(const torch::Tensor& a, const torch::Tensor& b, const WeightLayout& layout) {
  const int64_t rows = a.size(0);
  const torch::Tensor weights = torch::empty({layout.bytes()}, torch::kUInt8);
  PackWeights(b.data_ptr<float>(), layout, weights.data_ptr());
  const torch::Tensor y =
      torch::full({layout.padded_rows(rows), layout.padded_n()}, std::numeric_limits<float>::quiet_NaN());
  BlockProduct({.data = a.data_ptr<float>(), .rows = rows, .stride = a.size(1)}, weights.data_ptr(), layout,
               y.data_ptr<float>());
  return y.narrow(0, 0, rows);
}

// Sizes around whole vectors, panels and tiles, and rows that begin further apart than they are long.
TEST(BlockProduct, IsTheProductHoweverTheWeightsLie) {
  torch::Generator generator = MakeGenerator(Rng(1), torch::kCPU);
  for (const Packing packing : Packings()) {
    for (const int64_t k : {1, 7, 32, 200, 513}) {
      for (const int64_t n : {1, 8, 15, 16, 17, 33, 48, 49, 72, 200}) {
        for (const int64_t rows : {1, 3, 9, 14, 16, 29, 33, 127}) {
          const WeightLayout layout{.k = k, .n = n, .packing = packing};
          const torch::Tensor a = torch::randn({rows, k + 3}, generator);
          const torch::Tensor b = torch::randn({k, n}, generator);
          const torch::Tensor product = Product(a, b, layout);
          const torch::Tensor exact = a.narrow(1, 0, k).to(torch::kFloat64).mm(b.to(torch::kFloat64));
          // What k roundings of float32 add up to (Higham and Mary 2019), and a few of a product in parts.
          const torch::Tensor size = a.narrow(1, 0, k).abs().to(torch::kFloat64).mm(b.abs().to(torch::kFloat64));
          const double rounding = std::max(8.0, std::sqrt(static_cast<double>(k))) * 0x1p-24;
          ASSERT_LE(((product.narrow(1, 0, n) - exact).abs() / size).max().item<double>(), rounding)
              << rows << " x " << k << " x " << n << ", packing " << static_cast<int>(packing);
          ASSERT_EQ(product.narrow(1, n, layout.padded_n() - n).count_nonzero().item<int64_t>(), 0);
        }
      }
    }
  }
}

TEST(BlockProduct, TransposedWeightsAndRowsThatLieApart) {
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  for (const Packing packing : Packings()) {
    if (packing == Packing::kAmx) {
      continue;
    }
    for (const int64_t k : {1, 15, 16, 17, 200}) {
      for (const int64_t n : {1, 8, 17, 48, 72}) {
        const WeightLayout layout{.k = k, .n = n, .packing = packing};
        const torch::Tensor wide = torch::randn({k, n + 3}, generator);
        const torch::Tensor tall = torch::randn({n, k + 2}, generator);
        const auto packed_as = [&](auto pack) {
          torch::Tensor packed = torch::empty({layout.bytes()}, torch::kUInt8);
          pack(packed.data_ptr());
          return packed;
        };
        EXPECT_TRUE(torch::equal(packed_as([&](void* to) { PackWeights(wide.data_ptr<float>(), n + 3, layout, to); }),
                                 packed_as([&](void* to) {
                                   PackWeights(wide.narrow(1, 0, n).contiguous().data_ptr<float>(), layout, to);
                                 })));
        EXPECT_TRUE(
            torch::equal(packed_as([&](void* to) { PackTransposedWeights(tall.data_ptr<float>(), k + 2, layout, to); }),
                         packed_as([&](void* to) {
                           PackWeights(tall.narrow(1, 0, k).t().contiguous().data_ptr<float>(), layout, to);
                         })));
      }
    }
  }
}

TEST(BlockTransposedProduct, IsTheProductOrAddsIt) {
  torch::Generator generator = MakeGenerator(Rng(4), torch::kCPU);
  for (const Packing packing : Packings()) {
    if (packing == Packing::kAmx) {
      continue;
    }
    for (const int64_t k : {1, 7, 200}) {
      for (const int64_t n : {1, 8, 17, 72}) {
        for (const int64_t m : {1, 3, 9, 64}) {
          const WeightLayout layout{.k = k, .n = n, .packing = packing};
          const torch::Tensor a = torch::randn({k, m + 5}, generator);
          const torch::Tensor b = torch::randn({k, n}, generator);
          const torch::Tensor weights = torch::empty({layout.bytes()}, torch::kUInt8);
          PackWeights(b.data_ptr<float>(), layout, weights.data_ptr());
          torch::Tensor y = torch::full({m, layout.padded_n()}, std::numeric_limits<float>::quiet_NaN());
          const ConstBlock block{.data = a.data_ptr<float>(), .rows = k, .stride = m + 5};
          const torch::Tensor exact = a.narrow(1, 0, m).t().to(torch::kFloat64).mm(b.to(torch::kFloat64));
          for (const double times : {1.0, 2.0}) {
            BlockTransposedProduct(block, m, weights.data_ptr(), layout, /*add=*/times > 1, y.data_ptr<float>());
            ASSERT_LT((y.narrow(1, 0, n) - times * exact).abs().max().item<double>(), 1e-4)
                << k << " x " << m << " x " << n << ", packing " << static_cast<int>(packing);
          }
        }
      }
    }
  }
}

TEST(BlockProduct, IsAsExactAsItIsSaidToBeHoweverTheWeightsLie) {
  constexpr int64_t kWidth = 200;
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  const torch::Tensor a = torch::randn({128, kWidth}, generator);
  const torch::Tensor b = torch::randn({kWidth, kWidth}, generator);
  const torch::Tensor exact = a.to(torch::kFloat64).mm(b.to(torch::kFloat64));
  const auto error_of = [&](const torch::Tensor& product) {
    return ((product - exact).norm() / exact.norm()).item<double>();
  };
  const double float32_error = error_of(a.mm(b));
  const auto largest_error = [&](int64_t parts) {
    return parts == 3 ? 1.5 * float32_error : std::exp2(parts == 2 ? -15 : -7);
  };
  std::vector<WeightLayout> layouts;
  for (const Packing packing : Packings()) {
    layouts.push_back({.k = kWidth, .n = kWidth, .packing = packing});
    if (packing == Packing::kAmx) {
      layouts.push_back({.k = kWidth, .n = kWidth, .packing = packing, .parts = 2});
      layouts.push_back({.k = kWidth, .n = kWidth, .packing = packing, .parts = 1});
    }
  }
  for (const WeightLayout& layout : layouts) {
    EXPECT_LE(error_of(Product(a, b, layout).narrow(1, 0, kWidth)), largest_error(layout.parts))
        << "packing " << static_cast<int>(layout.packing) << ", parts " << layout.parts;
  }
}

// A row's own, and no other's.
TEST(BlockProduct, KeepsWhatIsNotFinite) {
  constexpr int64_t kRows = 20;
  constexpr int64_t kWidth = 40;
  const torch::Tensor a = torch::ones({kRows, kWidth});
  a[3][5] = std::numeric_limits<float>::quiet_NaN();
  a[17][39] = std::numeric_limits<float>::infinity();
  for (const Packing packing : Packings()) {
    const torch::Tensor y = Product(a, torch::eye(kWidth), {.k = kWidth, .n = kWidth, .packing = packing});
    const torch::Tensor finite = y.narrow(1, 0, kWidth).isfinite().all(1);
    EXPECT_FALSE(finite[3].item<bool>());
    EXPECT_FALSE(finite[17].item<bool>());
    EXPECT_EQ(finite.sum().item<int64_t>(), kRows - 2) << "packing " << static_cast<int>(packing);
  }
}

TEST(BiasSilu, IsWithinAFewUnitsInTheLastPlaceHoweverTheWeightsLie) {
  constexpr int64_t kRows = 2000;
  for (const Packing packing : Packings()) {
    const WeightLayout layout{.k = 1, .n = 32, .packing = packing};
    const torch::Tensor x = torch::linspace(-86, 100, kRows * layout.n).view({kRows, layout.n});
    const torch::Tensor bias = torch::linspace(-1, 1, layout.n);
    const torch::Tensor y = x.clone();
    BiasSilu(y.data_ptr<float>(), bias.data_ptr<float>(), kRows, layout);
    const torch::Tensor exact_x = (x + bias).clamp_min(-86).to(torch::kFloat64);
    const torch::Tensor exact = exact_x * torch::sigmoid(exact_x);
    EXPECT_LE(((y - exact) / exact).masked_fill(x + bias < -86, 0).abs().max().item<double>(), 6e-7)
        << "packing " << static_cast<int>(packing);

    const float nan = std::numeric_limits<float>::quiet_NaN();
    torch::Tensor odd = torch::full({1, layout.n}, nan);
    odd.narrow(1, 1, 1).fill_(-1000);
    odd.narrow(1, 2, 1).fill_(1000);
    BiasSilu(odd.data_ptr<float>(), torch::zeros({layout.n}).data_ptr<float>(), 1, layout);
    EXPECT_EQ(odd.isnan().sum().item<int64_t>(), layout.n - 2);
    EXPECT_NEAR(odd[0][1].item<double>(), 0, 1e-30);
    EXPECT_EQ(odd[0][2].item<double>(), 1000);

    for (const float large : {1e5F, 1e30F, std::numeric_limits<float>::infinity()}) {
      torch::Tensor y_large = torch::full({1, layout.n}, large);
      y_large.narrow(1, 0, layout.n / 2).neg_();
      BiasSilu(y_large.data_ptr<float>(), torch::zeros({layout.n}).data_ptr<float>(), 1, layout);
      EXPECT_TRUE(y_large.narrow(1, layout.n / 2, layout.n / 2).eq(large).all().item<bool>())
          << large << ", packing " << static_cast<int>(packing);
      // Far below, where the exact value is 0, it is at most x e^-87; of -inf it is no number.
      const torch::Tensor below = y_large.narrow(1, 0, layout.n / 2);
      EXPECT_TRUE((std::isinf(large) ? below.isfinite().logical_not() : below.le(0)).all().item<bool>())
          << -large << ", packing " << static_cast<int>(packing);
    }
  }
}

}  // namespace
}  // namespace reverie
