#include "reverie/planning/cem.h"

#include <cmath>
#include <numbers>

#include "sequences.h"

namespace reverie {
namespace {

constexpr double kInitialVar = 0.25;  // (high - low)^2 / 16

// Standard normal numbers within two deviations, by the inverse of the distribution function.
torch::Tensor TruncatedNormal(at::IntArrayRef sizes, const torch::TensorOptions& options, torch::Generator& generator) {
  const double limit = std::erf(2 / std::numbers::sqrt2);
  return torch::empty(sizes, options).uniform_(-limit, limit, generator).erfinv_().mul_(std::numbers::sqrt2);
}

}  // namespace

void Cem::Options::Visit(Fields& fields) {
  fields("population", population, "candidates in an iteration (P)", AtLeast(1));
  fields("elites", elites, "best candidates that the next are drawn around (K)", AtLeast(1));
  fields.Check([this] { return elites <= population; }, "at most population");
  fields("iterations", iterations, "iterations for a decision", AtLeast(1));
  fields("alpha", alpha, "share of the old mean and variance in the new ones",
         Range{.low = 0, .high = 1, .high_open = true});
}

Cem::Cem(const Options& options, const SequenceShape& shape, const torch::Device& device)
    : options_(options), mean_(torch::zeros({shape.horizon, shape.act_dim}, torch::device(device))) {}

torch::Tensor Cem::Optimize(const SequenceObjective& objective, torch::Generator& generator) {
  const torch::NoGradGuard no_grad;
  torch::Tensor mean = mean_;
  torch::Tensor var = torch::full_like(mean, kInitialVar);
  for (int64_t i = 0; i < options_.iterations; ++i) {
    const torch::Tensor to_bound = 1 - mean.abs();
    const torch::Tensor std = torch::min(var, (to_bound / 2).square()).sqrt();
    const torch::Tensor noise =
        TruncatedNormal({options_.population, mean.size(0), mean.size(1)}, mean.options(), generator);
    const torch::Tensor candidates = torch::addcmul(mean, std, noise);
    const Elites elites = BestOf(candidates, FiniteOrLeast(objective(candidates)), options_.elites, mean, var);
    mean = torch::lerp(elites.mean, mean, options_.alpha);
    var = torch::lerp(elites.var, var, options_.alpha);
  }
  mean_.copy_(mean);
  return mean_.clone();
}

void Cem::Shift(int64_t steps) { mean_.copy_(Shifted(mean_, steps, PlanEnd::kZero)); }

}  // namespace reverie
