#include "reverie/nn/squashed_gaussian.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <numbers>

#include "device.h"

namespace reverie {
namespace {

TEST(SquashedGaussian, LogProbIsTheDensityOfTanh) {
  // In float64 straight from the change of variables, where it does not cancel yet.
  const torch::Tensor mean = torch::linspace(-1, 1, 30, torch::kFloat64).view({10, 3});
  const torch::Tensor log_std = torch::linspace(-2, 1, 30, torch::kFloat64).view({10, 3});
  const torch::Tensor u = torch::linspace(-3, 3, 30, torch::kFloat64).view({10, 3});
  const torch::Tensor std = torch::exp(log_std);
  const torch::Tensor density =
      torch::exp(-0.5 * ((u - mean) / std).square()) / (std * std::sqrt(2 * std::numbers::pi));
  const torch::Tensor expected = torch::log(density / (1 - torch::tanh(u).square())).sum(1);
  EXPECT_TRUE(torch::allclose(SquashedLogProb(mean, log_std, u), expected, 1e-9, 1e-9));
  EXPECT_TRUE(
      torch::allclose(SquashedLogProb(mean.to(torch::kFloat32), log_std.to(torch::kFloat32), u.to(torch::kFloat32)),
                      expected.to(torch::kFloat32), 1e-4, 1e-4));
}

TEST(SquashedGaussian, LogProbStaysFiniteWhereTanhSaturates) {
  const torch::Tensor u = torch::tensor({-500.0F, -20.0F, 20.0F, 500.0F}).view({4, 1});
  const torch::Tensor x = u.clone().requires_grad_();
  const torch::Tensor log_prob = SquashedLogProb(u.clone(), torch::zeros_like(u), x);
  EXPECT_TRUE(torch::isfinite(log_prob).all().item<bool>());
  log_prob.sum().backward();
  EXPECT_TRUE(torch::isfinite(x.grad()).all().item<bool>());
  // d/du of -log(1 - tanh^2) = 2 tanh(u): +-2 in the tails; the Gaussian term is flat at its mean.
  EXPECT_NEAR(x.grad()[3].item<double>(), 2, 1e-5);
}

TEST(SquashedGaussian, ShapesMustAgree) {
  EXPECT_THROW(SquashedLogProb(torch::zeros({2, 3}), torch::zeros({2, 3}), torch::zeros({2, 2})), std::logic_error);
}

class SquashedDraws : public OnTestDevice<testing::Test> {};

TEST_F(SquashedDraws, ADrawsLogProbIsThatOfItsAction) {
  torch::manual_seed(0);
  // |u| stays below 3: atanh undoes tanh in float32 there.
  const torch::Tensor head = (0.3 * torch::randn({50, 6})).to(device_);
  SquashedSample sample = SquashedSample::Empty(50, 3, device_);
  SampleSquashed(head, torch::randn({50, 3}).clamp(-1, 1).to(device_), sample);
  const torch::Tensor u = torch::atanh(sample.action.to(torch::kFloat64));
  ASSERT_LT(u.abs().max().item<double>(), 3);
  const torch::Tensor expected =
      SquashedLogProb(head.slice(1, 0, 3).to(torch::kFloat64), head.slice(1, 3, 6).to(torch::kFloat64), u);
  EXPECT_TRUE(torch::allclose(sample.log_prob.to(torch::kFloat64), expected, 1e-4, 1e-4));
}

TEST_F(SquashedDraws, HeadGradientIsAutogradsThroughClampAndSquash) {
  torch::manual_seed(1);
  torch::Tensor head = torch::randn({40, 6});
  head[0][3] = 5;  // beyond the clamp, both ways
  head[1][4] = -30;
  head = head.to(device_).requires_grad_();
  const torch::Tensor noise = torch::randn({40, 3}).to(device_);
  const torch::Tensor action_grad = torch::randn({40, 3}).to(device_);
  const torch::Tensor log_prob_grad = torch::tensor(0.3F).to(device_);
  const torch::Tensor log_std = head.slice(1, 3, 6).clamp(kLogStdMin, kLogStdMax);
  const torch::Tensor u = head.slice(1, 0, 3) + torch::exp(log_std) * noise;
  const torch::Tensor log_prob = SquashedLogProb(head.slice(1, 0, 3), log_std, u);
  const torch::Tensor loss = (torch::tanh(u) * action_grad).sum() + (log_prob * log_prob_grad).sum();
  const torch::Tensor expected = torch::autograd::grad({loss}, {head})[0];
  const torch::NoGradGuard no_grad;
  SquashedSample sample = SquashedSample::Empty(40, 3, device_);
  SampleSquashed(head, noise, sample);
  EXPECT_LT((sample.action - torch::tanh(u)).abs().max().item<double>(), 1e-6);
  // In float64: at the clamp's lower end u - mean is lost in float32.
  const torch::Tensor exact_log_std = log_std.to(torch::kFloat64);
  const torch::Tensor exact_mean = head.slice(1, 0, 3).to(torch::kFloat64);
  const torch::Tensor exact =
      SquashedLogProb(exact_mean, exact_log_std, exact_mean + torch::exp(exact_log_std) * noise);
  EXPECT_LT((sample.log_prob - exact).abs().max().item<double>(), 1e-5 * exact.abs().max().item<double>());
  torch::Tensor grad = torch::empty_like(expected);
  SquashedHeadGradient(sample, action_grad, log_prob_grad, grad);
  EXPECT_LT((grad - expected).abs().max().item<double>(), 1e-5 * expected.abs().max().item<double>());
  EXPECT_EQ(grad[0][3].item<double>(), 0);
  EXPECT_EQ(grad[1][4].item<double>(), 0);
}

}  // namespace
}  // namespace reverie
