// Model-predictive control: a planner as a policy.
//
//   every `replan_every` steps of an episode:  plan = argmax J(a_1 ... a_H) from the state;  act it out in between
//
// replan_every 1 is control with feedback at every step; H acts out whole plans whatever comes of them (open loop).
// What it remembers of an environment is its plan, kept from step to step as its planner's warm start.
#ifndef REVERIE_PLANNING_MPC_POLICY_H_
#define REVERIE_PLANNING_MPC_POLICY_H_

#include <functional>
#include <memory>
#include <string>

#include "reverie/env/env.h"
#include "reverie/planning/problem_from.h"
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

  // What is planned for.
  struct Task {
    ReturnOf return_of;
    Diagnosis diagnosis;     // or none
    ProblemFrom trajectory;  // where the planner needs it
  };

  // Throws std::logic_error where replan_every is not in [1, planner.horizon].
  MpcPolicy(const PlannerConfig& planner, int64_t act_dim, int64_t replan_every, Task task,
            const torch::Device& device);

  // Its metrics: searches, the share of their candidates whose return was not finite, and how many searches found none
  // that was, of which the log warns. One copy to the host.
  std::unique_ptr<PolicyMemory> NewMemory(int64_t rows) const override;

  // Both modes act as planned. Cost: a search for each row that is due for one. A search without a candidate whose
  // return is finite acts out the plan that was there. Throws std::runtime_error with the diagnosis after
  // kMostFruitlessSearches of those in a row with one memory, and on a GPU, where that is looked at after every so many
  // searches, at most as many later.
  torch::Tensor Act(const ActInput& input, PolicyMemory* memory, ActMode mode,
                    torch::Generator& generator) const override;
  torch::Device device() const override { return device_; }

 private:
  struct Plan;
  class Memory;

  Plan NewPlan() const;
  // The next action of the plan, [A], after a search where it is due.
  torch::Tensor Next(Memory& memory, Plan& plan, const torch::Tensor& obs, const Env* env,
                     torch::Generator& generator) const;
  // `candidate`: one of the last search's.
  void RefuseFruitlessSearches(Memory& memory, const torch::Tensor& obs, const torch::Tensor& candidate,
                               torch::Generator& generator) const;

  PlannerConfig planner_;
  SequenceShape shape_;
  int64_t replan_every_;
  Task task_;
  torch::Device device_;
};

}  // namespace reverie

#endif  // REVERIE_PLANNING_MPC_POLICY_H_
