#include "reverie/nn/layer_norm_mlp.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <functional>
#include <thread>
#include <vector>

#include "nn/fused_layers.h"
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

// Two networks with the same weights, float32 and float64: the first takes the fused pass, the second the plain one.
struct Twins {
  explicit Twins(const LayerNormMlpShape& shape)
      : fused_parameters(shape.ParameterCount(), torch::kCPU),
        plain_parameters(shape.ParameterCount(), torch::kFloat64),
        fused(shape, fused_parameters),
        plain(shape, plain_parameters) {
    torch::Generator generator = MakeGenerator(Rng(1), torch::kCPU);
    fused.InitHeNormal(generator);
    plain_parameters.values().copy_(fused_parameters.values());
  }

  FlatParameters fused_parameters, plain_parameters;
  LayerNormMlp fused, plain;
};

// Largest difference as a share of the largest number.
double Apart(const torch::Tensor& a, const torch::Tensor& exact) {
  return ((a.to(torch::kFloat64) - exact).abs().max() / exact.abs().max()).item<double>();
}

struct Pass {
  torch::Tensor y, by_x, by_parameters;
};

// A loss of y whose gradients differ from row to row.
Pass ThereAndBack(const LayerNormMlp& mlp, FlatParameters& parameters, const torch::Tensor& start, bool train) {
  const torch::Tensor x = start.to(parameters.values().scalar_type()).detach().requires_grad_();
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  const torch::Tensor y = train ? mlp.Forward(x, generator) : mlp.Forward(x);
  std::vector<torch::Tensor> leaves = mlp.leaves();
  leaves.push_back(x);
  BackPropagate((y.square() * y.sigmoid()).sum(), {&parameters}, leaves);
  return {.y = y.detach(), .by_x = x.grad(), .by_parameters = parameters.grads().clone()};
}

// Rows around whole blocks, widths around whole vectors, one member and many, all kinds of layers.
TEST(LayerNormMlp, TheFusedPassIsThePlainOne) {
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  const std::vector<LayerNormMlpShape> shapes{
      {.members = 1, .widths = {17, 64, 12}, .epsilon = {0, 0}, .dropout = {0, 0}},
      {.members = 3, .widths = {5, 20, 33, 7, 2}, .epsilon = {0, 1, 0, 1e-5}, .dropout = {0.2, 0, 0.1, 0.3}},
      {.members = 2, .widths = {8, 70, 16, 1}, .epsilon = {0.5, 0.1, 1e-5}, .dropout = {0, 0.05, 0}}};
  for (const LayerNormMlpShape& shape : shapes) {
    Twins twins(shape);
    for (const int64_t rows : {1, 5, 128, 131, 300}) {
      for (const bool shared : {true, false}) {
        for (const bool train : {true, false}) {
          const torch::Tensor x = shared ? torch::randn({rows, shape.widths[0]}, generator)
                                         : torch::randn({shape.members, rows, shape.widths[0]}, generator);
          const Pass fused = ThereAndBack(twins.fused, twins.fused_parameters, x, train);
          const Pass plain = ThereAndBack(twins.plain, twins.plain_parameters, x, train);
          ASSERT_LT(Apart(fused.y, plain.y), 1e-5) << rows << " rows";
          ASSERT_LT(Apart(fused.by_x, plain.by_x), 2e-5) << rows << " rows";
          ASSERT_LT(Apart(fused.by_parameters, plain.by_parameters), 2e-5) << rows << " rows";
          const torch::NoGradGuard no_grad;
          ASSERT_EQ(train || torch::equal(twins.fused.Forward(x), fused.y), true) << rows << " rows";
        }
      }
    }
  }
}

