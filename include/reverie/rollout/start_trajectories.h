// The last trajectories of the real environment, a number of them from each of the states that episodes begin in.
#ifndef REVERIE_ROLLOUT_START_TRAJECTORIES_H_
#define REVERIE_ROLLOUT_START_TRAJECTORIES_H_

#include <cstdint>
#include <optional>
#include <string>

#include "reverie/core/state.h"
#include "reverie/env/registry.h"
#include "reverie/rollout/collector.h"

namespace reverie {

// Why there are none of a task, or "": episodes that may end before a time limit, no time limit, no start states of its
// own (env.start_states, env.start_draws), or two that are equal. For Fields::Check.
std::string StartTrajectoriesMisfit(const EnvMaker& maker);
// Why total_steps are less than so many episodes from each of a task's start states, or "".
std::string StartRolloutsMisfit(const EnvMaker& maker, int64_t rollouts, int64_t total_steps);

// Start by start, each of the time limit's length T. States are those of Env::GetState, controls in [-1, 1].
class StartTrajectories {
 public:
  // N from each of the environment's start states, of which it has at least one, as it has a time limit.
  StartTrajectories(const Env& env, int64_t rollouts);

  // Begins the next episode, unless one is under way, and returns the start that it is from. For Collector::env() to
  // stand in the state that a step begins in.
  size_t BeginIfNone(Collector& collector);
  // After a step of it.
  void Note(const Collector& collector, const std::optional<EpisodeStats>& episode);

  // Whether all N from every start are there; the next episode begins the next ones.
  bool full() const { return rollout_ == states_.size(0); }
  size_t starts() const { return starts_.size(); }

  // Of one start, views: [N, T + 1, n] and [N, T, m] float64, and observations [N, T, obs_dim] float32.
  torch::Tensor states(size_t start) const { return Of(states_, start); }
  torch::Tensor controls(size_t start) const { return Of(controls_, start); }
  torch::Tensor obs(size_t start) const { return Of(obs_, start); }

  // Throws std::runtime_error where a checkpoint is of other starts.
  void VisitState(StateVisitor& state);

 private:
  torch::Tensor Of(const torch::Tensor& all, size_t start) const {
    return all.narrow(0, static_cast<int64_t>(start) * rollouts_, rollouts_);
  }

  Env::States starts_;
  int64_t rollouts_;  // N
  torch::Tensor states_, controls_, obs_;
  int64_t rollout_ = 0;  // the one that is under way, of all
};

}  // namespace reverie

#endif  // REVERIE_ROLLOUT_START_TRAJECTORIES_H_
