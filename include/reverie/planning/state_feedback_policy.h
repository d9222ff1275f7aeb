// Linear feedback of the simulator's state as a policy.
//
//   u = clip(u* + K (x - x*))        in [-1, 1]
//
// It reads the state of the environment that it acts in, and acts the same in both modes. Without environments, or in
// one of another kind, Act throws.
#ifndef REVERIE_PLANNING_STATE_FEEDBACK_POLICY_H_
#define REVERIE_PLANNING_STATE_FEEDBACK_POLICY_H_

#include <memory>

#include "reverie/core/tensor.h"
#include "reverie/planning/simulator_dynamics.h"
#include "reverie/policies/policy.h"

namespace reverie {

class StateFeedbackPolicy final : public Policy {
 public:
  // x* [nx], u* [m], K [m, n], float64. Throws std::invalid_argument where a shape does not fit.
  StateFeedbackPolicy(std::shared_ptr<const SimulatorDynamics> dynamics, torch::Tensor x_goal, torch::Tensor u_goal,
                      torch::Tensor gain);

  torch::Tensor Act(const ActInput& input, PolicyMemory* memory, ActMode mode,
                    torch::Generator& generator) const override;
  // u* + K (x - x*) in that environment, not clipped, [m] float64.
  torch::Tensor Unbounded(const Env& env) const;
  torch::Device device() const override { return torch::kCPU; }

 private:
  std::shared_ptr<const SimulatorDynamics> dynamics_;
  torch::Tensor x_goal_, u_goal_, gain_;
};

}  // namespace reverie

#endif  // REVERIE_PLANNING_STATE_FEEDBACK_POLICY_H_