// However the weights lie; and without rows.
TEST(LayerNormMlp, EveryPackingPassesAlike) {
  const LayerNormMlpShape shape{.members = 2, .widths = {5, 20, 33, 3}, .epsilon = {0, 1, 1e-5}, .dropout = {0, 0, 0}};
  Twins twins(shape);
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  for (const Packing packing : {Packing::kRows, Packing::kAvx2, Packing::kAvx512}) {
    if (packing > FusedLayers::BestFloatPacking()) {
      continue;
    }
    const FusedLayers layers(twins.fused.leaves(), packing);
    for (const int64_t rows : {0, 1, 131, 300}) {
      const torch::Tensor start = torch::randn({2, rows, 5}, generator);
      const torch::Tensor x = start.clone().requires_grad_();
      const torch::Tensor exact_x = start.to(torch::kFloat64).requires_grad_();
      const torch::Tensor y = layers.Forward(x, {.hidden = {{.epsilon = 1}, {.epsilon = 1e-5F}}, .dropped = {{}, {}}});
      const torch::Tensor exact_y = twins.plain.Forward(exact_x);
      std::vector<torch::Tensor> leaves = twins.fused.leaves();
      leaves.push_back(x);
      std::vector<torch::Tensor> exact_leaves = twins.plain.leaves();
      exact_leaves.push_back(exact_x);
      const std::vector<torch::Tensor> by = torch::autograd::grad({y.square().sum()}, leaves);
      const std::vector<torch::Tensor> exact_by = torch::autograd::grad({exact_y.square().sum()}, exact_leaves);
      for (size_t i = 0; i < by.size(); ++i) {
        ASSERT_EQ(by[i].sizes(), exact_by[i].sizes());
        ASSERT_LT((by[i].to(torch::kFloat64) - exact_by[i]).norm().item<double>(),
                  1e-5 * exact_by[i].norm().item<double>() + 1e-12)
            << rows << " rows, packing " << static_cast<int>(packing) << ", leaf " << i;
      }
    }
    EXPECT_THROW(layers.Forward(torch::ones({2, 4, 6}), {}), std::logic_error);
    EXPECT_THROW(layers.Forward(torch::ones({3, 4, 5}), {}), std::logic_error);
  }
}

