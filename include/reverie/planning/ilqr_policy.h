// Model-predictive control by iLQR: the plan is a trajectory with feedback gains.
//
//   at an episode's first step: FirstPlan
//   every `replan_every` steps: the plan shifted by what was acted out, its last action repeated; some iterations of
//     iLQR. After a whole plan: as at the first step
//   at step t in between: u = clip(u_t + K_t (x - x_t)), or u_t alone (open loop)
//
// A plan made anew begins with the trajectory that follows the one before it by its feedback, as an unstable system
// leaves any other. A plan that no iteration improves is kept. Where not even a first plan stays finite the action is
// zero, and the next step searches again. Sources: Tassa, Erez and Todorov 2012, section III; control/ilqr.h.
#ifndef REVERIE_PLANNING_ILQR_POLICY_H_
#define REVERIE_PLANNING_ILQR_POLICY_H_

#include <cstdint>
#include <memory>

#include "reverie/config/fields.h"
#include "reverie/control/ilqr.h"
#include "reverie/planning/problem_from.h"
#include "reverie/policies/policy.h"

namespace reverie {

struct IlqrConfig {
  int64_t horizon = 50;
  int64_t starts = 4;
  double start_std = 0.5;
  int64_t grow_by = 5;
  int64_t first_iterations = 100;
  int64_t iterations = 1;
  double cost_tolerance = 1e-6;

  bool offers_horizon = true;  // false: it is that of whole episodes, and no key

  void Visit(Fields& fields);
  // Those that a first plan reads.
  void VisitFirstPlan(Fields& fields);
};

// The best of searches from zeros, from random plans and through horizons that grow. The problem's horizon and start
// are set.
IlqrResult FirstPlan(const IlqrConfig& config, const ShootingProblem& problem, torch::Generator& generator);

class IlqrPolicy final : public Policy {
 public:
  struct Schedule {
    int64_t replan_every = 1;
    bool feedback = true;  // between plans
    double noise_std = 0;  // of what ActMode::kSample adds to an action
  };
  // So many searches in a row, of one memory, may be ended by something that is not finite.
  static constexpr int64_t kMostFruitlessSearches = 100;

  // Acts on observations on `device`. Throws std::logic_error where replan_every is not in [1, horizon].
  IlqrPolicy(const IlqrConfig& config, const Schedule& schedule, int64_t controls, ProblemFrom problem_from,
             const torch::Device& device = torch::kCPU);

  // Its metrics: plans made, iterations that gained, the share of plans that none improved, and searches without a
  // plan, of which the log warns and tells the statuses.
  std::unique_ptr<PolicyMemory> NewMemory(int64_t rows) const override;

  // Draws are those of random first plans, and of the noise. Throws what `problem_from` does, and
  // std::runtime_error after kMostFruitlessSearches in a row. From one thread at a time.
  torch::Tensor Act(const ActInput& input, PolicyMemory* memory, ActMode mode,
                    torch::Generator& generator) const override;
  torch::Device device() const override { return device_; }

 private:
  struct Plan;
  class Memory;

  // [A] float64 in [-1, 1].
  torch::Tensor Next(Memory& memory, Plan& plan, const torch::Tensor& obs, const Env* env,
                     torch::Generator& generator) const;
  static void RefuseFruitlessSearches(Memory& memory, const ShootingProblem& problem, IlqrStatus status);
  // A plan by an episode's first searches, or none.
  void Begin(Memory& memory, Plan& plan, const ShootingProblem& problem, torch::Generator& generator) const;

  IlqrConfig config_;
  Schedule schedule_;
  int64_t controls_;
  ProblemFrom problem_from_;
  torch::Device device_;
};

}  // namespace reverie

#endif  // REVERIE_PLANNING_ILQR_POLICY_H_
