#include "reverie/nn/layer_norm_mlp.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "reverie/core/state.h"

namespace reverie {
namespace {

LayerNormMlpShape Shape() {
  return {.members = 2, .widths = {3, 4, 5, 2}, .epsilon = {0, 1, 0.1}, .dropout = {0.5, 0, 0}};
}

// The header's formula, number by number.
std::vector<double> ByHand(const LayerNormMlp& mlp, int64_t member, std::vector<double> h) {
  const LayerNormMlpShape& shape = mlp.shape();
  for (size_t l = 0; l < shape.layers(); ++l) {
    const auto in = static_cast<size_t>(shape.widths[l]);
    if (shape.epsilon[l] > 0) {
      double mean = 0, var = 0;
      for (const double x : h) {
        mean += x / static_cast<double>(in);
      }
      for (const double x : h) {
        var += (x - mean) * (x - mean) / static_cast<double>(in);
      }
      for (double& x : h) {
        x = (x - mean) / std::sqrt(var + shape.epsilon[l]);
      }
    }
    std::vector<double> next;
    for (int64_t j = 0; j < shape.widths[l + 1]; ++j) {
      double sum = mlp.leaves()[2 * l + 1][member][0][j].item<double>();
      for (size_t i = 0; i < in; ++i) {
        sum += h[i] * mlp.leaves()[2 * l][member][static_cast<int64_t>(i)][j].item<double>();
      }
      next.push_back(l + 1 < shape.layers() ? sum / (1 + std::exp(-sum)) : sum);
    }
    h = next;
  }
  return h;
}

TEST(LayerNormMlp, IsItsFormula) {
  FlatParameters parameters(Shape().ParameterCount(), torch::kCPU);
  LayerNormMlp mlp(Shape(), parameters);
  torch::Generator generator = MakeGenerator(Rng(1), torch::kCPU);
  mlp.InitHeNormal(generator);
  const torch::NoGradGuard no_grad;
  const torch::Tensor x = torch::randn({6, 3}, generator);
  const torch::Tensor y = mlp.Forward(x);
  ASSERT_EQ(y.sizes(), at::IntArrayRef({2, 6, 2}));
  EXPECT_TRUE(torch::equal(mlp.Forward(x.expand({2, 6, 3})), y));
  EXPECT_TRUE(torch::allclose(mlp.Forward(x.to(torch::kFloat64)), y.to(torch::kFloat64), 1e-5, 1e-5));
  for (int64_t e = 0; e < 2; ++e) {
    for (int64_t b = 0; b < 6; ++b) {
      const std::vector<double> expected =
          ByHand(mlp, e, {x[b][0].item<double>(), x[b][1].item<double>(), x[b][2].item<double>()});
      EXPECT_NEAR(y[e][b][0].item<double>(), expected[0], 1e-5);
      EXPECT_NEAR(y[e][b][1].item<double>(), expected[1], 1e-5);
    }
  }
}

TEST(LayerNormMlp, BeginsAsItsHeaderSays) {
  const LayerNormMlpShape shape{.members = 3, .widths = {400, 300, 1}, .epsilon = {0, 0}, .dropout = {0, 0}};
  FlatParameters parameters(shape.ParameterCount(), torch::kCPU);
  LayerNormMlp mlp(shape, parameters);
  torch::Generator generator = MakeGenerator(Rng(1), torch::kCPU);
  mlp.InitHeNormal(generator);
  const torch::NoGradGuard no_grad;
  EXPECT_NEAR(mlp.leaves()[0].std().item<double>(), std::sqrt(2.0 / 400), 1e-3);
  EXPECT_NEAR(mlp.leaves()[1].std().item<double>(), 0.5 / std::sqrt(400.0), 2e-3);
  mlp.ZeroLastLayer();
  EXPECT_TRUE(torch::equal(mlp.Forward(torch::randn({5, 400})), torch::zeros({3, 5, 1})));
}

// Gradients arrive in the block, in float64 those of differences; and only those that were asked for.
TEST(LayerNormMlp, BackPropagatesIntoItsBlock) {
  FlatParameters parameters(Shape().ParameterCount(), torch::kFloat64);
  LayerNormMlp mlp(Shape(), parameters);
  FlatParameters other(Shape().ParameterCount(), torch::kFloat64);
  LayerNormMlp through(Shape(), other);
  torch::Generator generator = MakeGenerator(Rng(1), torch::kCPU);
  mlp.InitHeNormal(generator);
  through.InitHeNormal(generator);
  const torch::Tensor x = torch::randn({4, 3}, generator, torch::dtype(torch::kFloat64));
  const auto loss = [&] {
    const torch::Tensor y = mlp.Forward(x);
    return through.Forward(torch::cat({y, y.slice(2, 0, 1).square()}, 2)).square().sum();
  };
  parameters.grads().fill_(7);
  BackPropagate(loss(), {&parameters}, mlp.leaves());
  EXPECT_TRUE(torch::equal(other.grads(), torch::zeros_like(other.grads())));
  const torch::NoGradGuard no_grad;
  for (int64_t i = 0; i < parameters.values().numel(); ++i) {
    const double h = 1e-6;
    torch::Tensor value = parameters.values()[i];
    value.add_(h);
    const double up = loss().item<double>();
    value.sub_(2 * h);
    const double down = loss().item<double>();
    value.add_(h);
    const double by_difference = (up - down) / (2 * h);
    EXPECT_NEAR(parameters.grads()[i].item<double>(), by_difference, 1e-7 * (1 + std::abs(by_difference)));
  }
}

TEST(LayerNormMlp, DropsItsShareAndKeepsTheMean) {
  // A linear network of ones without biases: each output is 0 or 1 / (1 - p).
  const LayerNormMlpShape shape{.members = 1, .widths = {1, 1000}, .epsilon = {0}, .dropout = {0.25}};
  FlatParameters parameters(shape.ParameterCount(), torch::kCPU);
  LayerNormMlp mlp(shape, parameters);
  const torch::NoGradGuard no_grad;
  parameters.values().narrow(0, 0, 1000).fill_(1);
  torch::Generator generator = MakeGenerator(Rng(1), torch::kCPU);
  const torch::Tensor y = mlp.Forward(torch::ones({50, 1}), generator);
  EXPECT_TRUE(((y == 0).logical_or((y - 4.0 / 3).abs() < 1e-6)).all().item<bool>());
  EXPECT_NEAR((y == 0).to(torch::kFloat32).mean().item<double>(), 0.25, 0.01);
  EXPECT_TRUE(torch::equal(mlp.Forward(torch::ones({50, 1})), torch::ones({1, 50, 1000})));
}

TEST(LayerNormMlp, WantsANumberForEachLayer) {
  LayerNormMlpShape shape = Shape();
  shape.dropout.pop_back();
  FlatParameters parameters(shape.ParameterCount(), torch::kCPU);
  EXPECT_THROW(LayerNormMlp(shape, parameters), std::logic_error);
}

}  // namespace
}  // namespace reverie
