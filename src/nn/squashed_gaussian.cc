#include "reverie/nn/squashed_gaussian.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <stdexcept>

#include "reverie/nn/elementwise.h"
#include "vectorize.h"

namespace reverie {
namespace {

const double kLogSqrtTwoPi = 0.5 * std::log(2 * std::numbers::pi);

// log(1 - tanh(u)^2)
torch::Tensor LogTanhDerivative(const torch::Tensor& u) { return 2 * (std::numbers::ln2 - u - at::softplus(-2 * u)); }

}  // namespace

torch::Tensor SquashedLogProb(const torch::Tensor& mean, const torch::Tensor& log_std, const torch::Tensor& u) {
  if (mean.sizes() != log_std.sizes() || mean.sizes() != u.sizes()) {
    throw std::logic_error("SquashedLogProb: mean, log_std and u differ in shape");
  }
  const torch::Tensor noise = (u - mean) * torch::exp(-log_std);
  return (-0.5 * noise.square() - log_std - kLogSqrtTwoPi - LogTanhDerivative(u)).sum(-1);
}

SquashedSample SquashedSample::Empty(int64_t rows, int64_t act_dim, const torch::Device& device) {
  const auto empty = [&] { return torch::empty({rows, act_dim}, torch::device(device)); };
  return {.action = empty(),
          .log_prob = torch::empty({rows}, torch::device(device)),
          .by_log_std = empty(),
          .unclamped = empty(),
          .log_density = empty()};
}

namespace {

// In: the mean in `action`, the head's log_std in by_log_std.
REVERIE_CLONES void DrawAll(const float* __restrict noise, float* __restrict action, float* __restrict by_log_std,
                            float* __restrict unclamped, float* __restrict log_density, int64_t n) {
  constexpr auto kLow = static_cast<float>(kLogStdMin);
  constexpr auto kHigh = static_cast<float>(kLogStdMax);
  constexpr auto kLn2 = static_cast<float>(std::numbers::ln2);
  constexpr float kHalfLogTwoPi = 0.918938533F;
  for (int64_t i = 0; i < n; ++i) {
    const float raw = by_log_std[i];
    float log_std = kLow > raw ? kLow : raw;
    log_std = kHigh < log_std ? kHigh : log_std;
    const float inside = raw == log_std ? 1.0F : 0.0F;
    const float scaled_noise = Exp(log_std) * noise[i];
    const float u = action[i] + scaled_noise;
    action[i] = Tanh(u);
    by_log_std[i] = inside * scaled_noise;
    unclamped[i] = inside;
    log_density[i] =
        -0.5F * noise[i] * noise[i] - log_std - kHalfLogTwoPi - 2.0F * (kLn2 - u - Softplus(-2.0F * u).value);
  }
}

REVERIE_CLONES void HeadGradientRow(const float* __restrict action, const float* __restrict by_log_std,
                                    const float* __restrict unclamped, const float* __restrict action_grad,
                                    float log_prob_grad, float* __restrict mean_grad, float* __restrict log_std_grad,
                                    int64_t n) {
  for (int64_t j = 0; j < n; ++j) {
    const float a = action[j];
    const float by_u = 2.0F * a * log_prob_grad + (1.0F - a * a) * action_grad[j];
    mean_grad[j] = by_u;
    log_std_grad[j] = by_u * by_log_std[j] - log_prob_grad * unclamped[j];
  }
}

}  // namespace

void SampleSquashed(const torch::Tensor& head, const torch::Tensor& noise, SquashedSample& sample) {
  const int64_t rows = noise.size(0);
  const int64_t act_dim = noise.size(1);
  if (!head.is_cpu()) {
    const torch::Tensor mean = head.slice(-1, 0, act_dim);
    const torch::Tensor raw = head.slice(-1, act_dim, 2 * act_dim);
    const torch::Tensor log_std = raw.clamp(kLogStdMin, kLogStdMax);
    const torch::Tensor scaled_noise = torch::exp(log_std) * noise;
    const torch::Tensor u = mean + scaled_noise;
    at::tanh_out(sample.action, u);
    sample.unclamped.copy_(raw == log_std);
    at::mul_out(sample.by_log_std, scaled_noise, sample.unclamped);
    sample.log_density.copy_(-0.5 * noise.square() - log_std - kLogSqrtTwoPi - LogTanhDerivative(u));
    at::sum_out(sample.log_prob, sample.log_density, {1});
    return;
  }
  const FlushSubnormals flush;
  const float* from = head.data_ptr<float>();
  float* action = sample.action.data_ptr<float>();
  float* by_log_std = sample.by_log_std.data_ptr<float>();
  for (int64_t i = 0; i < rows; ++i) {
    std::copy_n(from + 2 * i * act_dim, act_dim, action + i * act_dim);
    std::copy_n(from + (2 * i + 1) * act_dim, act_dim, by_log_std + i * act_dim);
  }
  const float* log_density = sample.log_density.data_ptr<float>();
  DrawAll(noise.data_ptr<float>(), action, by_log_std, sample.unclamped.data_ptr<float>(),
          sample.log_density.data_ptr<float>(), rows * act_dim);
  float* log_prob = sample.log_prob.data_ptr<float>();
  for (int64_t i = 0; i < rows; ++i) {
    log_prob[i] = std::accumulate(log_density + i * act_dim, log_density + (i + 1) * act_dim, 0.0F);
  }
}

void SquashedHeadGradient(const SquashedSample& sample, const torch::Tensor& action_grad,
                          const torch::Tensor& log_prob_grad, torch::Tensor head_grad) {
  const int64_t rows = sample.action.size(0);
  const int64_t act_dim = sample.action.size(1);
  if (!head_grad.is_cpu()) {
    const torch::Tensor& a = sample.action;
    const torch::Tensor by_u = 2 * a * log_prob_grad + (1 - a.square()) * action_grad;
    head_grad.slice(-1, 0, act_dim).copy_(by_u);
    head_grad.slice(-1, act_dim, 2 * act_dim).copy_(by_u * sample.by_log_std - log_prob_grad * sample.unclamped);
    return;
  }
  const FlushSubnormals flush;
  const float by_log_prob = *log_prob_grad.data_ptr<float>();
  const float* action = sample.action.data_ptr<float>();
  const float* by_log_std = sample.by_log_std.data_ptr<float>();
  const float* unclamped = sample.unclamped.data_ptr<float>();
  const float* by_action = action_grad.data_ptr<float>();
  float* to = head_grad.data_ptr<float>();
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t at = i * act_dim;
    HeadGradientRow(action + at, by_log_std + at, unclamped + at, by_action + at, by_log_prob, to + 2 * at,
                    to + 2 * at + act_dim, act_dim);
  }
}

}  // namespace reverie
