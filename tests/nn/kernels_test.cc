#include "reverie/nn/kernels.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include "device.h"
#include "reverie/core/state.h"
#include "reverie/nn/elementwise.h"

namespace reverie {
namespace {

// The largest difference, of the largest element.
double Difference(const torch::Tensor& a, const torch::Tensor& b) {
  return (a - b).abs().max().item<double>() / std::max(1e-12, b.abs().max().item<double>());
}

TEST(Elementwise, IsWithinAFewUnitsInTheLastPlaceOfTheExactValue) {
  for (double exact_x = -86; exact_x <= 86; exact_x += 0.00137) {
    const auto x = static_cast<float>(exact_x);
    const double exact = std::exp(static_cast<double>(x));
    ASSERT_NEAR(Exp(x) / exact, 1, 4e-7) << x;
    ASSERT_NEAR(Sigmoid(x) * (1 + std::exp(-static_cast<double>(x))), 1, 6e-7) << x;
    const SoftplusValue softplus = Softplus(x);
    ASSERT_NEAR(softplus.value / std::log1p(exact), 1, 1e-6) << x;
    ASSERT_NEAR(softplus.slope * (1 + 1 / exact), 1, 6e-7) << x;
    ASSERT_NEAR(softplus.rest * (1 + exact), 1, 6e-7) << x;
  }
  for (double exact_t = 0; exact_t <= 1; exact_t += 1e-4) {
    const auto t = static_cast<float>(exact_t);
    ASSERT_NEAR(Log1p(t), std::log1p(static_cast<double>(t)), 4e-7 * std::log1p(static_cast<double>(t))) << t;
  }
  for (double exact_x = -12; exact_x <= 12; exact_x += 1.37e-4) {
    const auto x = static_cast<float>(exact_x);
    ASSERT_NEAR(Tanh(x), std::tanh(static_cast<double>(x)), 3e-7 * std::abs(std::tanh(static_cast<double>(x)))) << x;
  }
  EXPECT_EQ(Tanh(1000), 1);
  EXPECT_EQ(Tanh(-1000), -1);
  EXPECT_EQ(Exp(0), 1);
  EXPECT_EQ(Exp(-1000), Exp(-87));
  EXPECT_EQ(Exp(1000), Exp(88));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(Exp(nan)) && std::isnan(Sigmoid(nan)) && std::isnan(Softplus(nan).value) &&
              std::isnan(Tanh(nan)));
}

// Sizes that no vector length divides, on the test's device.
class KernelsTest : public OnTestDevice<testing::TestWithParam<int>> {
 protected:
  void SetUp() override {
    OnTestDevice::SetUp();
    if (IsSkipped()) {
      return;
    }
    at::set_num_threads(GetParam());
    y_ = 2 * Draw({3, 531, 77});
    bias_ = Draw({3, 1, 77});
    grad_ = Draw({3, 531, 77});
  }
  void TearDown() override { at::set_num_threads(threads_); }

  torch::Tensor Draw(at::IntArrayRef sizes) { return torch::randn(sizes, generator_).to(device_); }
  torch::Tensor Full(at::IntArrayRef sizes, double value) const {
    return torch::full(sizes, value, torch::device(device_).dtype(torch::kFloat32));
  }

