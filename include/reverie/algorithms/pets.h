// Planning through a learned model by a search for actions, on each rung of the ladder that ends in PETS
// (algorithms/ladder.h).
//
// With a probabilistic ensemble, particles (planning/imagined_return.h) and CEM, v1.5 is PETS (Chua et al. 2018,
// algorithm 1). Each begins with exploration_steps of random actions.
//
// model.kind: simulator plans in the environment itself, from its true state: what is left is the planner's own error.
// Nothing is fitted then.
#ifndef REVERIE_ALGORITHMS_PETS_H_
#define REVERIE_ALGORITHMS_PETS_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "reverie/algorithms/algorithm.h"
#include "reverie/algorithms/ladder.h"
#include "reverie/algorithms/planning_model.h"
#include "reverie/env/env_config.h"
#include "reverie/planning/imagined_return.h"
#include "reverie/planning/mpc_policy.h"
#include "reverie/planning/problem_from.h"
#include "reverie/planning/simulator_return.h"
#include "reverie/policies/uniform_policy.h"
#include "reverie/rollout/collector.h"
#include "reverie/run/run_config.h"

namespace reverie {

class Pets final : public Algorithm {
 public:
  struct Config {
    explicit Config(const EnvRegistry& envs);

    RunConfig run;
    EnvConfig env;
    Ladder ladder = Ladder::kV15;
    int64_t replay_capacity = 1'000'000;
    ModelConfig model;
    PropagationConfig propagation;
    UncertaintyConfig uncertainty;
    PlannerConfig planner;

    void Visit(Fields& fields);
  };

  // On the CPU where the simulator is the model, which plans on as many threads as LibTorch has.
  Pets(const Config& config, const torch::Device& device);

  void Train(RunContext& run) override;
  bool Rehearse() override;
  // Evaluation acts with a memory of its own and leaves the plans of training alone.
  const Policy& policy() const override { return planner_; }
  const ReplayBuffer* transitions() const override { return learned_ ? &learned_->buffer : nullptr; }
  std::optional<LearnedModel> learned_model() const override;
  std::vector<std::filesystem::path> Export(const std::filesystem::path& torchscript) override;
  void VisitState(StateVisitor& state) override;

 private:
  MpcPolicy MakePlanner(int64_t horizon);
  bool Explores() const {
    return config_.ladder == Ladder::kV05 || collector_.env_steps() < config_.run.exploration_steps;
  }

  Config config_;
  Rng rng_;
  torch::Device device_;
  Collector collector_;
  UniformPolicy random_policy_;
  std::unique_ptr<PlanningModel> learned_;             // or
  std::unique_ptr<SimulatorReturn> simulator_return_;  // the other
  std::optional<ImaginedReturn> imagined_return_;      // with a learned model
  ProblemFrom trajectory_from_;                        // where the planner needs it
  torch::Generator threshold_generator_;
  MpcPolicy planner_;
};

}  // namespace reverie

#endif  // REVERIE_ALGORITHMS_PETS_H_