// Several threads begin at once with weights that nobody has laid out.
TEST(LayerNormMlp, ThreadsPassAtOnce) {
  const LayerNormMlpShape shape{.members = 2, .widths = {5, 200, 200, 3}, .epsilon = {0, 1, 0}, .dropout = {0, 0, 0}};
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  const torch::Tensor x = torch::randn({40, 5}, generator);
  for (int round = 0; round < 20; ++round) {
    Twins twins(shape);
    std::vector<torch::Tensor> found(4);
    std::vector<std::thread> threads;
    for (torch::Tensor& y : found) {
      threads.emplace_back([&] {
        const torch::NoGradGuard no_grad;
        y = twins.fused.Forward(x);
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
    const torch::NoGradGuard no_grad;
    const torch::Tensor exact = twins.plain.Forward(x.to(torch::kFloat64));
    for (const torch::Tensor& y : found) {
      ASSERT_LT(Apart(y, exact), 1e-5);
    }
  }
}

TEST(LayerNormMlp, TheFusedPassIsTheSameForAnyNumberOfThreads) {
  const LayerNormMlpShape shape{
      .members = 3, .widths = {5, 40, 33, 2}, .epsilon = {0, 1, 0.1}, .dropout = {0.2, 0.1, 0}};
  Twins twins(shape);
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  const torch::Tensor x = torch::randn({700, 5}, generator);
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const Pass one = ThereAndBack(twins.fused, twins.fused_parameters, x, /*train=*/true);
  at::set_num_threads(3);
  const Pass three = ThereAndBack(twins.fused, twins.fused_parameters, x, /*train=*/true);
  at::set_num_threads(before);
  EXPECT_TRUE(torch::equal(one.y, three.y));
  EXPECT_TRUE(torch::equal(one.by_x, three.by_x));
  EXPECT_TRUE(torch::equal(one.by_parameters, three.by_parameters));
}

// The fused pass keeps weights in an order of its own.
TEST(LayerNormMlp, SeesThatItsWeightsChange) {
  const LayerNormMlpShape shape{.members = 2, .widths = {3, 20, 2}, .epsilon = {0, 1}, .dropout = {0, 0}};
  Twins twins(shape);
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  const torch::Tensor x = torch::randn({4, 3}, generator);
  Adam adam(twins.fused_parameters, 0.1);
  FlatParameters follower(shape.ParameterCount(), torch::kCPU);
  LayerNormMlp following(shape, follower);
  const auto changes = std::vector<std::function<void()>>{
      [&] { twins.fused_parameters.values().mul_(0.5); },
      [&] { twins.fused_parameters.values().copy_(torch::randn({shape.ParameterCount()}, generator)); },
      [&] { adam.Step(); }, [&] { adam.StepWithTarget(follower, 0.5); }};
  for (const std::function<void()>& change : changes) {
    for (const int64_t pass : {0, 1}) {  // weights lie in one order for the way there, in another for the way back
      if (pass == 1) {
        change();
        twins.plain_parameters.values().copy_(twins.fused_parameters.values());
      }
      const Pass fused = ThereAndBack(twins.fused, twins.fused_parameters, x, /*train=*/false);
      const Pass plain = ThereAndBack(twins.plain, twins.plain_parameters, x, /*train=*/false);
      if (pass == 1) {
        EXPECT_LT(Apart(fused.y, plain.y), 1e-5);
        EXPECT_LT(Apart(fused.by_x, plain.by_x), 2e-5);
      }
      const torch::NoGradGuard no_grad;
      const torch::Tensor exact = LayerNormMlp(shape, following.leaves()).Forward(x);
      EXPECT_TRUE(torch::equal(following.Forward(x), exact));
    }
  }
}

// Between a pass and its way back the weights must stay as they are; and there is no second way back.
TEST(LayerNormMlp, WhatTheFusedPassCannotDoIsAnError) {
  const LayerNormMlpShape shape{.members = 1, .widths = {3, 8, 1}, .epsilon = {0, 1}, .dropout = {0, 0}};
  Twins twins(shape);
  const torch::Tensor x = torch::ones({2, 3}).requires_grad_();
  const torch::Tensor loss = twins.fused.Forward(x).sum();
  EXPECT_THROW(torch::autograd::grad({loss}, {x}, {}, /*retain_graph=*/true, /*create_graph=*/true), std::exception);
  EXPECT_NO_THROW(torch::autograd::grad({loss}, {x}, {}, /*retain_graph=*/true));
  Adam(twins.fused_parameters, 0.1).Step();
  EXPECT_THROW(torch::autograd::grad({loss}, {x}), std::exception);
}

// Through one network into the other's block alone.
TEST(LayerNormMlp, TheFusedPassGivesTheGradientsThatAreAskedFor) {
  const LayerNormMlpShape shape{.members = 2, .widths = {3, 20, 3}, .epsilon = {0, 1}, .dropout = {0, 0}};
  Twins first(shape);
  Twins second(shape);
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  const torch::Tensor x = torch::randn({4, 3}, generator);
  const auto loss = [&](const LayerNormMlp& a, const LayerNormMlp& b, const torch::Tensor& start) {
    return b.Forward(a.Forward(start)).square().sum();
  };
  BackPropagate(loss(first.fused, second.fused, x), {&first.fused_parameters}, first.fused.leaves());
  BackPropagate(loss(first.plain, second.plain, x.to(torch::kFloat64)), {&first.plain_parameters},
                first.plain.leaves());
  EXPECT_LT(Apart(first.fused_parameters.grads(), first.plain_parameters.grads()), 2e-5);
  EXPECT_EQ(second.fused_parameters.grads().count_nonzero().item<int64_t>(), 0);
}

// The gaps between dropped numbers: no two masks alike, each number as often as another.
TEST(LayerNormMlp, DropsEveryNumberAsOften) {
  const LayerNormMlpShape shape{.members = 1, .widths = {1, 50}, .epsilon = {0}, .dropout = {0.01}};
  FlatParameters parameters(shape.ParameterCount(), torch::kCPU);
  LayerNormMlp mlp(shape, parameters);
  const torch::NoGradGuard no_grad;
  parameters.values().narrow(0, 0, 50).fill_(1);
  torch::Generator generator = MakeGenerator(Rng(1), torch::kCPU);
  constexpr int64_t kRows = 20'000;
  const torch::Tensor dropped = (mlp.Forward(torch::ones({kRows, 1}), generator)[0] == 0).to(torch::kFloat64);
  // Binomial: mean 200, deviation 14.
  EXPECT_LT((dropped.sum(0) - 0.01 * kRows).abs().max().item<double>(), 5 * 14.1);
  EXPECT_NEAR(dropped.mean().item<double>(), 0.01, 5 * 1e-4);
  // Neighbours are dropped together as often as strangers are.
  const torch::Tensor flat = dropped.flatten();
  const double together = (flat.slice(0, 1) * flat.slice(0, 0, -1)).sum().item<double>();
  EXPECT_NEAR(together, 1e-4 * 50 * kRows, 5 * 10);
}

TEST(LayerNormMlp, WantsANumberForEachLayer) {
  LayerNormMlpShape shape = Shape();
  shape.dropout.pop_back();
  FlatParameters parameters(shape.ParameterCount(), torch::kCPU);
  EXPECT_THROW(LayerNormMlp(shape, parameters), std::logic_error);
}

}  // namespace
}  // namespace reverie