  int threads_ = at::get_num_threads();
  torch::Generator generator_ = MakeGenerator(Rng(5), torch::kCPU);
  torch::Tensor y_, bias_, grad_;
};

TEST_P(KernelsTest, ForwardPassesAgreeWithLibTorchs) {
  torch::Tensor y = y_.clone();
  AddBias(y, bias_);
  EXPECT_LT(Difference(y, y_ + bias_), 1e-7);
  y = y_.clone();
  BiasRelu(y, bias_);
  EXPECT_LT(Difference(y, torch::relu(y_ + bias_)), 1e-7);
  y = y_.clone();
  BiasSilu(y, bias_);
  EXPECT_LT(Difference(y, torch::silu(y_ + bias_)), 1e-6);

  const torch::Tensor x = (y_ + bias_).requires_grad_();
  const torch::Tensor silu = torch::silu(x);
  const torch::Tensor slope = torch::autograd::grad({silu.sum()}, {x})[0];
  y = y_.clone();
  torch::Tensor our_slope = torch::empty_like(y);
  BiasSiluWithSlope(y, bias_, our_slope);
  EXPECT_LT(Difference(y, silu.detach()), 1e-6);
  EXPECT_LT(Difference(our_slope, slope), 1e-6);
}

TEST_P(KernelsTest, BackwardPassesAgreeWithAutograd) {
  const torch::Tensor x = y_.clone().requires_grad_();
  for (const bool relu : {true, false}) {
    const torch::Tensor h = relu ? torch::relu(x) : torch::silu(x);
    const torch::Tensor expected = torch::autograd::grad({h}, {x}, {grad_})[0];
    torch::Tensor grad = grad_.clone();
    torch::Tensor bias_grad = torch::empty_like(bias_);
    if (relu) {
      ReluBackward(grad, h.detach(), bias_grad);
    } else {
      torch::Tensor silu = y_.clone();
      torch::Tensor slope = torch::empty_like(y_);
      BiasSiluWithSlope(silu, torch::zeros_like(bias_), slope);
      SlopeBackward(grad, slope, bias_grad);
    }
    EXPECT_LT(Difference(grad, expected), 1e-6);
    EXPECT_LT(Difference(bias_grad, expected.sum(1, /*keepdim=*/true)), 1e-5);
    torch::Tensor alone = grad_.clone();
    if (relu) {
      ReluBackward(alone, h.detach(), {});
      EXPECT_TRUE(torch::equal(alone, grad));
    }
  }
  torch::Tensor sums = torch::empty_like(bias_);
  SumRows(grad_, sums);
  EXPECT_LT(Difference(sums, grad_.sum(1, true)), 1e-5);
}

TEST_P(KernelsTest, TheGaussianLossAgreesWithAutograd) {
  for (const int64_t dim : {1, 5, 18}) {
    const torch::Tensor output = Draw({7, 45, 2 * dim}).mul_(3).requires_grad_();
    const torch::Tensor target = Draw({7, 45, dim});
    const torch::Tensor l_max = (0.5 + 0.1 * Draw({1, dim})).requires_grad_();
    const torch::Tensor l_min = (-4 + 0.1 * Draw({1, dim})).requires_grad_();
    const double c = 0.01;
    const torch::Tensor t = l_max - torch::softplus(l_max - output.slice(2, dim));
    const torch::Tensor l = l_min + torch::softplus(t - l_min);
    const torch::Tensor loss = c * ((output.slice(2, 0, dim) - target).square() * torch::exp(-l) + l).sum() +
                               0.25 * (l_max.sum() - l_min.sum());
    const auto expected = torch::autograd::grad({loss}, {output, l_max, l_min});

    torch::Tensor grad = torch::empty_like(output);
    torch::Tensor max_grad = Full({1, dim}, 7);
    torch::Tensor min_grad = Full({1, dim}, 7);
    torch::Tensor value = Full({}, 7);
    GaussianLossGradient(output.detach(), target, l_max.detach(), l_min.detach(), static_cast<float>(c), 0.25F, grad,
                         max_grad, min_grad, value);
    EXPECT_LT(Difference(grad, expected[0]), 1e-5);
    EXPECT_LT(Difference(max_grad, expected[1]), 1e-5);
    EXPECT_LT(Difference(min_grad, expected[2]), 1e-5);
    EXPECT_NEAR(value.item<double>(), loss.item<double>(), 1e-5 * std::abs(loss.item<double>()));
  }
}

TEST_P(KernelsTest, AHundredStepsOfAdamAgreeWithLibTorchs) {
  const int64_t n = 50'001;
  const AdamConstants constants{.learning_rate = 1e-2};
  const std::vector<DecaySegment> decay{{100, 20'000, 0.1F}, {30'000, 49'000, 0.01F}};
  torch::Tensor values = Draw({n});
  torch::Tensor theirs = values.clone();
  torch::Tensor m = Full({n}, 0), v = Full({n}, 0), their_m = Full({n}, 0), their_v = Full({n}, 0);
  torch::Tensor target = values.clone(), their_target = values.clone();
  const torch::Tensor start = values.clone();
  torch::Tensor step = Full({}, 0);
  for (int i = 0; i < 100; ++i) {
    torch::Tensor grads = Draw({n});
    torch::Tensor their_grads = grads.clone();
    for (const DecaySegment& s : decay) {
      their_grads.slice(0, s.begin, s.end).add_(theirs.slice(0, s.begin, s.end), s.factor);
    }
    AdamStep(constants, decay, step, values, grads, m, v, target, 0.005);
    ASSERT_EQ(step.item<double>(), i + 1);
    at::_fused_adam_(theirs, their_grads, their_m, their_v, {}, step, 1e-2, 0.9, 0.999, 0, 1e-8, false, false);
    their_target.lerp_(theirs, 0.005);
  }
  const double moved = (theirs - start).norm().item<double>();
  EXPECT_LT((values - theirs).norm().item<double>(), 1e-5 * moved);
  EXPECT_LT((target - their_target).norm().item<double>(), 1e-5 * (their_target - start).norm().item<double>());
  const torch::Tensor before = target.clone();
  torch::Tensor grads = Draw({n});
  AdamStep(constants, decay, step, values, grads, m, v, {}, 0.005);
  EXPECT_TRUE(torch::equal(target, before));
}

TEST_P(KernelsTest, AStepOfAFewNumbersCountsOnce) {
  torch::Tensor values = Full({1}, 2), grads = Full({1}, -3), m = Full({1}, 0), v = Full({1}, 0), step = Full({}, 0);
  for (int i = 1; i <= 3; ++i) {
    AdamStep({.learning_rate = 0.5}, {}, step, values, grads, m, v, {}, 0);
    EXPECT_EQ(step.item<double>(), i);
    EXPECT_NEAR(values.item<double>(), 2 + 0.5 * i, 1e-4);  // a constant gradient: steps of the learning rate
  }
}

TEST_P(KernelsTest, TheMomentsOfWhatGetsNoGradientReachZero) {
  torch::Tensor values = Full({40}, 1), m = Full({40}, 1e-30), v = Full({40}, 1e-37);
  torch::Tensor grads = Full({40}, 0), step = Full({}, 0);
  for (int i = 0; i < 3000; ++i) {
    AdamStep({.learning_rate = 1e-3}, {}, step, values, grads, m, v, {}, 0);
  }
  EXPECT_EQ(m.abs().max().item<float>(), 0);
  EXPECT_EQ(v.abs().max().item<float>(), 0);
}

TEST_P(KernelsTest, NumbersDoNotDependOnTheThreadsOrTheTime) {
  const auto run = [&](int threads) {
    at::set_num_threads(threads);
    torch::Tensor y = y_.clone();
    torch::Tensor slope = torch::empty_like(y);
    BiasSiluWithSlope(y, bias_, slope);
    torch::Tensor grad = grad_.clone();
    torch::Tensor bias_grad = torch::empty_like(bias_);
    SlopeBackward(grad, slope, bias_grad);
    torch::Tensor max_grad = Full({1, 11}, 0), min_grad = Full({1, 11}, 0), loss = Full({}, 0);
    torch::Tensor output_grad = Full({3, 531, 22}, 0);
    GaussianLossGradient(y.slice(2, 0, 22).contiguous(), y.slice(2, 22, 33).contiguous(), Full({1, 11}, 1),
                         Full({1, 11}, -1), 0.1F, 0.01F, output_grad, max_grad, min_grad, loss);
    return torch::cat({y.flatten(), grad.flatten(), bias_grad.flatten(), output_grad.flatten(), max_grad.flatten(),
                       min_grad.flatten(), loss.view(1)});
  };
  EXPECT_TRUE(torch::equal(run(1), run(GetParam())));
}

TEST(Kernels, TensorsOnNoKnownDeviceAreRefused) {
  torch::Tensor y = torch::empty({1, 0, 3}, torch::device(torch::kMeta));
  EXPECT_THROW(AddBias(y, y), std::logic_error);
}

INSTANTIATE_TEST_SUITE_P(Threads, KernelsTest, testing::Values(1, 2, 3));

}  // namespace
}  // namespace reverie
