// Start states near those that the policy visits: detached imagined trajectories, of which only the states are kept.
//
//   s_0 ~ D_env;   for t < k: a_t ~ pi(s_t), s_{t+1} ~ p_theta(s_t, a_t)     every s_t of a row still alive is kept
//
// What DHMBPO calls the distribution rollout (Kubo et al., TMLR 2025).
#ifndef REVERIE_ROLLOUT_STATE_ROLLOUT_H_
#define REVERIE_ROLLOUT_STATE_ROLLOUT_H_

#include <algorithm>

#include "reverie/config/fields.h"
#include "reverie/core/metrics.h"
#include "reverie/core/state.h"
#include "reverie/data/replay_buffer.h"
#include "reverie/models/model_env.h"
#include "reverie/policies/policy.h"

namespace reverie {

struct StateRolloutConfig {
  int64_t start_states = 256;
  int64_t length = 20;
  int64_t every_updates = 20;
  int64_t retain = 10;

  void Visit(Fields& fields);

  // States that a call rolls for `every_updates` updates, `start_states` for each.
  int64_t StatesOfOne() const { return start_states * every_updates; }
  int64_t Capacity() const { return StatesOfOne() * retain; }
  // Those that updates of the critics alone ask for, fewer by the length of a rollout.
  int64_t StatesFor(int64_t critic_updates) const {
    return std::clamp(start_states * critic_updates / length, start_states, Capacity());
  }
};

class StateRollout {
 public:
  StateRollout(const StateRolloutConfig& config, int64_t obs_dim, const Rng& rng, const torch::Device& device);

  // Rolls from real states, `start_states` at once, until at least `wanted` states were kept. The oldest give way to
  // the newest.
  void Run(int64_t wanted, const ReplayBuffer& real_buffer, const ModelEnv& model_env, const Policy& policy);

  // Draws states [n, obs_dim] uniformly with replacement into `obs`. On a GPU their number is read there. Throws
  // std::logic_error where there is none.
  void SampleInto(torch::Tensor& obs, torch::Generator& generator) const;

  int64_t size() const { return size_; }
  int64_t capacity() const { return states_.size(0); }

  // Since the last call: states kept, and the share of imagined steps that a row did not live to see.
  Metrics DrainMetrics();

  void VisitState(StateVisitor& state);

 private:
  void Add(const torch::Tensor& obs);

  StateRolloutConfig config_;
  torch::Generator generator_;
  torch::Tensor states_;          // [capacity, obs_dim], a ring
  torch::Tensor size_on_device_;  // [] float64
  int64_t size_ = 0, next_ = 0;
  int64_t kept_ = 0, imagined_ = 0, dead_ = 0;  // since the last metrics
};

}  // namespace reverie

#endif  // REVERIE_ROLLOUT_STATE_ROLLOUT_H_
