// The one place where actions in [-1, 1] become the environment's own.
#ifndef REVERIE_ENV_ACTION_BOUNDS_H_
#define REVERIE_ENV_ACTION_BOUNDS_H_

#include <cstddef>
#include <span>
#include <vector>

#include "reverie/core/tensor.h"
#include "reverie/env/env.h"

namespace reverie {

// env_action = low + (action + 1) / 2 (high - low), per dimension. Both [act_dim].
inline void ToEnvAction(const EnvSpec& spec, std::span<const float> action, std::span<double> env_action) {
  for (size_t i = 0; i < env_action.size(); ++i) {
    const double low = spec.action_low[i];
    const double high = spec.action_high[i];
    env_action[i] = low + (static_cast<double>(action[i]) + 1.0) * 0.5 * (high - low);
  }
}

// The same for batches.
class BatchedActionBounds {
 public:
  // low, high [act_dim]; the batches are of that device and dtype.
  BatchedActionBounds(const std::vector<double>& low, const std::vector<double>& high,
                      const torch::TensorOptions& options) {
    const torch::Tensor l = torch::tensor(low, torch::kFloat64);
    const torch::Tensor h = torch::tensor(high, torch::kFloat64);
    center_ = ((h + l) / 2).to(options);
    half_range_ = ((h - l) / 2).to(options);
  }

  // action [B, act_dim] -> [B, act_dim].
  torch::Tensor ToEnvAction(const torch::Tensor& action) const { return torch::addcmul(center_, half_range_, action); }

  // [act_dim]: an action of 0 in the env's bounds, and what one of 1 adds to it.
  const torch::Tensor& center() const { return center_; }
  const torch::Tensor& half_range() const { return half_range_; }

 private:
  torch::Tensor center_, half_range_;  // [act_dim]
};

}  // namespace reverie

#endif  // REVERIE_ENV_ACTION_BOUNDS_H_
