// Trajectory-centric reinforcement learning: a time-varying linear-Gaussian controller for each state that episodes
// begin in, improved through dynamics fitted around its own trajectories.
//
//   for each start s:   roll out N episodes from s under p_s(u | x, t);   update p_s (learners/local_model.h)
//
// No model of the whole task is learned, only what a few trajectories tell of their neighbourhood: few samples and no
// network, and nothing that holds elsewhere. Source: Levine and Abbeel 2014; the lecture notes' local models.
//
// The controller sees the simulator's state (Env::GetState) and the cost of states (TaskFunctions::state_cost). All
// episodes have one length, the time limit.
//
// Not supported: tasks that end before it, and those without such a cost.
#ifndef REVERIE_ALGORITHMS_LOCAL_MODELS_H_
#define REVERIE_ALGORITHMS_LOCAL_MODELS_H_

#include <filesystem>
#include <vector>

#include "reverie/algorithms/algorithm.h"
#include "reverie/env/env_config.h"
#include "reverie/learners/local_model.h"
#include "reverie/policies/linear_gaussian_policy.h"
#include "reverie/rollout/collector.h"
#include "reverie/rollout/start_trajectories.h"
#include "reverie/run/run_config.h"

namespace reverie {

class LocalModels final : public Algorithm {
 public:
  struct Config {
    explicit Config(const EnvRegistry& envs);

    RunConfig run;
    EnvConfig env;
    int64_t rollouts = 5;
    LocalModelConfig local;

    void Visit(Fields& fields);
  };

  // On the CPU.
  LocalModels(const Config& config, const torch::Device& device);

  void Train(RunContext& run) override;
  bool Rehearse() override { return false; }  // small matrices, for which one thread is best
  const Policy& policy() const override { return policy_; }
  std::vector<std::filesystem::path> Export(const std::filesystem::path& torchscript) override;
  void VisitState(StateVisitor& state) override;

 private:
  void UpdateAll(RunContext& run);

  Config config_;
  Rng rng_;
  Collector collector_;
  StartTrajectories trajectories_;  // since the last update
  std::vector<LocalModel> locals_;  // one for each start
  LinearGaussianPolicy policy_;
  int64_t updates_ = 0;
};

}  // namespace reverie

#endif  // REVERIE_ALGORITHMS_LOCAL_MODELS_H_
