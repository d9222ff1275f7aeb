// What the planners share.
#ifndef REVERIE_PLANNING_SEQUENCES_H_
#define REVERIE_PLANNING_SEQUENCES_H_

#include <cstdint>
#include <string>

#include "reverie/core/tensor.h"

namespace reverie {

enum class PlanEnd { kZero, kRepeat };

// sequences [..., H, A] without their first `steps` actions, as many added at the end.
torch::Tensor Shifted(const torch::Tensor& sequences, int64_t steps, PlanEnd end);

// [count, H, A] uniform in [-1, 1], on the plan's device; plan [H, A].
torch::Tensor UniformSequences(int64_t count, const torch::Tensor& plan, torch::Generator& generator);

// scores [P], -infinity where they are not finite.
torch::Tensor FiniteOrLeast(const torch::Tensor& scores);

// The best candidates and their statistics, without those that are -infinity.
struct Elites {
  torch::Tensor sequences;  // [K, H, A], best first
  torch::Tensor finite;     // [K, 1, 1] bool
  torch::Tensor mean, var;  // [H, A], population variance; those given where no candidate is finite
};
Elites BestOf(const torch::Tensor& candidates, const torch::Tensor& scores, int64_t count, const torch::Tensor& mean,
              const torch::Tensor& var);

// The same in TorchScript, for the exported searches: def _best_of(self, candidates, scores, count: int, mean, var) ->
// (mean, var), where scores need not be finite.
extern const char* const kBestOfSource;

// The first line of a search in TorchScript (planning/export.h).
inline const std::string kSearchHead =
    "def _search(self, obs: Tensor, plan: Tensor, generator: Generator) -> Tensor:\n";

// A line "  name = value" of a function in TorchScript; a float never reads as an integer.
std::string Assignment(const std::string& name, int64_t value);
std::string Assignment(const std::string& name, double value);

}  // namespace reverie

#endif  // REVERIE_PLANNING_SEQUENCES_H_
