// The return of action sequences in the true simulator: a model without an error, to judge a planner by.
//
//   J(a_1 ... a_H) = sum_t r_t      from the state an environment is in; after the task's end nothing more is earned
//
// Where steps are random, J is the mean over 20 draws of their noise, drawn once for the sequences that are scored
// together: how far they lie apart then tells of the sequences.
//
// A sequence at which the simulation becomes unstable gets -infinity. Time limits end nothing.
#ifndef REVERIE_PLANNING_SIMULATOR_RETURN_H_
#define REVERIE_PLANNING_SIMULATOR_RETURN_H_

#include <memory>
#include <span>
#include <vector>

#include "reverie/core/tensor.h"
#include "reverie/core/worker_threads.h"
#include "reverie/env/env.h"
#include "reverie/env/registry.h"

namespace reverie {

class SimulatorReturn {
 public:
  // One copy of the environment for each thread.
  SimulatorReturn(const EnvMaker& maker, int64_t threads);

  // J [P] float32 of actions [P, H, A] float32 in [-1, 1], both on the CPU, from `snapshot` (Env::Snapshot) of an
  // environment of the same id and options. Without gradients. `generator`, on the CPU, is asked for noise alone.
  // Cost: P H env steps, 20 times as many where they are random, shared by the threads.
  torch::Tensor Score(std::span<const double> snapshot, const torch::Tensor& actions, torch::Generator& generator);

 private:
  std::vector<std::unique_ptr<Env>> envs_;
  WorkerThreads threads_;
};

}  // namespace reverie

#endif  // REVERIE_PLANNING_SIMULATOR_RETURN_H_
