// Branched rollouts (rollout/branched_rollout.h) in the true simulator: imagination by a model without an error, to
// judge learned ones by.
//
//   start states s_1 ... s_N uniformly (with replacement) from the real buffer; k times: a ~ pi(s), s', r and the
//   task's end by the environment's own step; store; live rows go on from s'
//
// Every row goes on from a snapshot of the environment, as an observation does not tell all of a state; where steps are
// random, each rollout has noise of its own. Time limits end nothing, as in a model. A row at which the simulation
// becomes unstable is dropped, counted, and never stored. Cost: k N passes of the policy, and as many steps, snapshots
// and restores of an environment, which the threads share.
#ifndef REVERIE_ROLLOUT_SIMULATOR_ROLLOUT_H_
#define REVERIE_ROLLOUT_SIMULATOR_ROLLOUT_H_

#include <memory>
#include <vector>

#include "reverie/core/metrics.h"
#include "reverie/core/worker_threads.h"
#include "reverie/data/replay_buffer.h"
#include "reverie/data/snapshot_buffer.h"
#include "reverie/env/env.h"
#include "reverie/env/registry.h"
#include "reverie/policies/policy.h"
#include "reverie/rollout/branched_rollout.h"

namespace reverie {

class SimulatorRollout {
 public:
  // One copy of the environment for each thread. So many rollouts are run in an epoch of the length schedule.
  SimulatorRollout(const RolloutConfig& config, int64_t rollouts_per_epoch, const EnvMaker& maker, int64_t threads,
                   const Rng& rng, const torch::Device& device);

  // Gives `model_buffer` the epoch's capacity, rolls the epoch's length from every start state and adds the rows. The
  // snapshots are those of `real_buffer`'s rows, place by place, of an environment of the same id and options. What
  // comes of it is the same for any number of threads. Returns rows added, shares ended and dropped. Throws
  // std::runtime_error where every step failed.
  Metrics Run(int64_t epoch, const ReplayBuffer& real_buffer, const SnapshotBuffer& snapshots, const Policy& policy,
              ReplayBuffer* model_buffer);

  void VisitState(StateVisitor& state) { state("generator", generator_); }

 private:
  enum class Outcome : uint8_t { kLive, kEnded, kFailed };
  struct Counts {
    int64_t imagined = 0, stored = 0, ended = 0;
  };

  // One chunk of start states, all steps. Rows and states [B, numbers of a snapshot] are on the host.
  void RunChunk(int64_t length, TransitionBatch batch, torch::Tensor states, const Policy& policy,
                ReplayBuffer* model_buffer, Counts* counts);
  // Gives each of the states noise that its real steps did not have.
  void GiveNoise(torch::Tensor& states);
  // Completes rows whose obs and action are given, and moves their states on. A row that failed is left undefined.
  std::vector<Outcome> Step(TransitionBatch& batch, torch::Tensor& states);
  static Outcome StepRow(Env& env, std::span<double> state, float* row);

  RolloutConfig config_;
  int64_t rollouts_per_epoch_;
  torch::Device device_;
  torch::Generator generator_;
  std::vector<std::unique_ptr<Env>> envs_;  // one for each thread
  WorkerThreads threads_;
};

}  // namespace reverie

#endif  // REVERIE_ROLLOUT_SIMULATOR_ROLLOUT_H_
