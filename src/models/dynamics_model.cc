#include "reverie/models/dynamics_model.h"

#include <ATen/ATen.h>

namespace reverie {

void ModelStep::CopyTo(ModelSample& sample) const {
  sample.next_obs.copy_(next_obs);
  if (reward.defined()) {
    sample.reward.copy_(reward);
  }
}

GaussianPrediction MomentsOf(const MixturePrediction& mixture) {
  if (mixture.mean.size(1) == 1) {
    return {.mean = mixture.mean.squeeze(1), .var = mixture.var.squeeze(1)};
  }
  const torch::Tensor weight = mixture.log_weight.exp().unsqueeze(-1);
  const torch::Tensor mean = (weight * mixture.mean).sum(1);
  const torch::Tensor spread = (mixture.mean - mean.unsqueeze(1)).square();
  return {.mean = mean, .var = (weight * (mixture.var + spread)).sum(1)};
}

MixturePrediction DynamicsModel::PredictMixture(const torch::Tensor& obs, const torch::Tensor& action) const {
  const GaussianPrediction one = Predict(obs, action, Members::kElites);
  return {.mean = one.mean.unsqueeze(1),
          .var = one.var.unsqueeze(1),
          .log_weight = torch::zeros({one.mean.size(0), 1, one.mean.size(1)}, one.mean.options())};
}

}  // namespace reverie
