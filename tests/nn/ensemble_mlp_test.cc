#include "reverie/nn/ensemble_mlp.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "reverie/core/state.h"

namespace reverie {
namespace {

double LargestDifference(const torch::Tensor& a, const torch::Tensor& b) {
  return (a - b).abs().max().item<double>() / std::max(1e-12, b.abs().max().item<double>());
}

class EnsembleMlpTest : public testing::TestWithParam<std::tuple<Activation, int64_t, bool>> {
 protected:
  EnsembleMlpTest()
      : shape_{.members = std::get<1>(GetParam()), .widths = {5, 16, 8, 3}, .activation = std::get<0>(GetParam())},
        parameters_(shape_.ParameterCount(), torch::kCPU),
        mlp_(shape_, parameters_) {
    torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
    mlp_.InitXavierUniform(generator);
    parameters_.values().add_(0.1 * torch::randn({shape_.ParameterCount()}, generator));
    const bool shared = std::get<2>(GetParam());
    x_ = shared ? torch::randn({7, 5}, generator) : torch::randn({shape_.members, 7, 5}, generator);
    output_grad_ = torch::randn({shape_.members, 7, 3}, generator);
  }

  MlpShape shape_;
  FlatParameters parameters_;
  EnsembleMlp mlp_;
  torch::Tensor x_, output_grad_;
};

TEST_P(EnsembleMlpTest, EveryMemberIsAPerceptronOfItsOwn) {
  const torch::Tensor y = mlp_.Forward(x_);
  for (int64_t e = 0; e < shape_.members; ++e) {
    torch::Tensor h = x_.dim() == 2 ? x_ : x_[e];
    for (size_t l = 0; l < mlp_.weights().size(); ++l) {
      h = h.mm(mlp_.weights()[l][e]) + mlp_.biases()[l][e];
      if (l + 1 < mlp_.weights().size()) {
        h = shape_.activation == Activation::kRelu ? h.clamp_min(0) : h * torch::sigmoid(h);
      }
    }
    EXPECT_LT(LargestDifference(y[e], h), 1e-6);
    EXPECT_LT(LargestDifference(mlp_.Infer(x_)[e], h), 1e-6);
    EXPECT_LT(LargestDifference(PackedMlp(mlp_).Infer(x_)[e], h), 1e-6);
  }
}

TEST_P(EnsembleMlpTest, TheTapeAgreesWithThePlainPassAndItsGradientsWithAutograd) {
  std::vector<torch::Tensor> weights, biases, leaves;
  for (size_t l = 0; l < mlp_.weights().size(); ++l) {
    weights.push_back(mlp_.weights()[l].clone().requires_grad_());
    biases.push_back(mlp_.biases()[l].clone().requires_grad_());
    leaves.push_back(weights.back());
    leaves.push_back(biases.back());
  }
  const torch::Tensor x = x_.clone().requires_grad_();
  leaves.push_back(x);
  const torch::Tensor plain = MlpForward(x, weights, biases, shape_.activation);
  const auto grads = torch::autograd::grad({plain}, leaves, {output_grad_});

  const torch::NoGradGuard no_grad;
  EnsembleMlp::Tape tape;
  for (int repeat = 0; repeat < 2; ++repeat) {  // the second time on a used tape
    EXPECT_LT(LargestDifference(mlp_.Forward(x_, tape), plain), 1e-6);
    mlp_.Backward(output_grad_, tape);
    for (size_t l = 0; l < weights.size(); ++l) {
      EXPECT_LT(LargestDifference(mlp_.weight_grads()[l], grads[2 * l]), 1e-5);
      EXPECT_LT(LargestDifference(mlp_.bias_grads()[l], grads[2 * l + 1]), 1e-5);
    }
  }
  if (x_.dim() == 2) {
    mlp_.Forward(x_, tape);
    const torch::Tensor before = parameters_.grads().clone();
    torch::Tensor input_grad = torch::empty({shape_.members, 7, 3});
    mlp_.InputGradient(output_grad_, tape, 1, 4, input_grad);
    EXPECT_LT(LargestDifference(input_grad.sum(0), grads.back().slice(1, 1, 4)), 1e-5);
    EXPECT_TRUE(torch::equal(parameters_.grads(), before));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, EnsembleMlpTest,
                         testing::Combine(testing::Values(Activation::kRelu, Activation::kSilu),
                                          testing::Values(1, 2, 7), testing::Bool()));

TEST(EnsembleMlp, InferringManyRowsAgreesWithThePlainPass) {
  const MlpShape shape{.members = 3, .widths = {5, 40, 24, 3}, .activation = Activation::kSilu};
  FlatParameters parameters(shape.ParameterCount(), torch::kCPU);
  EnsembleMlp mlp(shape, parameters);
  torch::Generator generator = MakeGenerator(Rng(1), torch::kCPU);
  mlp.InitXavierUniform(generator);
  for (const int64_t rows : {0, 1, 256, 257, 1000}) {
    const torch::Tensor x = torch::randn({rows, 5}, generator);
    const torch::Tensor y = mlp.Infer(x);
    EXPECT_EQ(y.sizes(), (torch::IntArrayRef{3, rows, 3}));
    EXPECT_FALSE(y.requires_grad());
    EXPECT_TRUE(torch::allclose(y, mlp.Forward(x), 1e-5, 1e-6)) << rows;
    EXPECT_TRUE(torch::allclose(PackedMlp(mlp).Infer(x), mlp.Forward(x), 1e-5, 1e-6)) << rows;
  }
}

// Largest errors relative to the outputs' size; where a precision has no effect, float32's own numbers.
TEST(PackedMlp, IsAsExactAsAskedFor) {
  const MlpShape shape{.members = 2, .widths = {24, 200, 200, 6}, .activation = Activation::kSilu};
  FlatParameters parameters(shape.ParameterCount(), torch::kCPU);
  EnsembleMlp mlp(shape, parameters);
  torch::Generator generator = MakeGenerator(Rng(1), torch::kCPU);
  mlp.InitXavierUniform(generator);
  const torch::Tensor x = torch::randn({300, 24}, generator);
  std::vector<torch::Tensor> weights, biases;
  for (size_t l = 0; l < mlp.weights().size(); ++l) {
    weights.push_back(mlp.weights()[l].to(torch::kFloat64));
    biases.push_back(mlp.biases()[l].to(torch::kFloat64));
  }
  const torch::Tensor exact = MlpForward(x.to(torch::kFloat64), weights, biases, Activation::kSilu);
  const auto error_of = [&](const torch::Tensor& y) { return ((y - exact).norm() / exact.norm()).item<double>(); };
  const torch::Tensor float32 = PackedMlp(mlp).Infer(x);
  const torch::Tensor bf16x2 = PackedMlp(mlp, Precision::kBf16x2).Infer(x);
  const torch::Tensor bf16 = PackedMlp(mlp, Precision::kBf16).Infer(x);
  EXPECT_LE(error_of(float32), 1e-6);
  if (HasCoarserPrecision()) {
    EXPECT_LE(error_of(bf16x2), 3e-5);
    EXPECT_LE(error_of(bf16), 1e-2);
    EXPECT_GT(error_of(bf16x2), error_of(float32));
    EXPECT_GT(error_of(bf16), error_of(bf16x2));
  } else {
    EXPECT_TRUE(torch::equal(bf16x2, float32));
    EXPECT_TRUE(torch::equal(bf16, float32));
  }
}

TEST(EnsembleMlp, InitialWeightsHaveTheirDistribution) {
  const MlpShape shape{.members = 4, .widths = {100, 300, 10}};
  FlatParameters parameters(shape.ParameterCount(), torch::kCPU);
  EnsembleMlp mlp(shape, parameters);
  torch::Generator generator = MakeGenerator(Rng(1), torch::kCPU);

  mlp.InitXavierUniform(generator);
  const double bound = std::sqrt(6.0 / 400);
  EXPECT_LE(mlp.weights()[0].abs().max().item<double>(), bound);
  EXPECT_NEAR(mlp.weights()[0].std().item<double>(), bound / std::sqrt(3.0), 0.01 * bound);
  EXPECT_EQ(mlp.biases()[0].abs().max().item<double>(), 0);

  mlp.InitTruncatedNormal(generator);
  const double std = 1 / (2 * std::sqrt(100.0));
  EXPECT_LE(mlp.weights()[0].abs().max().item<double>(), 2 * std * (1 + 1e-6));
  // A unit normal truncated at two std has variance 1 - 2*2*phi(2) / (2*Phi(2) - 1) = 0.77374.
  EXPECT_NEAR(mlp.weights()[0].std().item<double>(), std * std::sqrt(0.77374), 0.01 * std);
  EXPECT_FALSE(torch::equal(mlp.weights()[0][0], mlp.weights()[0][1]));
}

TEST(FlatParameters, ViewsShareTheBlockAndAdamFollowsTheFormula) {
  FlatParameters parameters(6, torch::kCPU);
  const FlatParameters::View first = parameters.Take({2, 2});
  const FlatParameters::View second = parameters.Take({2});
  EXPECT_THROW(parameters.Take({1}), std::logic_error);
  torch::Tensor grad = first.grad;
  grad.fill_(2);
  torch::Tensor other = second.grad;
  other.fill_(-0.5);
  Adam adam(parameters, 0.1);
  adam.Step();
  // After one step m / (1 - b1) = g and v / (1 - b2) = g^2: every number moves by the step size.
  EXPECT_NEAR(first.value[1][1].item<double>(), -0.1, 1e-6);
  EXPECT_NEAR(second.value[0].item<double>(), 0.1, 1e-6);
  grad.fill_(-1);
  adam.Step();
  const double m = (0.9 * 0.1 * 2 - 0.1) / (1 - 0.81);
  const double v = (0.999 * 0.001 * 4 + 0.001) / (1 - 0.998001);
  EXPECT_NEAR(first.value[0][0].item<double>(), -0.1 - 0.1 * m / (std::sqrt(v) + 1e-8), 1e-6);
}

}  // namespace
}  // namespace reverie
