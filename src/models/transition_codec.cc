#include "reverie/models/transition_codec.h"

#include <ATen/ATen.h>

#include "reverie/data/column_statistics.h"

namespace reverie {

std::vector<std::pair<std::string, ModelTarget>> EnumNames(ModelTarget) {
  return {{"delta", ModelTarget::kDelta}, {"next_obs", ModelTarget::kNextObs}};
}

TransitionCodec::TransitionCodec(ModelSpec spec, ModelTarget target, const torch::Device& device)
    : spec_(std::move(spec)), target_(target), standardizer_(spec_.input_dim(), spec_.target_dim(), device) {}

torch::Tensor TransitionCodec::Seen(const torch::Tensor& obs, const torch::Tensor& action) const {
  return torch::cat({spec_.Features(obs), action}, -1);
}

torch::Tensor TransitionCodec::Targets(const TransitionBatch& rows) const {
  const torch::Tensor target = adds_obs() ? rows.next_obs() - rows.obs() : rows.next_obs();
  return spec_.learn_reward ? torch::cat({target, rows.reward().unsqueeze(1)}, 1) : target;
}

torch::Tensor TransitionCodec::Magnitudes(const TransitionBatch& rows, const torch::Tensor& targets) const {
  torch::Tensor magnitudes = ColumnMagnitudes(targets);
  if (adds_obs()) {
    torch::Tensor of_obs = magnitudes.narrow(0, 0, spec_.layout.obs_dim);
    of_obs.copy_(torch::maximum(of_obs, ColumnMagnitudes(rows.next_obs())));
  }
  return magnitudes;
}

void TransitionCodec::FitTo(const TransitionBatch& rows, PlainDeviations plain) {
  const torch::Tensor targets = Targets(rows);
  FitInputs(Seen(rows.obs(), rows.action()));
  FitTargets(targets, Magnitudes(rows, targets), plain);
}

torch::Tensor TransitionCodec::DecodeObs(const torch::Tensor& target, const torch::Tensor& obs) const {
  const torch::Tensor observed = target.slice(-1, 0, spec_.layout.obs_dim);
  return adds_obs() ? obs + observed : observed;
}

ModelStep TransitionCodec::Decode(const torch::Tensor& target, const torch::Tensor& obs) const {
  return {.next_obs = DecodeObs(target, obs),
          .reward = spec_.learn_reward ? target.select(1, spec_.layout.obs_dim) : torch::Tensor()};
}

}  // namespace reverie
