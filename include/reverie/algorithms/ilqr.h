// Optimal control of a learned model: the plan is a trajectory with feedback gains, found by iLQR (control/ilqr.h), on
// each rung of the ladder (algorithms/ladder.h).
//
//   D: exploration_steps of random actions;   repeat: fit p_theta to D;   plan and act as the rung says, D <- D + what
//   was met
//
// Where pets samples plans and keeps the best, this follows the derivatives of model and reward: fewer passes through
// the model for a plan, and a local optimum near where the search began. Source of the ladder and of iLQR in it: the
// lecture notes; of what keeps a plan from the model's holes: planning/model_problem.h. The end of an episode is not
// seen.
//
// model.kind: simulator plans in the environment itself, by whole steps of it and their differences, at the task's cost
// of states (TaskFunctions::state_cost): what is left is the planner's own error. Nothing is fitted then.
//
// Not supported: rewards without derivatives, such as 1 for every step.
#ifndef REVERIE_ALGORITHMS_ILQR_H_
#define REVERIE_ALGORITHMS_ILQR_H_

#include <filesystem>
#include <memory>
#include <vector>

#include "reverie/algorithms/algorithm.h"
#include "reverie/algorithms/ladder.h"
#include "reverie/algorithms/planning_model.h"
#include "reverie/env/env_config.h"
#include "reverie/planning/ilqr_policy.h"
#include "reverie/planning/model_problem.h"
#include "reverie/planning/problem_from.h"
#include "reverie/policies/uniform_policy.h"
#include "reverie/rollout/collector.h"
#include "reverie/run/run_config.h"

namespace reverie {

class IlqrControl final : public Algorithm {
 public:
  struct Config {
    explicit Config(const EnvRegistry& envs);

    RunConfig run;
    EnvConfig env;
    Ladder ladder = Ladder::kV15;
    bool feedback = false;
    double noise_std = 0.1;
    int64_t replay_capacity = 1'000'000;
    ModelConfig model;
    TrajectoryConfig propagation;
    IlqrConfig ilqr;

    void Visit(Fields& fields);
  };

  // On the CPU where the simulator is the model, which is differentiated on as many threads as LibTorch has.
  IlqrControl(const Config& config, const torch::Device& device);

  void Train(RunContext& run) override;
  bool Rehearse() override;
  // Evaluation acts with a memory of its own and leaves the plans of training alone.
  const Policy& policy() const override { return planner_; }
  const ReplayBuffer* transitions() const override { return learned_ ? &learned_->buffer : nullptr; }
  std::optional<LearnedModel> learned_model() const override;
  std::vector<std::filesystem::path> Export(const std::filesystem::path& torchscript) override;
  void VisitState(StateVisitor& state) override;

 private:
  IlqrPolicy MakePlanner(const IlqrConfig& config);
  bool Explores() const {
    return config_.ladder == Ladder::kV05 || collector_.env_steps() < config_.run.exploration_steps;
  }

  Config config_;
  Rng rng_;
  torch::Device device_;
  Collector collector_;
  UniformPolicy random_policy_;
  std::unique_ptr<PlanningModel> learned_;  // none where the simulator is the model
  ProblemFrom problem_from_;
  IlqrPolicy planner_;
};

}  // namespace reverie

#endif  // REVERIE_ALGORITHMS_ILQR_H_
