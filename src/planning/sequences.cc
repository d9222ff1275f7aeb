#include "sequences.h"

#include <algorithm>
#include <array>
#include <charconv>
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

const char* const kBestOfSource = R"(
def _best_of(self, candidates: Tensor, scores: Tensor, count: int, mean: Tensor, var: Tensor) -> Tuple[Tensor, Tensor]:
  scores = torch.where(torch.isfinite(scores), scores, torch.full_like(scores, float("-inf")))
  best, places = torch.topk(scores, count)
  elites = candidates.index_select(0, places)
  weight = torch.isfinite(best).view([-1, 1, 1]).to(candidates.dtype)
  total = weight.sum()
  share = weight / total.clamp_min(1.0)
  best_mean = (share * elites).sum(0)
  best_var = (share * torch.square(elites - best_mean)).sum(0)
  return (torch.where(total > 0.0, best_mean, mean), torch.where(total > 0.0, best_var, var))
)";

std::string Assignment(const std::string& name, int64_t value) {
  return "  " + name + " = " + std::to_string(value) + "\n";
}

std::string Assignment(const std::string& name, double value) {
  std::array<char, 32> buffer{};
  const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  std::string number(buffer.data(), end);
  if (number.find_first_of(".e") == std::string::npos) {
    number += ".0";
  }
  return "  " + name + " = " + number + "\n";
}

}  // namespace reverie
