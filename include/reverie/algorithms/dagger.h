// Imitation of an expert on the states that the imitator itself leads to.
//
//   iteration i: act for some episodes, each step by the expert with the probability beta_i = beta^(i - 1), else by the
//     network; label every state that was visited with the expert's action; fit the network to all labels so far
//
// Source: Ross, Gordon and Bagnell 2011 (DAgger, algorithm 3.1). beta 0 lets the expert act in the first iteration
// alone, beta 1 in all: behaviour cloning, whose errors lead to states that no label tells of. The expert sees the
// simulator's state (planning/expert.h), the network what is observed (env.observe), which may be less.
#ifndef REVERIE_ALGORITHMS_DAGGER_H_
#define REVERIE_ALGORITHMS_DAGGER_H_

#include <filesystem>
#include <vector>

#include "reverie/algorithms/algorithm.h"
#include "reverie/algorithms/lessons.h"
#include "reverie/env/env_config.h"
#include "reverie/learners/regression_learner.h"
#include "reverie/planning/expert.h"
#include "reverie/rollout/collector.h"
#include "reverie/run/run_config.h"

namespace reverie {

class Dagger final : public Algorithm {
 public:
  struct Config {
    explicit Config(const EnvRegistry& envs);

    RunConfig run;
    EnvConfig env;
    ExpertConfig expert;
    double beta = 0;
    LessonsConfig lessons;
    RegressionConfig learner;

    void Visit(Fields& fields);
  };

  Dagger(const Config& config, const torch::Device& device);

  void Train(RunContext& run) override;
  bool Rehearse() override { return false; }  // small networks and an expert on one thread
  const Policy& policy() const override { return learner_.actor(); }
  std::vector<std::filesystem::path> Export(const std::filesystem::path& torchscript) override;
  void VisitState(StateVisitor& state) override;

 private:
  Config config_;
  Rng rng_;
  Collector collector_;
  Expert expert_;
  RegressionLearner learner_;
  RandomEngine coin_;
  Lessons lessons_;
};

}  // namespace reverie

#endif  // REVERIE_ALGORITHMS_DAGGER_H_
