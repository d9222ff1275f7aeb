#include "nn/block.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "reverie/core/state.h"
#include "reverie/core/tensor.h"

namespace reverie {
namespace {

// All ways for weights to lie that this processor multiplies with.
std::vector<int64_t> Lanes() {
  std::vector<int64_t> lanes{1};
  for (const int64_t of_a_vector : {8, 16}) {
    if (of_a_vector <= PanelLanes()) {
      lanes.push_back(of_a_vector);
    }
  }
  return lanes;
}

// Sizes around whole vectors, panels and tiles, and rows that begin further apart than they are long.
TEST(BlockProduct, IsTheProductHoweverTheWeightsLie) {
  torch::Generator generator = MakeGenerator(Rng(1), torch::kCPU);
  for (const int64_t lanes : Lanes()) {
    for (const int64_t k : {1, 7, 200}) {
      for (const int64_t n : {1, 8, 15, 16, 17, 33, 48, 49, 72, 200}) {
        for (const int64_t rows : {1, 3, 9, 14, 29, 127}) {
          const PanelLayout layout{.k = k, .n = n, .lanes = lanes};
          const torch::Tensor a = torch::randn({rows, k + 3}, generator);
          const torch::Tensor b = torch::randn({k, n}, generator);
          torch::Tensor weights = b;
          const torch::Tensor y = torch::full({rows, layout.padded_n()}, std::numeric_limits<float>::quiet_NaN());
          if (lanes > 1) {
            weights = torch::empty({layout.numbers()});
            LayOutPanels(b.data_ptr<float>(), layout, weights.data_ptr<float>());
          }
          BlockProduct({.data = a.data_ptr<float>(), .rows = rows, .stride = k + 3}, weights.data_ptr<float>(), layout,
                       y.data_ptr<float>());
          const torch::Tensor exact = a.narrow(1, 0, k).to(torch::kFloat64).mm(b.to(torch::kFloat64));
          const double error = (y.narrow(1, 0, n) - exact).abs().max().item<double>();
          ASSERT_LE(error, 1e-6 * std::sqrt(k) * 5) << rows << " x " << k << " x " << n << ", lanes " << lanes;
          ASSERT_EQ(y.narrow(1, n, layout.padded_n() - n).count_nonzero().item<int64_t>(), 0);
        }
      }
    }
  }
}

TEST(BiasSilu, IsWithinAFewUnitsInTheLastPlaceHoweverTheWeightsLie) {
  constexpr int64_t kRows = 2000;
  for (const int64_t lanes : Lanes()) {
    const PanelLayout layout{.k = 1, .n = 32, .lanes = lanes};
    const torch::Tensor x = torch::linspace(-86, 100, kRows * layout.n).view({kRows, layout.n});
    const torch::Tensor bias = torch::linspace(-1, 1, layout.n);
    const torch::Tensor y = x.clone();
    BiasSilu(y.data_ptr<float>(), bias.data_ptr<float>(), kRows, layout);
    const torch::Tensor exact_x = (x + bias).clamp_min(-86).to(torch::kFloat64);
    const torch::Tensor exact = exact_x * torch::sigmoid(exact_x);
    EXPECT_LE(((y - exact) / exact).masked_fill(x + bias < -86, 0).abs().max().item<double>(), 6e-7) << lanes;

    const float nan = std::numeric_limits<float>::quiet_NaN();
    torch::Tensor odd = torch::full({1, layout.n}, nan);
    odd.narrow(1, 1, 1).fill_(-1000);
    odd.narrow(1, 2, 1).fill_(1000);
    BiasSilu(odd.data_ptr<float>(), torch::zeros({layout.n}).data_ptr<float>(), 1, layout);
    EXPECT_EQ(odd.isnan().sum().item<int64_t>(), layout.n - 2);
    EXPECT_NEAR(odd[0][1].item<double>(), 0, 1e-30);
    EXPECT_EQ(odd[0][2].item<double>(), 1000);
  }
}

}  // namespace
}  // namespace reverie
