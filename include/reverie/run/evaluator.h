// What a policy earns in the real environment.
#ifndef REVERIE_RUN_EVALUATOR_H_
#define REVERIE_RUN_EVALUATOR_H_

#include <cstdint>
#include <vector>

#include "reverie/core/rng.h"
#include "reverie/env/registry.h"
#include "reverie/policies/policy.h"

namespace reverie {

struct EvalResult {
  std::vector<double> returns;  // one per episode
  std::vector<int64_t> lengths;

  int64_t episodes() const { return static_cast<int64_t>(returns.size()); }
  double return_mean() const;
  double return_std() const;  // population
  double return_min() const;
  double return_max() const;
  double length_mean() const;
};

// Whole episodes with the mean action, each in an environment of its own whose start is drawn from rng.Split(episode).
// All are stepped side by side, so the policy is called once a step; one that ended leaves the batch.
// Throws std::invalid_argument where the environment has no time limit and so may never end; what Env::Step throws.
EvalResult Evaluate(Policy& policy, const EnvMaker& maker, const Rng& rng, int64_t episodes);

}  // namespace reverie

#endif  // REVERIE_RUN_EVALUATOR_H_
