#include "reverie/control/gaussian_mixture.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <stdexcept>
#include <utility>

#include "reverie/core/text.h"
#include "ridge.h"

namespace reverie {
namespace {

constexpr double kRidge = 1e-6;           // rho
constexpr double kLeastComponent = 1e-4;  // of 1 / K: a component with a smaller weight has lost its rows

}  // namespace

torch::Tensor GaussianMixture::LogJoint(const torch::Tensor& rows) const {
  const torch::Tensor ridge = kRidge * torch::diag_embed(covariances_.diagonal(0, 1, 2));
  const torch::Tensor factor = FactorOf(covariances_, ridge);                               // [K, D, D]
  const torch::Tensor centred = (rows.unsqueeze(0) - means_.unsqueeze(1)).transpose(1, 2);  // [K, D, N]
  const torch::Tensor whitened = torch::linalg_solve_triangular(factor, centred, /*upper=*/false);
  const torch::Tensor log_volume = factor.diagonal(0, 1, 2).log().sum(1);  // [K]
  const auto columns = static_cast<double>(rows.size(1));
  return (weights_.log() - log_volume).unsqueeze(1) - 0.5 * whitened.square().sum(1) -
         0.5 * columns * std::log(2 * std::numbers::pi);
}

bool GaussianMixture::Maximise(const torch::Tensor& rows, const torch::Tensor& responsibilities) {
  const int64_t components = responsibilities.size(0);
  const torch::Tensor ridge = RidgeOf(rows, kRidge);
  torch::Tensor counts = responsibilities.sum(1);  // [K]
  weights_ = counts / counts.sum();
  const torch::Tensor lost = weights_ < kLeastComponent / static_cast<double>(components);
  counts = torch::where(lost, torch::ones_like(counts), counts);
  means_ = responsibilities.mm(rows) / counts.unsqueeze(1);
  const torch::Tensor centred = rows.unsqueeze(0) - means_.unsqueeze(1);  // [K, N, D]
  covariances_ =
      torch::matmul((centred * responsibilities.unsqueeze(2)).transpose(1, 2), centred) / counts.view({-1, 1, 1}) +
      ridge;
  const bool any_lost = lost.any().item<bool>();
  if (any_lost) {
    const torch::Tensor mean = rows.mean(0);
    const torch::Tensor from_mean = rows - mean;
    const torch::Tensor whole = from_mean.t().mm(from_mean) / static_cast<double>(rows.size(0)) + ridge;
    means_ = torch::where(lost.unsqueeze(1), mean.unsqueeze(0), means_);
    covariances_ = torch::where(lost.view({-1, 1, 1}), whole.unsqueeze(0), covariances_);
    weights_ = torch::where(lost, torch::full_like(weights_, 1.0 / static_cast<double>(components)), weights_);
    weights_ /= weights_.sum();
  }
  return any_lost;
}

GaussianMixture::FitReport GaussianMixture::Fit(const torch::Tensor& rows, int64_t components,
                                                torch::Generator& generator, int64_t max_iterations, double tolerance) {
  if (!rows.defined() || rows.dim() != 2 || rows.scalar_type() != torch::kFloat64) {
    throw std::invalid_argument("a mixture is fitted to rows [N, D] of doubles");
  }
  if (components < 1 || rows.size(0) < components) {
    throw std::invalid_argument(Text("a mixture of ", components, " components of ", rows.size(0), " rows"));
  }
  if (!torch::isfinite(rows).all().item<bool>()) {
    throw std::runtime_error("a row that a mixture is fitted to is not finite");
  }
  rows_ = rows.size(0);
  if (this->components() != components || means_.size(1) != rows.size(1)) {
    const torch::Tensor dealt =
        torch::randperm(rows_, generator, torch::kInt64).remainder_(components);  // every component gets rows
    Maximise(rows, torch::one_hot(dealt, components).t().to(torch::kFloat64));
  }
  bool began_anew = false;  // a component, which costs likelihood at first
  FitReport report{.log_likelihood = -std::numeric_limits<double>::infinity()};
  while (report.iterations < max_iterations) {
    const torch::Tensor log_joint = LogJoint(rows);
    const torch::Tensor log_likelihood = log_joint.logsumexp(0);  // [N]
    const auto mean = log_likelihood.mean().item<double>();
    const bool ends = !began_anew && mean - report.log_likelihood < tolerance;
    began_anew = Maximise(rows, (log_joint - log_likelihood).exp());
    ++report.iterations;
    report.log_likelihood = mean;
    if (ends) {
      break;
    }
  }
  return report;
}

GaussianPrior GaussianMixture::PriorOf(const torch::Tensor& rows, double strength) const {
  const torch::Tensor log_joint = LogJoint(rows);
  const torch::Tensor omega = (log_joint - log_joint.logsumexp(0)).exp().mean(1);  // [K]
  const torch::Tensor mean = omega.unsqueeze(0).mm(means_).squeeze(0);
  const torch::Tensor apart = means_ - mean;
  const torch::Tensor scatter =
      (omega.view({-1, 1, 1}) * (covariances_ + apart.unsqueeze(2) * apart.unsqueeze(1))).sum(0);
  const auto all = static_cast<double>(rows_);
  return {.mean = mean,
          .scatter = strength * scatter,
          .mean_rows = strength,
          .rows = strength * std::max(0.0, (all - 2 - static_cast<double>(means_.size(1))) / all)};
}

void GaussianMixture::VisitState(StateVisitor& state) {
  bool there = fitted();
  state("there", there);
  if (there) {
    for (const auto& [name, tensor] :
         {std::pair("weights", &weights_), {"means", &means_}, {"covariances", &covariances_}}) {
      if (!tensor->defined()) {
        *tensor = torch::empty({0}, torch::kFloat64);
      }
      state.Resizable(name, *tensor);
    }
  } else {
    weights_ = means_ = covariances_ = torch::Tensor();
  }
  state("rows", rows_);
}

}  // namespace reverie
