#include "reverie/control/box_qp.h"

#include <gtest/gtest.h>
#include <mujoco/mujoco.h>

#include <cmath>
#include <limits>

namespace reverie {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

torch::Tensor Doubles(std::vector<double> values) { return torch::tensor(std::move(values), torch::kFloat64); }

double Value(const torch::Tensor& h, const torch::Tensor& g, const torch::Tensor& x) {
  return (0.5 * x.dot(torch::mv(h, x)) + g.dot(x)).item<double>();
}

// The least value over all ways to put each variable at a bound or leave it free, of those that end inside the box.
double LeastByEnumeration(const torch::Tensor& h, const torch::Tensor& g, const torch::Tensor& low,
                          const torch::Tensor& high) {
  const int64_t m = g.numel();
  double least = kInfinity;
  for (int64_t code = 0; code < std::lround(std::pow(3, m)); ++code) {
    torch::Tensor x = torch::zeros_like(g);
    std::vector<int64_t> free;
    int64_t rest = code;
    for (int64_t i = 0; i < m; ++i, rest /= 3) {
      if (rest % 3 == 0) {
        free.push_back(i);
      } else {
        x[i] = (rest % 3 == 1 ? low : high)[i];
      }
    }
    if (!free.empty()) {
      const torch::Tensor at = torch::tensor(free);
      const torch::Tensor right = -(g + torch::mv(h, x)).index_select(0, at);
      x.index_copy_(0, at, torch::linalg_solve(h.index_select(0, at).index_select(1, at), right));
    }
    if (((x >= low - 1e-12) & (x <= high + 1e-12)).all().item<bool>()) {
      least = std::min(least, Value(h, g, x));
    }
  }
  return least;
}

TEST(BoxQp, IsTheLeastOfAllSidesAndCornersOfTheBox) {
  torch::Generator rng = torch::make_generator<at::CPUGeneratorImpl>(1);
  const auto normal = [&](at::IntArrayRef shape) { return torch::randn(shape, rng, torch::kFloat64); };
  int clamped = 0;
  for (int i = 0; i < 200; ++i) {
    const int64_t m = 1 + i % 5;
    const torch::Tensor root = normal({m, m});
    const torch::Tensor h = torch::mm(root, root.t()) + 0.01 * torch::eye(m, torch::kFloat64);
    const torch::Tensor g = normal({m});
    const torch::Tensor low = -normal({m}).abs();
    const torch::Tensor high = normal({m}).abs();
    const BoxQpResult result = SolveBoxQp(h, g, low, high, 3 * normal({m}));
    ASSERT_TRUE(result.status == BoxQpStatus::kSolved || result.status == BoxQpStatus::kAllClamped);
    EXPECT_NEAR(Value(h, g, result.x), LeastByEnumeration(h, g, low, high), 1e-10);
    EXPECT_TRUE(((result.x >= low) & (result.x <= high)).all().item<bool>());
    // What is not free is at a bound with the slope outwards; the slope of what is free is zero.
    const torch::Tensor slope = torch::mv(h, result.x) + g;
    EXPECT_LT((slope * result.free).abs().max().item<double>(), 1e-9);
    EXPECT_TRUE(
        (result.free | ((result.x == low) & (slope > 0)) | ((result.x == high) & (slope < 0))).all().item<bool>());
    clamped += static_cast<int>((~result.free).sum().item<int64_t>());
  }
  EXPECT_GT(clamped, 100);
}

TEST(BoxQp, AgreesWithMujocosOwn) {
  torch::Generator rng = torch::make_generator<at::CPUGeneratorImpl>(2);
  for (int i = 0; i < 50; ++i) {
    const int m = 12;
    const torch::Tensor root = torch::randn({m, m}, rng, torch::kFloat64);
    const torch::Tensor h = torch::mm(root, root.t()) + torch::eye(m, torch::kFloat64);
    const torch::Tensor g = 3 * torch::randn({m}, rng, torch::kFloat64);
    const torch::Tensor low = torch::full({m}, -0.3, torch::kFloat64);
    const torch::Tensor high = torch::full({m}, 0.2, torch::kFloat64);
    torch::Tensor theirs = torch::zeros({m}, torch::kFloat64);
    torch::Tensor factor = torch::zeros({m * (m + 7)}, torch::kFloat64);
    std::vector<int> index(m);
    const int free = mju_boxQP(theirs.data_ptr<double>(), factor.data_ptr<double>(), index.data(), h.data_ptr<double>(),
                               g.data_ptr<double>(), m, low.data_ptr<double>(), high.data_ptr<double>());
    const BoxQpResult ours = SolveBoxQp(h, g, low, high, torch::zeros({m}, torch::kFloat64));
    EXPECT_EQ(ours.free.sum().item<int64_t>(), free);
    EXPECT_LT((ours.x - theirs).abs().max().item<double>(), 1e-7);  // theirs ends at a gradient of 1e-8
  }
}

TEST(BoxQp, WithoutBoundsIsOneNewtonStep) {
  const torch::Tensor h = Doubles({2, 0.5, 0.5, 1}).reshape({2, 2});
  const torch::Tensor g = Doubles({1, -2});
  const torch::Tensor infinite = Doubles({kInfinity, kInfinity});
  const BoxQpResult result = SolveBoxQp(h, g, -infinite, infinite, Doubles({100, -100}));
  EXPECT_LT((result.x + torch::linalg_solve(h, g)).abs().max().item<double>(), 1e-12);
  EXPECT_EQ(result.iterations, 1);
}

TEST(BoxQp, WhatHasNoLeastIsToldByStatus) {
  const torch::Tensor low = Doubles({-1, -1});
  const torch::Tensor high = Doubles({1, 1});
  const torch::Tensor zero = Doubles({0, 0});
  const auto status = [&](const torch::Tensor& h, const torch::Tensor& g, const torch::Tensor& l) {
    const BoxQpResult result = SolveBoxQp(h.reshape({2, 2}), g, l, high, zero);
    EXPECT_TRUE(result.x.isfinite().all().item<bool>());
    return result.status;
  };
  EXPECT_EQ(status(Doubles({1, 0, 0, -1}), Doubles({1, 1}), low), BoxQpStatus::kNotPositiveDefinite);
  EXPECT_EQ(status(Doubles({1, 0, 0, NAN}), Doubles({1, 1}), low), BoxQpStatus::kNotFinite);
  EXPECT_EQ(status(Doubles({1, 0, 0, 1}), Doubles({1, NAN}), low), BoxQpStatus::kNotFinite);
  EXPECT_EQ(status(Doubles({1, 0, 0, 1}), Doubles({1, 1}), Doubles({2, -1})), BoxQpStatus::kNotFinite);
  EXPECT_EQ(status(Doubles({1, 0, 0, 1}), Doubles({9, 9}), low), BoxQpStatus::kAllClamped);
  EXPECT_THROW(SolveBoxQp(zero, zero, low, high, zero), std::invalid_argument);
}

}  // namespace
}  // namespace reverie
