// Steps the real environment with a policy and stores what happens.
#ifndef REVERIE_ROLLOUT_COLLECTOR_H_
#define REVERIE_ROLLOUT_COLLECTOR_H_

#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "reverie/core/state.h"
#include "reverie/data/replay_buffer.h"
#include "reverie/data/snapshot_buffer.h"
#include "reverie/env/env.h"
#include "reverie/policies/policy.h"

namespace reverie {

struct EpisodeStats {
  double episode_return = 0;
  int64_t length = 0;
};

// One environment, reset only when an episode ends. Stored next_obs is always the true last observation, never that of
// the reset; stored actions are the policy's, in [-1, 1].
class Collector {
 public:
  Collector(std::unique_ptr<Env> env, const Rng& rng, const torch::Device& device);

  // For a policy that has one (Policy::NewMemory, of one row). Others may act in between, and leave it alone.
  void Remember(std::unique_ptr<PolicyMemory> memory) { memory_ = std::move(memory); }

  // Begins an episode in that state (Env::SetState), whatever became of the one before.
  void BeginFrom(std::span<const double> state);

  // One env step with a sampled action; adds it to `buffer`, where there is one, and the state that it began in to
  // `snapshots`, likewise. Returns the episode that it ended, if it did. Throws what Env::Step throws.
  std::optional<EpisodeStats> Step(const Policy& policy, ReplayBuffer* buffer, SnapshotBuffer* snapshots = nullptr);

  // The same with that action [1, act_dim] in [-1, 1], float32 on the host.
  std::optional<EpisodeStats> StepWith(const torch::Tensor& action, ReplayBuffer* buffer,
                                       SnapshotBuffer* snapshots = nullptr);

  // Begins an episode as resets do, unless one is under way: env() is then in the state of the next step.
  void BeginIfNone();
  // What is observed there, [1, obs_dim] float32 on the host; overwritten by the next step.
  const torch::Tensor& Observed();

  // Those of the memory; none without one.
  Metrics DrainMetrics() { return memory_ ? memory_->DrainMetrics() : Metrics(); }

  int64_t env_steps() const { return env_steps_; }
  const EnvSpec& spec() const { return env_->spec(); }
  const Env& env() const { return *env_; }
  // The last step, of one row on the host.
  const TransitionBatch& last() const { return row_; }
  bool in_episode() const { return in_episode_; }
  TransitionLayout layout() const { return {spec().obs_dim(), spec().act_dim()}; }

  // Includes the environment's own state in mid-episode, and the memory.
  void VisitState(StateVisitor& state);

 private:
  void Begin();

  std::unique_ptr<Env> env_;
  RandomEngine reset_engine_;
  torch::Generator action_generator_;
  torch::Device device_;
  std::vector<double> obs_, next_obs_, env_action_;
  torch::Tensor obs_row_;                 // [1, obs_dim] on the host
  TransitionBatch row_;                   // one row on the host
  std::unique_ptr<PolicyMemory> memory_;  // null where no policy has one
  EpisodeStats episode_;
  int64_t env_steps_ = 0;
  bool in_episode_ = false;
};

}  // namespace reverie

#endif  // REVERIE_ROLLOUT_COLLECTOR_H_
