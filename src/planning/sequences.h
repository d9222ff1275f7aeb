// What the planners share.
#ifndef REVERIE_PLANNING_SEQUENCES_H_
#define REVERIE_PLANNING_SEQUENCES_H_

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

}  // namespace reverie

#endif  // REVERIE_PLANNING_SEQUENCES_H_
