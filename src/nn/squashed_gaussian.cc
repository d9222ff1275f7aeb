#include "reverie/nn/squashed_gaussian.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>
#include <stdexcept>

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

SquashedSample SampleSquashed(const torch::Tensor& head, const torch::Tensor& noise) {
  const int64_t act_dim = noise.size(-1);
  const torch::Tensor mean = head.slice(-1, 0, act_dim);
  const torch::Tensor raw = head.slice(-1, act_dim, 2 * act_dim);
  const torch::Tensor log_std = raw.clamp(kLogStdMin, kLogStdMax);
  SquashedSample sample;
  sample.std = torch::exp(log_std);
  const torch::Tensor u = mean + sample.std * noise;
  sample.action = torch::tanh(u);
  sample.log_prob = (-0.5 * noise.square() - log_std - kLogSqrtTwoPi - LogTanhDerivative(u)).sum(-1);
  sample.noise = noise;
  sample.unclamped = (raw == log_std).to(raw.scalar_type());
  return sample;
}

torch::Tensor SquashedHeadGradient(const SquashedSample& sample, const torch::Tensor& action_grad,
                                   const torch::Tensor& log_prob_grad) {
  const torch::Tensor& a = sample.action;
  const torch::Tensor by_u = 2 * a * log_prob_grad + (1 - a.square()) * action_grad;
  const torch::Tensor by_log_std = (by_u * sample.std * sample.noise - log_prob_grad) * sample.unclamped;
  return torch::cat({by_u, by_log_std}, -1);
}

}  // namespace reverie
