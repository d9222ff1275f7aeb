#include "reverie/data/column_statistics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "reverie/core/state.h"
#include "reverie/data/normalizer.h"

namespace reverie {
namespace {

TEST(ColumnStatistics, AreTheFormulas) {
  // 2, 4, 9: mean 5, deviations -3, -1, 4.
  const torch::Tensor rows = torch::tensor({{2.0F, -20.0F}, {4.0F, -40.0F}, {9.0F, -90.0F}});
  const ColumnStatistics statistics = StatisticsOfColumns(rows);
  EXPECT_TRUE(torch::equal(statistics.mean, torch::tensor({5.0F, -50.0F})));
  EXPECT_NEAR(statistics.std[0].item<double>(), std::sqrt(26.0 / 3), 1e-6);
  EXPECT_NEAR(statistics.std[1].item<double>(), std::sqrt(2600.0 / 3), 1e-5);
  EXPECT_TRUE(torch::equal(ColumnMagnitudes(rows), torch::tensor({9.0F, 90.0F})));
  EXPECT_TRUE(torch::equal(ColumnUnits(torch::tensor({0.0F, 0.5F})), torch::tensor({1.0F, 0.5F})));
  EXPECT_THROW(StatisticsOfColumns(torch::empty({0, 2})), std::logic_error);
}

// Every decimal fraction is rounded in float32, and the mean of many of them in float32 is another number.
TEST(ColumnStatistics, AConstantIsOneHoweverLargeOrSmall) {
  for (const float constant : {0.0F, 0.45F, -0.275F, 1e-3F, 1234.567F, -3e7F}) {
    for (const int64_t rows : {1, 3, 400, 50'000}) {
      const ColumnStatistics statistics = StatisticsOfColumns(torch::full({rows, 1}, constant));
      EXPECT_EQ(statistics.mean.item<float>(), constant) << rows;
      EXPECT_EQ(statistics.std.item<float>(), 0.0F) << constant << " " << rows;
    }
  }
}

TEST(ColumnStatistics, RoundingIsNoVariationAndSmallUnitsAreOne) {
  torch::Generator generator = MakeGenerator(Rng(1), torch::kCPU);
  const torch::Tensor noise = torch::randn({1000}, generator, torch::kFloat32);
  const auto std_of = [](const torch::Tensor& column) {
    return StatisticsOfColumns(column.unsqueeze(1)).std.item<double>();
  };
  EXPECT_EQ(std_of(0.45 + 3e-8 * noise), 0);  // the last bit
  EXPECT_EQ(std_of(1e-17 * noise), 0);        // what is left of zero
  const double deviation = noise.std(/*unbiased=*/false).item<double>();
  EXPECT_NEAR(std_of(1e-9 * noise) / deviation, 1e-9, 1e-14);
  EXPECT_NEAR(std_of(100 + 1e-3 * noise) / deviation, 1e-3, 2e-5);
  // A thousandth that stands beside a large offset keeps its deviation to float32's own precision, over many rows too.
  const torch::Tensor many = (torch::arange(200'000) % 2).to(torch::kFloat32) * 0.25 + 4096;
  EXPECT_NEAR(std_of(many), 0.125, 1e-9);
}

TEST(ColumnStatistics, DifferencesAreJudgedByWhatTheyAreDifferencesOf) {
  const torch::Tensor differences = torch::tensor({{3e-8F}, {-3e-8F}, {0.0F}});
  EXPECT_EQ(StatisticsOfColumns(differences, torch::tensor({0.45F})).std.item<float>(), 0.0F);
  EXPECT_GT(StatisticsOfColumns(differences, torch::tensor({1e-6F})).std.item<float>(), 0.0F);
}

TEST(Normalizer, AColumnThatDoesNotVaryKeepsItsUnit) {
  torch::manual_seed(1);
  // 0.1 has no exact value in float32: a plain standard deviation of that column is of the order of 1e-9.
  const torch::Tensor rows = torch::stack({torch::randn({1000}) * 3 + 5, torch::full({1000}, 0.1F)}, 1);
  Normalizer normalizer(2, torch::kCPU);
  normalizer.Fit(rows);
  EXPECT_NEAR(normalizer.std()[0].item<double>(), 3, 0.3);
  EXPECT_EQ(normalizer.std()[1].item<float>(), 1);
  EXPECT_NEAR(normalizer(torch::tensor({{5.0F, 0.2F}}))[0][1].item<double>(), 0.1, 1e-6);
}

}  // namespace
}  // namespace reverie
