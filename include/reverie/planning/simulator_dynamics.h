// The true simulator as the dynamics of a control problem: steps and derivatives of whole environment steps.
//
//   A = d(x' - x'_0) / d(x - x_0),  B = d(x' - x'_0) / du       by centred differences of 1e-6
//
// Of a MuJoCo task a state is qpos, qvel, act and the solver's warm start, from which the task itself would go on bit
// for bit; differences are of positions in the tangent space (nv), velocities and activations, n = 2 nv + na.
// Quaternions are handled so; the warm start has no derivative. Of other tasks a state is what Env::SetState takes, n =
// nx. Controls are actions in [-1, 1]. At a bound, beyond which a task or MuJoCo may clip, the difference is one-sided.
//
// What a task draws into its model for each episode is that of the environment last given to Follow.
// All tensors are float64, contiguous, on the CPU; others throw std::invalid_argument.
//
// Threads share out rows and steps;results do not depend on how many there are. Through contacts a derivative is that
// of the contacts at hand, and may be large.
#ifndef REVERIE_PLANNING_SIMULATOR_DYNAMICS_H_
#define REVERIE_PLANNING_SIMULATOR_DYNAMICS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "reverie/control/linear_quadratic.h"
#include "reverie/core/tensor.h"
#include "reverie/core/worker_threads.h"
#include "reverie/env/env.h"
#include "reverie/env/registry.h"

namespace reverie {

class SimulatorDynamics {
 public:
  // One copy of the environment for each thread. Throws std::invalid_argument where steps are random, and where a
  // MuJoCo model has delays or plugins, which have a state of their own.
  SimulatorDynamics(const EnvMaker& maker, int64_t threads);
  ~SimulatorDynamics();

  int64_t state_size() const;    // nx
  int64_t tangent_size() const;  // n
  int64_t controls() const;      // m
  int64_t obs_dim() const;
  // Whether some differences between states are not those of their numbers.
  bool has_quaternions() const;
  // Of what differences between states are made of:"slider", "d slider/dt", or as Env names its state. [n]
  const std::vector<std::string>& tangent_names() const { return tangent_names_; }

  // The state of an environment of the same id and options, [nx] float64. Throws std::runtime_error where its size is
  // another's.
  torch::Tensor StateOf(const Env& env) const;
  // The same; what was drawn for the episode of that environment is taken over. Costs a copy of its state for each
  // thread.
  torch::Tensor Follow(const Env& env);

  // R states one step on: x [R, nx], u [R, m] into next [R, nx], all float64. What becomes unstable is not a number.
  void Step(const torch::Tensor& x, const torch::Tensor& u, torch::Tensor& next);

  // A and B along x [T + 1, nx], u [T, m], of which the last state is not read, into `dynamics`, which has the sizes. A
  // step that becomes unstable has derivatives that are not numbers. Cost: 2 (n + m) environment steps for each of T,
  // or less than half of that where MuJoCo integrates by Euler's or an implicit method (HalfCheetah and Pusher among
  // Gymnasium's): there its own differences of simulation steps are chained.
  void Linearise(const torch::Tensor& x, const torch::Tensor& u, LinearDynamics* dynamics);

  // What an episode that begins in each of the states x [R, nx] first observes, into obs [R, obs_dim].
  void Observe(const torch::Tensor& x, torch::Tensor& obs);
  // d obs / d(x - x_0) there, by centred differences, into jacobian [R, obs_dim, n]: of 1e-6, or of 2e-3 in
  // states where all that is observed is float32, to which some tasks round, as Pendulum-v1 does. Of a state that is
  // not finite both are not numbers.
  void LineariseObs(const torch::Tensor& x, torch::Tensor& jacobian);

  // x - y of states [R, nx] into [R, n].
  void Difference(const torch::Tensor& x, const torch::Tensor& y, torch::Tensor& difference) const;

 private:
  class Simulator;
  class MujocoSimulator;
  class EnvSimulator;

  std::vector<std::unique_ptr<Simulator>> simulators_;  // one for each thread
  std::vector<std::string> tangent_names_;
  WorkerThreads threads_;
};

}  // namespace reverie

#endif  // REVERIE_PLANNING_SIMULATOR_DYNAMICS_H_
