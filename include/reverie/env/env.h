// The environment contract.
#ifndef REVERIE_ENV_ENV_H_
#define REVERIE_ENV_ENV_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "reverie/core/rng.h"

namespace reverie {

class MujocoSimulation;

// Facts about an environment that do not change while it lives.
struct EnvSpec {
  std::string id;                               // "HalfCheetah-v5"
  std::vector<double> obs_low, obs_high;        // [obs_dim], may be infinite
  std::vector<double> action_low, action_high;  // [act_dim], finite, low below high
  double dt = 0;                                // seconds per step
  int64_t time_limit = 0;                       // steps per episode; 0: none
  std::vector<std::string> state_names;         // what SetState takes, in order
  bool random_steps = false;                    // a step is not a function of state and action: see Reseed

  int64_t obs_dim() const { return static_cast<int64_t>(obs_low.size()); }
  int64_t act_dim() const { return static_cast<int64_t>(action_low.size()); }
};

// Throws std::invalid_argument naming what nothing can be learned with: no observation or action, bounds of different
// lengths, an action's that are not finite or not in order, a negative time limit.
void CheckSpec(const EnvSpec& spec);

struct StepResult {
  double reward = 0;
  bool terminated = false;  // the task ended: no value beyond
  bool truncated = false;   // the episode was cut off, by a time limit or by the env itself; says nothing of the task
};

// One simulated task, stepped in float64 on the host. Not thread-safe; copies on several threads do not interfere.
//
// Reset before the first Step. Stepping goes on past `terminated` and `truncated` if asked to, as Gymnasium's does.
// Every function throws std::logic_error where an action or observation has not the size that the spec says.
class Env {
 public:
  virtual ~Env() = default;
  Env() = default;
  Env(const Env&) = delete;
  Env& operator=(const Env&) = delete;

  virtual const EnvSpec& spec() const = 0;

  // The MuJoCo simulation behind it, to look at; null where there is none.
  virtual const MujocoSimulation* mujoco() const { return nullptr; }

  // Draws a start state, of those set where there are any, and writes its observation: obs [obs_dim].
  void Reset(RandomEngine& rng, std::span<double> obs);

  // The same for the episode of that number in a series: of states set, where there are any, it takes one after the
  // other.
  void ResetInTurn(size_t episode, RandomEngine& rng, std::span<double> obs);

  // Advances one step. action [act_dim] in the env's own bounds, not clipped; writes obs [obs_dim].
  // Throws std::runtime_error where the simulation became unstable or an observation or reward is not finite.
  StepResult Step(std::span<const double> action, std::span<double> obs);

  // Puts the env at the beginning of an episode in that state: state [state_names.size()]. Writes its observation.
  void SetState(std::span<const double> state, std::span<double> obs);

  // What SetState takes, of the present state. Throws std::logic_error where the environment does not tell.
  std::vector<double> GetState() const;

  // Everything that the future depends on, time limit and lagging quantities included; Restore continues bit for bit.
  // A snapshot fits only an env of the same id and options; throws std::runtime_error where its size differs.
  std::vector<double> Snapshot() const;
  void Restore(std::span<const double> snapshot);

  // Begins the noise of all steps to come anew, where steps are random; else it does nothing. A reset does so by
  // itself, SetState and Restore do not; before a first reset the seed is 0. A copy that is restored from a snapshot
  // meets the noise that the original will meet: one that is to tell what may come, and not what will, is given a seed
  // of its own.
  void Reseed(uint64_t seed) { DoReseed(seed); }

  // The states that episodes begin in, each as SetState takes it and as likely as another, instead of those that the
  // environment draws. Throws std::invalid_argument where one has not the size. Empty: its own.
  using States = std::vector<std::vector<double>>;
  void SetStartStates(States states);
  const States& start_states() const { return start_states_; }

  // Steps since the episode began.
  int64_t elapsed_steps() const { return elapsed_steps_; }

  // Steps of an episode after which Step says `truncated`: the spec's, unless set otherwise; 0: none.
  int64_t time_limit() const { return time_limit_.value_or(spec().time_limit); }
  void SetTimeLimit(int64_t steps) { time_limit_ = steps; }

 private:
  virtual void DoReset(RandomEngine& rng, std::span<double> obs) = 0;
  // Step adds the time limit's own `truncated`.
  virtual StepResult DoStep(std::span<const double> action, std::span<double> obs) = 0;
  virtual void DoSetState(std::span<const double> state, std::span<double> obs) = 0;
  virtual std::vector<double> DoState() const;
  virtual std::vector<double> DoSnapshot() const = 0;
  virtual void DoRestore(std::span<const double> snapshot) = 0;
  virtual void DoReseed(uint64_t) {}

  void CheckObsSize(size_t size) const;
  void CheckStateSize(size_t size) const;

  int64_t elapsed_steps_ = 0;
  std::optional<int64_t> time_limit_;
  States start_states_;
};

}  // namespace reverie

#endif  // REVERIE_ENV_ENV_H_
