#include "reverie/planning/state_feedback_policy.h"

#include <stdexcept>
#include <utility>
#include <vector>

#include "control/doubles.h"

namespace reverie {

StateFeedbackPolicy::StateFeedbackPolicy(std::shared_ptr<const SimulatorDynamics> dynamics, torch::Tensor x_goal,
                                         torch::Tensor u_goal, torch::Tensor gain)
    : dynamics_(std::move(dynamics)), x_goal_(std::move(x_goal)), u_goal_(std::move(u_goal)), gain_(std::move(gain)) {
  RequireDoubles("x_goal", x_goal_, {dynamics_->state_size()});
  RequireDoubles("u_goal", u_goal_, {dynamics_->controls()});
  RequireDoubles("gain", gain_, {dynamics_->controls(), dynamics_->tangent_size()});
}

torch::Tensor StateFeedbackPolicy::Unbounded(const Env& env) const {
  torch::Tensor difference = torch::empty({1, dynamics_->tangent_size()}, torch::kFloat64);
  dynamics_->Difference(dynamics_->StateOf(env).unsqueeze(0), x_goal_.unsqueeze(0), difference);
  return u_goal_ + torch::mv(gain_, difference[0]);
}

torch::Tensor StateFeedbackPolicy::Act(const ActInput& input, PolicyMemory* /*memory*/, ActMode /*mode*/,
                                       torch::Generator& /*generator*/) const {
  std::vector<torch::Tensor> actions;
  for (const Env* env : input.envs) {
    if (env != nullptr) {
      actions.push_back(Unbounded(*env).clamp(-1, 1).to(torch::kFloat32));
    }
  }
  if (static_cast<int64_t>(actions.size()) != input.obs.size(0)) {
    throw std::invalid_argument("feedback of a simulator's state acts in environments, not on observations alone");
  }
  return torch::stack(actions);
}

}  // namespace reverie
