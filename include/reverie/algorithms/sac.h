// Soft actor-critic (Haarnoja et al. 2018b, algorithm 1).
//
//   for each env step:
//     act with pi in the environment (uniformly at first), add to D
//     updates_per_step times: update Q, pi, alpha on a batch of D
#ifndef REVERIE_ALGORITHMS_SAC_H_
#define REVERIE_ALGORITHMS_SAC_H_

#include "reverie/algorithms/algorithm.h"
#include "reverie/data/replay_buffer.h"
#include "reverie/env/env_config.h"
#include "reverie/learners/sac_learner.h"
#include "reverie/policies/uniform_policy.h"
#include "reverie/rollout/collector.h"
#include "reverie/run/run_config.h"

namespace reverie {

class Sac final : public Algorithm {
 public:
  struct Config {
    explicit Config(const EnvRegistry& envs) : env(envs) {}

    RunConfig run;
    EnvConfig env;
    int64_t updates_per_step = 1;
    int64_t replay_capacity = 1'000'000;
    SacConfig sac;

    void Visit(Fields& fields);
  };

  Sac(const Config& config, const torch::Device& device);

  void Train(RunContext& run) override;
  bool Rehearse() override;
  const Policy& policy() const override { return learner_.actor(); }
  const ReplayBuffer* transitions() const override { return &buffer_; }
  std::vector<std::filesystem::path> Export(const std::filesystem::path& torchscript) override;
  void VisitState(StateVisitor& state) override;

 private:
  Config config_;
  Rng rng_;
  Collector collector_;
  UniformPolicy random_policy_;
  ReplayBuffer buffer_;
  MixedSampler sampler_;
  SacLearner learner_;
};

}  // namespace reverie

#endif  // REVERIE_ALGORITHMS_SAC_H_
