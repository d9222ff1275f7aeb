// The one place where actions in [-1, 1] become the environment's own.
#ifndef REVERIE_ENV_ACTION_BOUNDS_H_
#define REVERIE_ENV_ACTION_BOUNDS_H_

#include <cstddef>
#include <span>

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

}  // namespace reverie

#endif  // REVERIE_ENV_ACTION_BOUNDS_H_
