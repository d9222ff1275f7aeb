#include "reverie/models/model_env.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "imagination.h"

namespace reverie {

ModelEnv::ModelEnv(const DynamicsModel& model, TaskFunctions task, const EnvSpec& spec, const torch::Device& device)
    : model_(model),
      task_(std::move(task)),
      bounds_(spec.action_low, spec.action_high, torch::dtype(torch::kFloat32).device(device)) {
  if (!model.learns_reward() && !task_.reward) {
    throw std::logic_error(spec.id + ": the model learns no reward and the task knows none");
  }
}

ModelSample ModelEnv::SampleOf(TransitionBatch& batch) const {
  return {.next_obs = batch.next_obs(),
          .reward = model_.learns_reward() ? batch.reward() : torch::Tensor(),
          .member = torch::empty({batch.size()}, batch.rows.options().dtype(torch::kInt64))};
}

ImaginedStep ModelEnv::Step(TransitionBatch& batch, torch::Generator& generator) const {
  ModelSample sample = SampleOf(batch);
  model_.Sample(batch.obs(), batch.action(), generator, sample);
  return Complete(batch, sample.member);
}

ImaginedStep ModelEnv::StepFrom(const GaussianPrediction& prediction, TransitionBatch& batch,
                                torch::Generator& generator) const {
  ModelSample sample = SampleOf(batch);
  model_.SampleFrom(prediction, batch.obs(), generator, sample);
  return Complete(batch, sample.member);
}

ImaginedStep ModelEnv::Complete(TransitionBatch& batch, const torch::Tensor& member) const {
  const auto bools = batch.rows.options().dtype(torch::kBool);
  ImaginedStep step{.terminated = {}, .finite = torch::empty({batch.size()}, bools), .member = member};
  torch::Tensor env_action;
  if (task_.terminated || !model_.learns_reward()) {
    env_action = bounds_.ToEnvAction(batch.action());
  }
  if (!model_.learns_reward()) {
    batch.reward().copy_(task_.reward(batch.obs(), env_action, batch.next_obs()));
  }
  step.terminated = task_.terminated ? task_.terminated(batch.obs(), env_action, batch.next_obs())
                                     : torch::zeros({batch.size()}, bools);
  FiniteRows(batch.next_obs_reward(), step.finite);
  return step;
}

torch::Tensor MeanNextObs(const DynamicsModel& model, const torch::Tensor& obs, const torch::Tensor& action) {
  return model.DecodeObs(model.Predict(obs, action, Members::kElites).mean.mean(0), obs);
}

Metrics OpenLoopError(const DynamicsModel& model, const TransitionBatch& rows, const std::vector<int64_t>& horizons) {
  const torch::NoGradGuard no_grad;
  Metrics metrics;
  const int64_t count = rows.size();
  if (count < 2) {
    return metrics;
  }
  const torch::Tensor std = rows.obs().std(0, /*unbiased=*/false).clamp_min(1e-6);
  const torch::Tensor ends = torch::logical_or(rows.terminated() > 0, rows.truncated() > 0).to(torch::kInt64);
  const torch::Tensor ended_before = torch::cat({torch::zeros({1}, ends.options()), ends.cumsum(0)});  // [count + 1]
  const int64_t longest = *std::max_element(horizons.begin(), horizons.end());
  torch::Tensor predicted = rows.obs();
  for (int64_t h = 1; h <= std::min(longest, count); ++h) {
    const int64_t starts = count - h + 1;
    predicted = predicted.narrow(0, 0, starts);
    predicted = MeanNextObs(model, predicted, rows.action().narrow(0, h - 1, starts));
    if (std::find(horizons.begin(), horizons.end(), h) != horizons.end()) {
      // A start is whole where no episode ended between its first transition and the one before its last.
      const torch::Tensor whole = ended_before.narrow(0, h - 1, starts) == ended_before.narrow(0, 0, starts);
      const torch::Tensor error = ((predicted - rows.next_obs().narrow(0, h - 1, starts)) / std).square().mean(1);
      const double mean = torch::where(whole, error, torch::zeros_like(error)).sum().div(whole.sum()).item<double>();
      if (!std::isnan(mean)) {
        metrics.Set("open_loop_error_" + std::to_string(h), std::sqrt(mean));
      }
    }
  }
  return metrics;
}

}  // namespace reverie
