#include "reverie/models/model_env.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

namespace reverie {

ModelEnv::ModelEnv(const DynamicsModel& model, TaskFunctions task, const EnvSpec& spec, const torch::Device& device)
    : model_(model),
      task_(std::move(task)),
      bounds_(spec.action_low, spec.action_high, torch::dtype(torch::kFloat32).device(device)) {
  if (!model.learns_reward() && !task_.reward) {
    throw std::logic_error(spec.id + ": the model learns no reward and the task knows none");
  }
}

ImaginedStep ModelEnv::Step(const torch::Tensor& obs, const torch::Tensor& action, torch::Generator& generator) const {
  return Complete(model_.Sample(obs, action, generator), obs, action);
}

ImaginedStep ModelEnv::StepFrom(const GaussianPrediction& prediction, const torch::Tensor& obs,
                                const torch::Tensor& action, torch::Generator& generator) const {
  return Complete(model_.SampleFrom(prediction, obs, generator), obs, action);
}

ImaginedStep ModelEnv::Complete(const ModelSample& sample, const torch::Tensor& obs,
                                const torch::Tensor& action) const {
  ImaginedStep step{.next_obs = sample.next_obs, .reward = sample.reward, .member = sample.member};
  torch::Tensor env_action;
  if (task_.terminated || !model_.learns_reward()) {
    env_action = bounds_.ToEnvAction(action);
  }
  if (!model_.learns_reward()) {
    step.reward = task_.reward(obs, env_action, step.next_obs);
  }
  step.terminated = task_.terminated ? task_.terminated(obs, env_action, step.next_obs)
                                     : torch::zeros({obs.size(0)}, obs.options().dtype(torch::kBool));
  step.finite = torch::isfinite(step.next_obs).all(1).logical_and(torch::isfinite(step.reward));
  return step;
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
    const GaussianPrediction prediction =
        model.Predict(predicted, rows.action().narrow(0, h - 1, starts), Members::kElites);
    predicted = model.DecodeObs(prediction.mean.mean(0), predicted);
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
