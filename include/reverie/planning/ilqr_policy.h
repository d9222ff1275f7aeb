// Model-predictive control by iLQR: the plan is a trajectory with feedback gains.
//   at an episode's first step: the best of searches from zeros, several random plans, and a horizon that grows
//   every `replan_every` steps: the plan shifted by what was acted out, its last action repeated; some iterations of
//   iLQR at step t in between: u = clip(u_t + K_t (x - x_t))
//
// A plan that no iteration improves is kept. Sources: Tassa, Erez and Todorov 2012, section III; control/ilqr.h.
#ifndef REVERIE_PLANNING_ILQR_POLICY_H_
#define REVERIE_PLANNING_ILQR_POLICY_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "reverie/config/fields.h"
#include "reverie/control/ilqr.h"
#include "reverie/policies/policy.h"

namespace reverie {

struct IlqrConfig {
  int64_t horizon = 50;
  int64_t starts = 4;
  double start_std = 0.5;
  int64_t grow_by = 5;
  int64_t first_iterations = 100;
  int64_t iterations = 1;
  int64_t replan_every = 1;

  void Visit(Fields& fields);
};

class IlqrPolicy final : public Policy {
 public:
  // The problem from the state that the environment is in. Its horizon is set here.
  using ProblemFrom = std::function<ShootingProblem(const Env& env)>;

  IlqrPolicy(const IlqrConfig& config, int64_t controls, ProblemFrom problem_from);

  // Its metrics: plans made, iterations that gained, the share of plans that none improved.
  std::unique_ptr<PolicyMemory> NewMemory(int64_t rows) const override;

  // Both modes act as planned; draws are those of random first plans. Throws std::invalid_argument without
  // environments, and std::runtime_error where no first plan has a trajectory that stays finite. From one thread at a
  // time.
  torch::Tensor Act(const ActInput& input, PolicyMemory* memory, ActMode mode,
                    torch::Generator& generator) const override;
  torch::Device device() const override { return torch::kCPU; }

 private:
  struct Plan;
  class Memory;

  torch::Tensor Next(Memory& memory, Plan& plan, const Env& env, torch::Generator& generator) const;
  void Begin(Plan& plan, const ShootingProblem& problem, torch::Generator& generator) const;

  IlqrConfig config_;
  int64_t controls_;
  ProblemFrom problem_from_;
};

}  // namespace reverie

#endif  // REVERIE_PLANNING_ILQR_POLICY_H_
