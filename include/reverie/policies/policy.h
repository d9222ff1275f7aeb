// The policy contract.
#ifndef REVERIE_POLICIES_POLICY_H_
#define REVERIE_POLICIES_POLICY_H_

#include <span>

#include "reverie/core/tensor.h"
#include "reverie/env/env.h"

namespace reverie {

enum class ActMode {
  kMean,    // the mode of the action distribution: evaluation, deployment
  kSample,  // a draw from it: data collection
};

// Maps observations to actions in [-1, 1]; the environment's bounds are applied at its boundary, not here.
class Policy {
 public:
  virtual ~Policy() = default;
  Policy() = default;
  Policy(const Policy&) = delete;
  Policy& operator=(const Policy&) = delete;

  // obs [B, obs_dim] float32 on device(). Returns [B, act_dim] float32 on the same device, without gradients.
  // Draws, where there are any, come from `generator` (of that device).
  virtual torch::Tensor Act(const torch::Tensor& obs, ActMode mode, torch::Generator& generator) = 0;

  // Says before an Act in which environments its rows act: one that plans keeps its plans by them, and may look at
  // their state. Whoever steps environments calls it; rows without one have no past.
  virtual void Watch(std::span<const Env* const> /*envs*/) {}

  // Every episode begins anew: what a policy remembers of the past (a plan) is forgotten.
  virtual void Reset() {}

  virtual torch::Device device() const = 0;
};

}  // namespace reverie

#endif  // REVERIE_POLICIES_POLICY_H_
