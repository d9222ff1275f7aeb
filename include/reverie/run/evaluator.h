// What a policy earns in the real environment.
#ifndef REVERIE_RUN_EVALUATOR_H_
#define REVERIE_RUN_EVALUATOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "reverie/core/rng.h"
#include "reverie/env/env.h"
#include "reverie/env/registry.h"
#include "reverie/policies/policy.h"

namespace reverie {

// In the order in which the episodes were begun.
struct EvalResult {
  std::vector<double> returns;  // one per episode: the sum of its rewards, undiscounted
  std::vector<int64_t> lengths;

  int64_t episodes() const { return static_cast<int64_t>(returns.size()); }
  double return_mean() const;
  double return_std() const;  // population
  double return_min() const;
  double return_max() const;
  double length_mean() const;
};

// Where an environment has no time limit of its own, an episode of an evaluation ends after that many steps.
inline constexpr int64_t kEvalTimeLimit = 1000;

// Environments kept for one evaluation after another.
class Evaluator {
 public:
  // Episodes stepped side by side, at most; more are played one such batch after another.
  static constexpr int64_t kMaxBatch = 128;

  // Makes its own copies of the environment. Throws std::logic_error where `episodes` or `time_limit` is below 1; what
  // making the environment throws. `time_limit` is for an environment that has none.
  Evaluator(const EnvMaker& maker, int64_t episodes, int64_t time_limit = kEvalTimeLimit);

  // Whole episodes with the mean action, ended by terminated or truncated; the start of each is drawn from
  // rng.Split(episode), so equal rng give equal starts; where the environment has start states of its own
  // (Env::SetStartStates), the episodes begin in one after the other of them. The policy is called once a step, for all
  // episodes that still run (one that ended leaves the batch), with a memory of this evaluation's own.
  //
  // Throws std::logic_error where the actions have the wrong shape, std::runtime_error where one is not finite; what
  // Env::Step throws.
  EvalResult Run(const Policy& policy, const Rng& rng);
  // The same; nothing where `stop`, asked before every step, says yes.
  std::optional<EvalResult> Run(const Policy& policy, const Rng& rng, const std::function<bool()>& stop);

  // The same, every episode from that state (Env::SetState).
  EvalResult RunFrom(std::span<const double> state, const Policy& policy, const Rng& rng);

 private:
  // From `state`, or where that is empty from resets.
  std::optional<EvalResult> Play(std::span<const double> state, const Policy& policy, const Rng& rng,
                                 const std::function<bool()>& stop);

  std::vector<std::unique_ptr<Env>> envs_;
  int64_t episodes_;
  int64_t time_limit_;  // of the environment, or the one given
};

// One evaluation with environments of its own.
EvalResult Evaluate(const Policy& policy, const EnvMaker& maker, const Rng& rng, int64_t episodes,
                    int64_t time_limit = kEvalTimeLimit);

}  // namespace reverie

#endif  // REVERIE_RUN_EVALUATOR_H_
