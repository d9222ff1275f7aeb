#include "reverie/models/imagine.h"

#include <ATen/ATen.h>

namespace reverie {

torch::Tensor Imagined::Alive() const {
  if (ended.empty()) {
    return torch::ones({1, obs.front().size(0)}, obs.front().options().dtype(torch::kBool));
  }
  const torch::Tensor ends = torch::stack(ended).to(torch::kInt64).cumsum(0);
  return torch::cat({torch::zeros_like(ends.narrow(0, 0, 1)), ends}) == 0;
}

Imagined Imagine(const torch::Tensor& start, int64_t horizon, ActionAt action_at, StepAt step) {
  Imagined imagined{.obs = {start}, .action = {}, .reward = {}, .ended = {}, .finite = {}};
  for (int64_t t = 0; t < horizon; ++t) {
    const torch::Tensor action = action_at(imagined.obs.back(), t);
    const ImaginedTransition made = step(imagined.obs.back(), action, t);
    imagined.obs.push_back(made.next_obs);
    imagined.action.push_back(action);
    imagined.reward.push_back(made.reward);
    imagined.ended.push_back(made.ended);
    imagined.finite.push_back(made.finite);
  }
  return imagined;
}

}  // namespace reverie
