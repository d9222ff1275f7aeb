#include "reverie/planning/state_feedback_policy.h"

#include <stdexcept>
#include <utility>

#include "control/doubles.h"

namespace reverie {

StateFeedbackPolicy::StateFeedbackPolicy(std::shared_ptr<const SimulatorDynamics> dynamics, torch::Tensor x_goal,
                                         torch::Tensor u_goal, torch::Tensor gain)
    : dynamics_(std::move(dynamics)), x_goal_(std::move(x_goal)), u_goal_(std::move(u_goal)), gain_(std::move(gain)) {
  RequireDoubles("x_goal", x_goal_, {dynamics_->state_size()});
  RequireDoubles("u_goal", u_goal_, {dynamics_->controls()});
  RequireDoubles("gain", gain_, {dynamics_->controls(), dynamics_->tangent_size()});
}

torch::Tensor StateFeedbackPolicy::Act(const ActInput& input, PolicyMemory* /*memory*/, ActMode /*mode*/,
                                       torch::Generator& /*generator*/) const {
  const int64_t rows = input.obs.size(0);
  if (static_cast<int64_t>(input.envs.size()) != rows) {
    throw std::invalid_argument("feedback of a simulator's state acts in environments, not on observations alone");
  }
  torch::Tensor x = torch::empty({rows, dynamics_->state_size()}, torch::kFloat64);
  for (int64_t i = 0; i < rows; ++i) {
    const Env* env = input.envs[static_cast<size_t>(i)];
    if (env == nullptr) {
      throw std::invalid_argument("feedback of a simulator's state acts in environments, not on observations alone");
    }
    x[i] = dynamics_->StateOf(*env);
  }
  torch::Tensor difference = torch::empty({rows, dynamics_->tangent_size()}, torch::kFloat64);
  dynamics_->Difference(x, x_goal_.expand_as(x).contiguous(), difference);
  return (u_goal_ + difference.mm(gain_.t())).clamp(-1, 1).to(torch::kFloat32);
}

}  // namespace reverie
