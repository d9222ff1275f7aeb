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

  // Throws std::logic_error where replan_every is not in [1, planner.horizon].
  MpcPolicy(const PlannerConfig& planner, int64_t act_dim, int64_t replan_every, ReturnOf return_of,
            const torch::Device& device);

  // Both modes act as planned. Cost: a search for each row that is due for one.
  torch::Tensor Act(const torch::Tensor& obs, ActMode mode, torch::Generator& generator) override;
  void Watch(std::span<const Env* const> envs) override { watched_.assign(envs.begin(), envs.end()); }
  void Reset() override { plans_.clear(); }
  torch::Device device() const override { return device_; }

  // Since the last call: searches, the share of their candidates whose return was not finite, and how many searches
  // found none that was, of which the log warns: those acted out the plan that was there. One copy to the host.
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

  PlannerConfig planner_;
  SequenceShape shape_;
  int64_t replan_every_;
  ReturnOf return_of_;
  torch::Device device_;
  std::vector<const Env*> watched_;  // of the next Act
  std::vector<Plan> plans_;
  int64_t searches_ = 0;
  torch::Tensor tally_;  // [3] int64: candidates, those not finite, searches without one that is
};

}  // namespace reverie

#endif  // REVERIE_PLANNING_MPC_POLICY_H_
