#include "reverie/models/scores.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>
#include <stdexcept>
#include <string>

namespace reverie {
namespace {

constexpr int kBisections = 32;
constexpr int64_t kCalibrationLevels = 100;

void RequireDoubles(const torch::Tensor& tensor) {
  if (!tensor.defined() || tensor.scalar_type() != torch::kFloat64 || !tensor.is_cpu()) {
    throw std::logic_error("scores: expected float64 on the CPU");
  }
}

void Require(const GaussianMixtures& predicted, const torch::Tensor& y) {
  for (const torch::Tensor& tensor : {predicted.mean, predicted.std, y}) {
    RequireDoubles(tensor);
  }
  if (predicted.mean.dim() != 3 || !predicted.std.sizes().equals(predicted.mean.sizes()) ||
      !y.sizes().equals(predicted.mean.sizes().slice(1))) {
    throw std::logic_error("scores: expected mean and std [K, N, D] of y [N, D]");
  }
  if (predicted.log_weight.defined()) {
    RequireDoubles(predicted.log_weight);
    if (!predicted.log_weight.sizes().equals(predicted.mean.sizes().slice(0, 2))) {
      throw std::logic_error("scores: expected log_weight [K, N]");
    }
  }
}

torch::Tensor LogNormal(const GaussianMixtures& predicted, const torch::Tensor& y) {
  return -0.5 * ((y - predicted.mean) / predicted.std).square() - predicted.std.log() -
         0.5 * std::log(2 * std::numbers::pi);
}

// log sum_k w_k exp(logs_k) of logs [K, N, ...].
torch::Tensor LogMean(const GaussianMixtures& predicted, const torch::Tensor& logs) {
  if (!predicted.log_weight.defined()) {
    return torch::logsumexp(logs, 0) - std::log(static_cast<double>(logs.size(0)));
  }
  return torch::logsumexp(logs.dim() == 3 ? logs + predicted.log_weight.unsqueeze(-1) : logs + predicted.log_weight, 0);
}

// sum_k w_k x_k of x [K, N, D].
torch::Tensor Mean(const GaussianMixtures& predicted, const torch::Tensor& x) {
  return predicted.log_weight.defined() ? (predicted.log_weight.exp().unsqueeze(-1) * x).sum(0) : x.mean(0);
}

// (x - mean) / std; 0 where a mean with std 0 is met, so that a step has half its height there.
torch::Tensor Standardised(const torch::Tensor& x, const torch::Tensor& mean, const torch::Tensor& std) {
  return ((x - mean) / std).masked_fill((std == 0).logical_and(x == mean), 0);
}

// Phi^-1.
double NormalQuantile(double level) {
  return std::numbers::sqrt2 * torch::erfinv(torch::tensor(2 * level - 1, torch::kFloat64)).item<double>();
}

torch::Tensor NormalCdf(const torch::Tensor& z) { return 0.5 * torch::erfc(-z / std::numbers::sqrt2); }

// E |X| of X ~ N(m, s^2).
torch::Tensor MeanAbsolute(const torch::Tensor& m, const torch::Tensor& s) {
  const torch::Tensor z = Standardised(m, torch::zeros_like(m), s);
  const torch::Tensor density = torch::exp(-0.5 * z.square()) / std::sqrt(2 * std::numbers::pi);
  return m * (2 * NormalCdf(z) - 1) + 2 * s * density;
}

// Ranks from 1, ties sharing their mean.
torch::Tensor Ranks(const torch::Tensor& x) {
  const auto [sorted, order] = x.sort();
  const torch::Tensor first = torch::searchsorted(sorted, x, /*out_int32=*/false, /*right=*/false);
  const torch::Tensor last = torch::searchsorted(sorted, x, /*out_int32=*/false, /*right=*/true);
  return 0.5 * (first + last + 1).to(torch::kFloat64);
}

// sum_kl w_k w_l |mean_k - mean_l| by sorting: 2 sum_k w_k mean_k (2 W_k - w_k - 1) of ascending means, where W_k is
// the weight of all up to k.
torch::Tensor MeanDistanceOfPoints(const GaussianMixtures& predicted) {
  const auto [sorted, order] = predicted.mean.sort(0);
  const torch::Tensor weight = predicted.log_weight.defined()
                                   ? predicted.log_weight.exp().unsqueeze(-1).expand_as(sorted).gather(0, order)
                                   : torch::full_like(sorted, 1 / static_cast<double>(sorted.size(0)));
  return 2 * (weight * sorted * (2 * weight.cumsum(0) - weight - 1)).sum(0);
}

}  // namespace

torch::Tensor LogDensityOfRows(const GaussianMixtures& predicted, const torch::Tensor& y) {
  Require(predicted, y);
  return LogMean(predicted, LogNormal(predicted, y).sum(-1));
}

torch::Tensor LogDensity(const GaussianMixtures& predicted, const torch::Tensor& y) {
  Require(predicted, y);
  return LogMean(predicted, LogNormal(predicted, y));
}

torch::Tensor Cdf(const GaussianMixtures& predicted, const torch::Tensor& y) {
  Require(predicted, y);
  return Mean(predicted, NormalCdf(Standardised(y, predicted.mean, predicted.std)));
}

torch::Tensor Quantile(const GaussianMixtures& predicted, double level) {
  // A mixture's quantile lies between the least and the greatest of its parts'.
  const torch::Tensor of_parts = predicted.mean + NormalQuantile(level) * predicted.std;
  torch::Tensor low = of_parts.amin(0);
  torch::Tensor high = of_parts.amax(0);
  Require(predicted, low);
  for (int i = 0; i < kBisections; ++i) {
    const torch::Tensor middle = 0.5 * (low + high);
    const torch::Tensor below = Cdf(predicted, middle) < level;
    low = torch::where(below, middle, low);
    high = torch::where(below, high, middle);
  }
  return high;
}

torch::Tensor Crps(const GaussianMixtures& predicted, const torch::Tensor& y) {
  Require(predicted, y);
  const int64_t count = predicted.mean.size(0);
  torch::Tensor score = Mean(predicted, MeanAbsolute(y - predicted.mean, predicted.std));
  if ((predicted.std == 0).all().item<bool>()) {
    return score.sub_(MeanDistanceOfPoints(predicted), 0.5);
  }
  torch::Tensor apart = torch::zeros_like(y);
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = 0; j <= i; ++j) {
      torch::Tensor distance =
          MeanAbsolute(predicted.mean[i] - predicted.mean[j], torch::hypot(predicted.std[i], predicted.std[j]));
      if (predicted.log_weight.defined()) {
        distance = distance * (predicted.log_weight[i] + predicted.log_weight[j]).exp().unsqueeze(-1);
      }
      apart.add_(distance, i == j ? 1 : 2);
    }
  }
  return score.sub_(apart, predicted.log_weight.defined() ? 0.5 : 0.5 / static_cast<double>(count * count));
}

