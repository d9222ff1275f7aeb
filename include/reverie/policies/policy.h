// The policy contract.
#ifndef REVERIE_POLICIES_POLICY_H_
#define REVERIE_POLICIES_POLICY_H_

#include <cstdint>
#include <memory>
#include <span>

#include "reverie/core/metrics.h"
#include "reverie/core/state.h"
#include "reverie/core/tensor.h"
#include "reverie/env/env.h"

namespace reverie {

enum class ActMode {
  kMean,    // the mode of the action distribution: evaluation, deployment
  kSample,  // a draw from it: data collection
};

// What a policy remembers of the episodes that it acts in, such as a plan, a recurrent state or a clock: a row for each
// environment. It belongs to whoever steps them, so that one policy serves many at once.
class PolicyMemory {
 public:
  virtual ~PolicyMemory() = default;
  PolicyMemory() = default;
  PolicyMemory(const PolicyMemory&) = delete;
  PolicyMemory& operator=(const PolicyMemory&) = delete;

  // These rows begin an episode.
  virtual void Reset(std::span<const int64_t> rows) = 0;
  // What acting counted since the last call, by names for train.csv; what a user should know of it goes into the log.
  virtual Metrics DrainMetrics() { return {}; }
  virtual void VisitState(StateVisitor& state) = 0;
};

struct ActInput {
  torch::Tensor obs;                      // [B, obs_dim] float32, on the policy's device
  std::span<const int64_t> rows = {};     // [B] of the memory; empty without one
  std::span<const Env* const> envs = {};  // [B], which may be looked at; empty where only observations are there
};

// Maps observations to actions in [-1, 1]; the environment's bounds are applied at its boundary, not here.
class Policy {
 public:
  virtual ~Policy() = default;
  Policy() = default;
  Policy(const Policy&) = delete;
  Policy& operator=(const Policy&) = delete;

  // For that many environments, in which no episode has begun. Null where actions follow from observations alone.
  virtual std::unique_ptr<PolicyMemory> NewMemory(int64_t /*rows*/) const { return nullptr; }

  // Returns [B, act_dim] float32 on the same device, without gradients. Draws, where there are any, come from
  // `generator` (of that device). `memory` is one of this policy's; with null every row is the first of an episode.
  virtual torch::Tensor Act(const ActInput& input, PolicyMemory* memory, ActMode mode,
                            torch::Generator& generator) const = 0;

  virtual torch::Device device() const = 0;
};

}  // namespace reverie

#endif  // REVERIE_POLICIES_POLICY_H_
