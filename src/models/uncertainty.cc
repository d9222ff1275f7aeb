#include "reverie/models/uncertainty.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>
#include <stdexcept>

#include "nn/safe_sqrt.h"

namespace reverie {
namespace {

// The prediction for measures that read densities. A dimension that is predicted exactly, with variance 0 by every
// member, has none: with variance 1 and equal means it adds the same to every term and cancels.
GaussianPrediction WithDensities(const GaussianPrediction& p) {
  return {p.mean, p.var.masked_fill((p.var == 0).all(0, /*keepdim=*/true), 1)};
}

// log int N_i N_j = log N(mu_i; mu_j, var_i + var_j), [B]
torch::Tensor LogOverlap(const GaussianPrediction& p, int64_t i, int64_t j) {
  const torch::Tensor var = p.var[i] + p.var[j];
  return -0.5 * ((p.mean[i] - p.mean[j]).square() / var + torch::log(2 * std::numbers::pi * var)).sum(-1);
}

torch::Tensor MaxPairwise(const GaussianPrediction& p) {
  const int64_t members = p.mean.size(0);
  torch::Tensor largest = torch::zeros({p.mean.size(1)}, p.mean.options());
  for (int64_t i = 0; i < members; ++i) {
    for (int64_t j = i + 1; j < members; ++j) {
      largest = torch::maximum(largest, (p.mean[i] - p.mean[j]).square().sum(-1));
    }
  }
  return SafeSqrt(largest);
}

torch::Tensor JensenRenyi(const GaussianPrediction& p) {
  const int64_t members = p.mean.size(0);
  std::vector<torch::Tensor> overlaps;  // of the mixture, pair by pair
  torch::Tensor own = torch::zeros({p.mean.size(1)}, p.mean.options());
  for (int64_t i = 0; i < members; ++i) {
    const torch::Tensor self = LogOverlap(p, i, i);
    own = own + self;
    overlaps.push_back(self);
    for (int64_t j = i + 1; j < members; ++j) {
      overlaps.push_back(LogOverlap(p, i, j) + std::numbers::ln2);  // (i, j) and (j, i)
    }
  }
  const auto m = static_cast<double>(members);
  const torch::Tensor mixture_entropy = 2 * std::log(m) - torch::logsumexp(torch::stack(overlaps), 0);
  return mixture_entropy + own / m;
}

torch::Tensor OneVsRest(const GaussianPrediction& p, const torch::Tensor& member) {
  const auto others = static_cast<double>(p.mean.size(0) - 1);
  const torch::Tensor index = member.view({1, -1, 1}).expand({1, p.mean.size(1), p.mean.size(2)});
  const torch::Tensor mean = p.mean.gather(0, index).squeeze(0);
  const torch::Tensor var = p.var.gather(0, index).squeeze(0);
  const torch::Tensor rest_mean = (p.mean.sum(0) - mean) / others;
  // E[var] + Var[mean] over the others, without the cancellation of E[x^2] - E[x]^2.
  const torch::Tensor spread = (p.mean - rest_mean).square().sum(0) - (mean - rest_mean).square();
  // At least what rounding leaves of the differences.
  const torch::Tensor rest_var = torch::maximum((p.var.sum(0) - var + spread) / others, 1e-6 * var);
  return 0.5 * (torch::log(rest_var / var) + (var + (mean - rest_mean).square()) / rest_var - 1).sum(-1);
}

}  // namespace

std::vector<std::pair<std::string, UncertaintyMeasure>> EnumNames(UncertaintyMeasure) {
  return {{"max_aleatoric", UncertaintyMeasure::kMaxAleatoric},
          {"ensemble_std", UncertaintyMeasure::kEnsembleStd},
          {"max_pairwise", UncertaintyMeasure::kMaxPairwise},
          {"jensen_renyi", UncertaintyMeasure::kJensenRenyi},
          {"one_vs_rest", UncertaintyMeasure::kOneVsRest}};
}

bool NeedsVariance(UncertaintyMeasure measure) {
  return measure != UncertaintyMeasure::kEnsembleStd && measure != UncertaintyMeasure::kMaxPairwise;
}

torch::Tensor Uncertainty(UncertaintyMeasure measure, const GaussianPrediction& prediction,
                          const torch::Tensor& member) {
  if (prediction.mean.size(0) < 2) {
    throw std::logic_error("Uncertainty needs at least two members");
  }
  switch (measure) {
    case UncertaintyMeasure::kMaxAleatoric:
      return SafeSqrt(std::get<0>(prediction.var.sum(-1).max(0)));
    case UncertaintyMeasure::kEnsembleStd:
      return SafeSqrt(prediction.mean.var(0, /*unbiased=*/false).sum(-1));
    case UncertaintyMeasure::kMaxPairwise:
      return MaxPairwise(prediction);
    case UncertaintyMeasure::kJensenRenyi:
      return JensenRenyi(WithDensities(prediction));
    case UncertaintyMeasure::kOneVsRest:
      return OneVsRest(WithDensities(prediction), member);
  }
  throw std::logic_error("unknown uncertainty measure");
}

}  // namespace reverie
