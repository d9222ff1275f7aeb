// A task of which less is observed than it tells.
//
//   o_t = [z_{t-F+1}; ...; z_t],   z = the numbers of the observation that `columns` names
//
// or with `differences` [z_{t-F+2} - z_{t-F+1}; ...; z_t - z_{t-1}; z_t], which has the velocities as numbers of their
// own unit: as small changes of two large numbers networks hardly see them. Before an episode has F observations its
// first one stands in for those that are missing. States, rewards, ends and the time limit are the task's own.
#ifndef REVERIE_ENV_OBSERVED_ENV_H_
#define REVERIE_ENV_OBSERVED_ENV_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/env/env.h"
#include "reverie/env/task_functions.h"

namespace reverie {

// The `env.observe` section of a config.
struct ObserveConfig {
  std::vector<int64_t> columns;  // of the observation, from 0; empty: all
  int64_t frames = 1;            // F
  bool differences = false;

  void Visit(Fields& fields);
  bool changes_nothing() const { return columns.empty() && frames == 1; }
  // Why a task whose observations have so many numbers cannot be observed so, or "".
  std::string Misfit(int64_t obs_dim) const;
};

class ObservedEnv final : public Env {
 public:
  // Throws std::invalid_argument where the config does not fit.
  ObservedEnv(std::unique_ptr<Env> env, const ObserveConfig& config);

  const EnvSpec& spec() const override { return spec_; }
  const MujocoSimulation* mujoco() const override { return env_->mujoco(); }

 private:
  void DoReset(RandomEngine& rng, std::span<double> obs) override;
  StepResult DoStep(std::span<const double> action, std::span<double> obs) override;
  void DoSetState(std::span<const double> state, std::span<double> obs) override;
  std::vector<double> DoState() const override { return env_->GetState(); }
  std::vector<double> DoSnapshot() const override;
  void DoRestore(std::span<const double> snapshot) override;
  void DoReseed(uint64_t seed) override { env_->Reseed(seed); }

  // The frames of an episode that has whole_ as its first observation.
  void Fill(std::span<double> obs);
  void Show(std::span<double> obs) const;

  std::unique_ptr<Env> env_;
  std::vector<size_t> columns_;
  bool differences_;
  EnvSpec spec_;
  std::vector<double> whole_;   // what the task tells
  std::vector<double> frames_;  // z of the last F, oldest first
};

// What is left of a task's functions where it is observed so: the cost of its states, and with all columns the reward
// and the end, which look at the last frame.
TaskFunctions ObservedFunctions(const TaskFunctions& task, const ObserveConfig& config, int64_t obs_dim);

}  // namespace reverie

#endif  // REVERIE_ENV_OBSERVED_ENV_H_
