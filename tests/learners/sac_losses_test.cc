#include "learners/sac_losses.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "device.h"
#include "reverie/core/state.h"

namespace reverie {
namespace {

// Each loss and its hand-written gradients against autograd's in float64, for numbers of rows below, at and beyond a
// block of threads.
class SacLosses : public OnTestDevice<testing::TestWithParam<int64_t>> {
 protected:
  torch::Tensor Draw(at::IntArrayRef sizes) { return torch::randn(sizes, generator_).to(device_); }
  torch::Tensor Empty(at::IntArrayRef sizes) const { return torch::empty(sizes, torch::device(device_)); }

  static void ExpectNear(const torch::Tensor& ours, const torch::Tensor& exact) {
    EXPECT_LT((ours.to(torch::kFloat64) - exact).abs().max().item<double>(), 2e-6 * exact.abs().max().item<double>());
  }

  torch::Generator generator_ = MakeGenerator(Rng(5), torch::kCPU);
};

TEST_P(SacLosses, TheCriticsGradientIsAutograds) {
  const int64_t rows = GetParam();
  TransitionBatch batch = TransitionBatch::Empty({.obs_dim = 5, .act_dim = 2}, rows, device_);
  batch.rows.copy_(Draw(batch.rows.sizes()));
  batch.terminated().copy_(Draw({rows}) < -0.8);
  const torch::Tensor q = Draw({2, rows, 1});
  const torch::Tensor next_q = Draw({2, rows, 1});
  const torch::Tensor next_log_prob = Draw({rows});
  const torch::Tensor alpha = torch::tensor(0.3F).to(device_);
  torch::Tensor q_grad = Empty({2, rows, 1});
  torch::Tensor loss = Empty({});
  torch::Tensor q_mean = Empty({});
  CriticLoss(batch, q, next_q, next_log_prob, alpha, 0.97, q_grad, loss, q_mean);

  const auto exact = [](const torch::Tensor& x) { return x.to(torch::kFloat64); };
  const torch::Tensor x = exact(q).requires_grad_();
  const torch::Tensor next_value =
      torch::minimum(exact(next_q[0]), exact(next_q[1])).squeeze(1) - exact(alpha) * exact(next_log_prob);
  const torch::Tensor target = exact(batch.reward()) + 0.97 * (1 - exact(batch.terminated())) * next_value;
  const torch::Tensor weight = exact(batch.log_weight()).exp();
  const torch::Tensor expected = (0.5 * weight * (x.squeeze(2) - target).square()).mean(1).sum();
  ExpectNear(loss, expected.detach());
  ExpectNear(q_grad, torch::autograd::grad({expected}, {x})[0]);
  EXPECT_NEAR(q_mean.item<double>(), x.mean().item<double>(), 1e-6);
}

TEST_P(SacLosses, TheActorsGradientsAreAutograds) {
  const int64_t rows = GetParam();
  const torch::Tensor q = Draw({2, rows, 1});
  const torch::Tensor log_prob = Draw({rows});
  const torch::Tensor alpha = torch::tensor(0.3F).to(device_);
  torch::Tensor q_grad = Empty({2, rows, 1});
  torch::Tensor log_prob_grad = Empty({});
  torch::Tensor loss = Empty({});
  torch::Tensor entropy = Empty({});
  ActorLoss(q, log_prob, alpha, q_grad, log_prob_grad, loss, entropy);

  const torch::Tensor x = q.to(torch::kFloat64).requires_grad_();
  const torch::Tensor p = log_prob.to(torch::kFloat64).requires_grad_();
  const torch::Tensor expected = (alpha.to(torch::kFloat64) * p - torch::minimum(x[0], x[1]).squeeze(1)).mean();
  const auto grads = torch::autograd::grad({expected}, {x, p});
  EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-6);
  EXPECT_NEAR(entropy.item<double>(), -p.mean().item<double>(), 1e-6);
  ExpectNear(q_grad, grads[0]);
  ExpectNear(log_prob_grad.expand({rows}), grads[1]);
}

TEST_P(SacLosses, AlphasGradientIsAutograds) {
  const torch::Tensor log_alpha = Draw({1});
  const torch::Tensor entropy = Draw({});
  torch::Tensor grad = Empty({1});
  torch::Tensor loss = Empty({});
  AlphaLoss(log_alpha, entropy, -2.5, grad, loss);

  const torch::Tensor x = log_alpha.to(torch::kFloat64).requires_grad_();
  const torch::Tensor expected = -(x * (-2.5 - entropy.to(torch::kFloat64))).sum();
  ExpectNear(loss, expected.detach());
  ExpectNear(grad, torch::autograd::grad({expected}, {x})[0]);
}

INSTANTIATE_TEST_SUITE_P(Rows, SacLosses, testing::Values(1, 37, 256, 1000));

}  // namespace
}  // namespace reverie
