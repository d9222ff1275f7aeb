#include "reverie/nn/squashed_gaussian.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <stdexcept>

#include "core/gpu.h"
#include "core/vectorize.h"
#include "squashed_gaussian_cuda.h"
#include "squashed_gaussian_math.h"

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

constexpr LogStdBounds kBounds{.low = static_cast<float>(kLogStdMin), .high = static_cast<float>(kLogStdMax)};

cuda::SquashedArrays ArraysOf(const SquashedSample& sample) {
  return {.action = sample.action.data_ptr<float>(),
          .log_prob = sample.log_prob.data_ptr<float>(),
          .by_log_std = sample.by_log_std.data_ptr<float>(),
          .unclamped = sample.unclamped.data_ptr<float>(),
          .log_density = sample.log_density.data_ptr<float>()};
}

// In: the mean in `action`, the head's log_std in by_log_std.
REVERIE_CLONES void DrawAll(const float* __restrict noise, float* __restrict action, float* __restrict by_log_std,
                            float* __restrict unclamped, float* __restrict log_density, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const SquashedDraw draw = DrawSquashed(action[i], by_log_std[i], noise[i], kBounds);
    action[i] = draw.action;
    by_log_std[i] = draw.by_log_std;
    unclamped[i] = draw.unclamped;
    log_density[i] = draw.log_density;
  }
}

REVERIE_CLONES void HeadGradientRow(const float* __restrict action, const float* __restrict by_log_std,
                                    const float* __restrict unclamped, const float* __restrict action_grad,
                                    float log_prob_grad, float* __restrict mean_grad, float* __restrict log_std_grad,
                                    int64_t n) {
  for (int64_t j = 0; j < n; ++j) {
    const HeadGradient grad = SquashedGradient(action[j], by_log_std[j], unclamped[j], action_grad[j], log_prob_grad);
    mean_grad[j] = grad.mean;
    log_std_grad[j] = grad.log_std;
  }
}

}  // namespace

void SampleSquashed(const torch::Tensor& head, const torch::Tensor& noise, SquashedSample& sample) {
  const int64_t rows = noise.size(0);
  const int64_t act_dim = noise.size(1);
  const float* from = head.data_ptr<float>();
  const float* noises = noise.data_ptr<float>();
  const cuda::SquashedArrays to = ArraysOf(sample);
  if (!head.is_cpu()) {
    OnGpu(head, [&](auto stream) { cuda::SampleSquashed(from, noises, kBounds, to, rows, act_dim, stream); });
    return;
  }
  const FlushSubnormals flush;
  for (int64_t i = 0; i < rows; ++i) {
    std::copy_n(from + 2 * i * act_dim, act_dim, to.action + i * act_dim);
    std::copy_n(from + (2 * i + 1) * act_dim, act_dim, to.by_log_std + i * act_dim);
  }
  DrawAll(noises, to.action, to.by_log_std, to.unclamped, to.log_density, rows * act_dim);
  for (int64_t i = 0; i < rows; ++i) {
    to.log_prob[i] = std::accumulate(to.log_density + i * act_dim, to.log_density + (i + 1) * act_dim, 0.0F);
  }
}

void SquashedHeadGradient(const SquashedSample& sample, const torch::Tensor& action_grad,
                          const torch::Tensor& log_prob_grad, torch::Tensor head_grad) {
  const int64_t rows = sample.action.size(0);
  const int64_t act_dim = sample.action.size(1);
  const cuda::SquashedArrays from = ArraysOf(sample);
  const float* by_action = action_grad.data_ptr<float>();
  const float* by_log_prob = log_prob_grad.data_ptr<float>();
  float* to = head_grad.data_ptr<float>();
  if (!head_grad.is_cpu()) {
    OnGpu(head_grad,
          [&](auto stream) { cuda::SquashedHeadGradient(from, by_action, by_log_prob, to, rows, act_dim, stream); });
    return;
  }
  const FlushSubnormals flush;
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t at = i * act_dim;
    HeadGradientRow(from.action + at, from.by_log_std + at, from.unclamped + at, by_action + at, *by_log_prob,
                    to + 2 * at, to + 2 * at + act_dim, act_dim);
  }
}

}  // namespace reverie
