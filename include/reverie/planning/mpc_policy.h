// Model-predictive control: a planner as a policy.
//
//   every `replan_every` steps of an episode:  plan = argmax J(a_1 ... a_H) from the state;  act it out in between
//
// replan_every 1 is control with feedback at every step; H acts out whole plans whatever comes of them (open loop).
// Every environment has a plan of its own, kept from step to step as its planner's warm start. One that is not known
// (Policy::Watch) is planned for from nothing.
#ifndef REVERIE_PLANNING_MPC_POLICY_H_
#define REVERIE_PLANNING_MPC_POLICY_H_

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "reverie/core/metrics.h"
#include "reverie/env/env.h"
#include "reverie/planning/registry.h"
#include "reverie/policies/policy.h"

namespace reverie {

class MpcPolicy final : public Policy {
 public:
  // J [P] of actions [P, H, A] from obs [obs_dim], for the environment that it was seen in, null where none is known.
  using ReturnOf = std::function<torch::Tensor(const torch::Tensor& obs, const Env* env, const torch::Tensor& actions,
                                               torch::Generator& generator)>;

  // What makes the return of a candidate [H, A] from obs not finite, such as "the predicted reward of step 3"; "" where
  // it cannot tell.
  using Diagnosis =
      std::function<std::string(const torch::Tensor& obs, const torch::Tensor& candidate, torch::Generator& generator)>;
  // So many searches in a row may end without a candidate whose return is finite.
  static constexpr int64_t kMostFruitlessSearches = 100;

  // Throws std::logic_error where replan_every is not in [1, planner.horizon].
  MpcPolicy(const PlannerConfig& planner, int64_t act_dim, int64_t replan_every, ReturnOf return_of,
            const torch::Device& device, Diagnosis diagnosis = {});

  // Both modes act as planned. Cost: a search for each row that is due for one. A search without a candidate whose
  // return is finite acts out the plan that was there. Throws std::runtime_error with the diagnosis after
  // kMostFruitlessSearches of those in a row, and on a GPU, where that is looked at after every so many searches, at
  // most as many later.
  torch::Tensor Act(const torch::Tensor& obs, ActMode mode, torch::Generator& generator) override;
  void Watch(std::span<const Env* const> envs) override { watched_.assign(envs.begin(), envs.end()); }
  void Reset() override { plans_.clear(); }
  torch::Device device() const override { return device_; }

  // Since the last call: searches, the share of their candidates whose return was not finite, and how many searches
  // found none that was, of which the log warns. One copy to the host.
  Metrics DrainMetrics();

  // Plans and counts; the environments are to be watched in the same order when it goes on.
  void VisitState(StateVisitor& state);

 private:
  struct Plan {
    const Env* env = nullptr;  // null after loading, until one is watched
    std::unique_ptr<SequenceOptimizer> planner;
    torch::Tensor actions;  // [H, A], the last search's
    int64_t acted = 0;      // how many of them
  };
  Plan NewPlan(const Env* env) const;
  Plan& PlanFor(const Env* env);
  // The next action of the plan, [A], after a search where it is due.
  torch::Tensor Next(Plan& plan, const torch::Tensor& obs, torch::Generator& generator);
  // `candidate`: one of the last search's.
  void RefuseFruitlessSearches(const torch::Tensor& obs, const torch::Tensor& candidate, torch::Generator& generator);

  PlannerConfig planner_;
  SequenceShape shape_;
  int64_t replan_every_;
  ReturnOf return_of_;
  Diagnosis diagnosis_;
  torch::Device device_;
  std::vector<const Env*> watched_;  // of the next Act
  std::vector<Plan> plans_;
  int64_t searches_ = 0;
  torch::Tensor tally_;           // [3] int64: candidates, those not finite, searches without one that is
  torch::Tensor fruitless_;       // [] int64: the latter, in a row up to now
  torch::Tensor most_fruitless_;  // [] int64: the largest that was
  int64_t since_look_ = 0;        // searches since the host looked at it
};

}  // namespace reverie

#endif  // REVERIE_PLANNING_MPC_POLICY_H_
