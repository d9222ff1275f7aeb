#include "sequences.h"

#include <algorithm>
#include <limits>

namespace reverie {

torch::Tensor Shifted(const torch::Tensor& sequences, int64_t steps, PlanEnd end) {
  const int64_t horizon = sequences.size(-2);
  steps = std::min(steps, horizon);
  if (steps == 0) {
    return sequences;
  }
  const torch::Tensor last = sequences.narrow(-2, horizon - 1, 1);
  std::vector<int64_t> sizes = last.sizes().vec();
  sizes[sizes.size() - 2] = steps;
  const torch::Tensor added = end == PlanEnd::kRepeat ? last.expand(sizes) : torch::zeros(sizes, sequences.options());
  return torch::cat({sequences.narrow(-2, steps, horizon - steps), added}, -2);
}

torch::Tensor UniformSequences(int64_t count, const torch::Tensor& plan, torch::Generator& generator) {
  return torch::empty({count, plan.size(0), plan.size(1)}, plan.options()).uniform_(-1, 1, generator);
}

torch::Tensor FiniteOrLeast(const torch::Tensor& scores) {
  return torch::where(torch::isfinite(scores), scores, -std::numeric_limits<float>::infinity());
}

Elites BestOf(const torch::Tensor& candidates, const torch::Tensor& scores, int64_t count, const torch::Tensor& mean,
              const torch::Tensor& var) {
  const auto [best, places] = scores.topk(count);
  Elites elites{.sequences = candidates.index_select(0, places), .finite = torch::isfinite(best).view({-1, 1, 1})};
  const torch::Tensor weight = elites.finite.to(candidates.scalar_type());
  const torch::Tensor total = weight.sum();
  const torch::Tensor share = weight / total.clamp_min(1);
  const torch::Tensor elite_mean = (share * elites.sequences).sum(0);
  const torch::Tensor elite_var = (share * (elites.sequences - elite_mean).square()).sum(0);
  elites.mean = torch::where(total > 0, elite_mean, mean);
  elites.var = torch::where(total > 0, elite_var, var);
  return elites;
}

}  // namespace reverie
