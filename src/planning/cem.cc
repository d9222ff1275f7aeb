#include "reverie/planning/cem.h"

#include <cmath>
#include <numbers>

#include "sequences.h"

namespace reverie {
namespace {

constexpr double kInitialVar = 0.25;  // (high - low)^2 / 16
const double kLimit = std::erf(2 / std::numbers::sqrt2);

// Standard normal numbers within two deviations, by the inverse of the distribution function.
torch::Tensor TruncatedNormal(at::IntArrayRef sizes, const torch::TensorOptions& options, torch::Generator& generator) {
  return torch::empty(sizes, options).uniform_(-kLimit, kLimit, generator).erfinv_().mul_(std::numbers::sqrt2);
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

std::string Cem::TorchScript(const Options& options) {
  return kBestOfSource + kSearchHead + Assignment("population", options.population) +
         Assignment("elites", options.elites) + Assignment("iterations", options.iterations) +
         Assignment("alpha", options.alpha) + Assignment("initial_var", kInitialVar) + Assignment("limit", kLimit) +
         Assignment("sqrt2", std::numbers::sqrt2) + R"(
  mean = plan
  var = torch.full_like(plan, initial_var)
  for i in range(iterations):
    std = torch.sqrt(torch.minimum(var, torch.square((1.0 - torch.abs(mean)) / 2.0)))
    uniform = plan.new_empty([population, plan.size(0), plan.size(1)], device="cpu")
    uniform = uniform.uniform_(-limit, limit, generator=generator).to(plan.device)
    candidates = torch.addcmul(mean, std, torch.erfinv(uniform) * sqrt2)
    best_mean, best_var = self._best_of(candidates, self._score(obs, candidates, generator), elites, mean, var)
    mean = torch.lerp(best_mean, mean, alpha)
    var = torch.lerp(best_var, var, alpha)
  return mean
)";
}

torch::Tensor Cem::Optimize(const SequenceProblem& problem, torch::Generator& generator) {
  const torch::NoGradGuard no_grad;
  torch::Tensor mean = mean_;
  torch::Tensor var = torch::full_like(mean, kInitialVar);
  for (int64_t i = 0; i < options_.iterations; ++i) {
    const torch::Tensor to_bound = 1 - mean.abs();
    const torch::Tensor std = torch::min(var, (to_bound / 2).square()).sqrt();
    const torch::Tensor noise =
        TruncatedNormal({options_.population, mean.size(0), mean.size(1)}, mean.options(), generator);
    const torch::Tensor candidates = torch::addcmul(mean, std, noise);
    const Elites elites = BestOf(candidates, FiniteOrLeast(problem.objective(candidates)), options_.elites, mean, var);
    mean = torch::lerp(elites.mean, mean, options_.alpha);
    var = torch::lerp(elites.var, var, options_.alpha);
  }
  mean_.copy_(mean);
  return mean_.clone();
}

void Cem::Shift(int64_t steps) { mean_.copy_(Shifted(mean_, steps, PlanEnd::kZero)); }

}  // namespace reverie
