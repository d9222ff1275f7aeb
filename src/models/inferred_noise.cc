#include "reverie/models/inferred_noise.h"

#include <ATen/ATen.h>

#include <stdexcept>

namespace reverie {

StepDraws InferNoise(const DynamicsModel& model, const TransitionBatch& real, const torch::Tensor& deal) {
  if (model.noise_dim() == 0) {
    return {.deal = deal, .noise = {}};
  }
  if (!model.is_gaussian()) {
    throw std::logic_error("InferNoise: the model's steps are not Gaussian");
  }
  const torch::NoGradGuard no_grad;
  const int64_t hypotheses = model.hypotheses().size(0);
  const GaussianPrediction all = model.Predict(real.obs(), real.action(), Members::kElites);
  const torch::Tensor own = HypothesisOfRows(deal, hypotheses).view({1, -1, 1}).expand({1, -1, all.mean.size(2)});
  const torch::Tensor mean = all.mean.gather(0, own).squeeze(0);
  const torch::Tensor var = all.var.gather(0, own).squeeze(0);
  // An observation differs from the predicted one by as much as their targets do.
  torch::Tensor error = real.next_obs() - model.DecodeObs(mean, real.obs());
  if (model.learns_reward()) {
    error = torch::cat({error, real.reward().unsqueeze(1) - mean.slice(1, real.layout.obs_dim)}, 1);
  }
  const torch::Tensor noise = torch::where(var > 0, error / torch::sqrt(var), 0).slice(1, 0, model.noise_dim());
  return {.deal = deal, .noise = DealRows(noise, deal, hypotheses).flatten(0, 1)};
}

}  // namespace reverie