double CentralCoverage(const torch::Tensor& levels, double level) {
  RequireDoubles(levels);
  return ((2 * levels - 1).abs() <= level).to(torch::kFloat64).mean().item<double>();
}

double CalibrationError(const torch::Tensor& levels) {
  RequireDoubles(levels);
  const torch::Tensor wanted = torch::linspace(0, 1, kCalibrationLevels, levels.options());
  const torch::Tensor sorted = std::get<0>((2 * levels.flatten() - 1).abs().sort());
  const torch::Tensor share =
      torch::searchsorted(sorted, wanted, /*out_int32=*/false, /*right=*/true) / static_cast<double>(levels.numel());
  return (share - wanted).abs().mean().item<double>();
}

double DistanceFromUniform(const torch::Tensor& levels) {
  RequireDoubles(levels);
  const auto count = static_cast<double>(levels.numel());
  const torch::Tensor sorted = std::get<0>(levels.flatten().sort());
  const torch::Tensor below = torch::arange(levels.numel(), levels.options()) / count;
  return torch::maximum(below + 1 / count - sorted, sorted - below).max().item<double>();
}

double Auroc(const torch::Tensor& positive, const torch::Tensor& negative) {
  RequireDoubles(positive);
  RequireDoubles(negative);
  const auto p = static_cast<double>(positive.numel());
  const auto q = static_cast<double>(negative.numel());
  const torch::Tensor ranks = Ranks(torch::cat({positive, negative}));
  return (ranks.narrow(0, 0, positive.numel()).sum().item<double>() - p * (p + 1) / 2) / (p * q);
}

double RankCorrelation(const torch::Tensor& a, const torch::Tensor& b) {
  RequireDoubles(a);
  RequireDoubles(b);
  const torch::Tensor x = Ranks(a) - 0.5 * static_cast<double>(a.numel() + 1);
  const torch::Tensor y = Ranks(b) - 0.5 * static_cast<double>(b.numel() + 1);
  return ((x * y).sum() / (x.square().sum() * y.square().sum()).sqrt()).item<double>();
}

}  // namespace reverie
