#include "reverie/models/model_env.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "imagination.h"
#include "nn/safe_sqrt.h"
#include "reverie/data/column_statistics.h"

namespace reverie {
namespace {

// x moved to that value, with its own derivatives.
torch::Tensor Anchored(const torch::Tensor& value, const torch::Tensor& x) { return value + (x - x.detach()); }

}  // namespace

std::vector<std::pair<std::string, ModelReward>> EnumNames(ModelReward) {
  return {{"auto", ModelReward::kAuto}, {"learned", ModelReward::kLearned}, {"known", ModelReward::kKnown}};
}

std::string RewardMisfit(ModelReward reward, const std::string& env_id, const TaskFunctions& task) {
  const bool unknown = reward == ModelReward::kKnown && !task.reward;
  return unknown ? "reward: known, but the observations of " + env_id + " do not determine its reward" : "";
}

bool RewardHasDerivatives(const EnvMaker& maker) {
  const torch::AutoGradMode with_gradients(true);
  const EnvSpec spec = maker.make()->spec();
  const auto zeros = [](int64_t columns) { return torch::zeros({1, columns}).requires_grad_(); };
  return maker.task_functions()
      .reward(zeros(spec.obs_dim()), zeros(spec.act_dim()), zeros(spec.obs_dim()))
      .requires_grad();
}

bool LearnsReward(ModelReward reward, const TaskFunctions& task) {
  return reward == ModelReward::kLearned || !task.reward;
}

std::string WhatIsLearned(bool learns_reward, const TaskFunctions& task) {
  return std::string(learns_reward ? "imagined rewards are learned" : "imagined rewards are the task's own") +
         (task.terminated ? ", imagined ends the task's own"
                          : "; the task has no termination function, so imagined trajectories never end and the model "
                            "learns no end");
}

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
          .hypothesis = torch::empty({batch.size()}, batch.rows.options().dtype(torch::kInt64))};
}

ImaginedStep ModelEnv::Step(TransitionBatch& batch, const StepDraws& draws) const {
  return Complete(batch, Move(batch, draws));
}

ImaginedStep ModelEnv::Step(TransitionBatch& batch, torch::Generator& generator) const {
  return Step(batch, DrawStep(model_, batch.size(), generator));
}

torch::Tensor ModelEnv::Move(TransitionBatch& batch, const StepDraws& draws) const {
  ModelSample sample = SampleOf(batch);
  model_.Step(batch.obs(), batch.action(), draws, sample);
  return sample.hypothesis;
}

ImaginedStep ModelEnv::StepFrom(const GaussianPrediction& prediction, TransitionBatch& batch,
                                torch::Generator& generator) const {
  if (!model_.is_gaussian()) {
    return Step(batch, generator);
  }
  ModelSample sample = SampleOf(batch);
  const int64_t rows = batch.size();
  sample.hypothesis.random_(0, model_.hypotheses().size(0), generator);
  const torch::Tensor index = sample.hypothesis.view({1, rows, 1}).expand({1, rows, prediction.mean.size(2)});
  const torch::Tensor mean = prediction.mean.gather(0, index).squeeze(0);
  const torch::Tensor std = SafeSqrt(prediction.var.gather(0, index).squeeze(0));
  const torch::Tensor target = mean + std * torch::randn(mean.sizes(), generator, mean.options());
  sample.next_obs.copy_(model_.DecodeObs(target, batch.obs()));
  if (sample.reward.defined()) {
    sample.reward.copy_(target.select(-1, batch.layout.obs_dim));
  }
  return Complete(batch, sample.hypothesis);
}

ImaginedStep ModelEnv::Complete(TransitionBatch& batch, const torch::Tensor& hypothesis) const {
  const Verdict verdict = Judge(batch.obs(), batch.action(), batch.next_obs());
  if (verdict.reward.defined()) {
    batch.reward().copy_(verdict.reward);
  }
  ImaginedStep step{.terminated = verdict.terminated,
                    .finite = torch::empty({batch.size()}, batch.rows.options().dtype(torch::kBool)),
                    .hypothesis = hypothesis};
  FiniteRows(batch.next_obs_reward(), step.finite);
  return step;
}

ModelEnv::Transition ModelEnv::Next(const torch::Tensor& obs, const torch::Tensor& action,
                                    const StepDraws& draws) const {
  const ModelStep step = model_.Next(obs, action, draws);
  const Verdict verdict = Judge(obs, action, step.next_obs);
  return {.next_obs = step.next_obs,
          .reward = verdict.reward.defined() ? verdict.reward : step.reward,
          .terminated = verdict.terminated};
}

ModelEnv::Transition ModelEnv::NextAlong(const TransitionBatch& real, const torch::Tensor& obs,
                                         const torch::Tensor& action, const StepDraws& draws) const {
  const ModelStep step = model_.Next(obs, action, draws);
  const torch::Tensor next_obs = Anchored(real.next_obs(), step.next_obs);
  const Verdict verdict = Judge(obs, action, next_obs);
  return {.next_obs = next_obs,
          .reward = Anchored(real.reward(), verdict.reward.defined() ? verdict.reward : step.reward),
          .terminated = real.terminated() > 0};
}

ModelEnv::Verdict ModelEnv::Judge(const torch::Tensor& obs, const torch::Tensor& action,
                                  const torch::Tensor& next_obs) const {
  torch::Tensor env_action;
  if (task_.terminated || !model_.learns_reward()) {
    env_action = bounds_.ToEnvAction(action);
  }
  return {.reward = model_.learns_reward() ? torch::Tensor() : task_.reward(obs, env_action, next_obs),
          .terminated =
              task_.terminated ? task_.terminated(obs, env_action, next_obs) : NeverTerminated(obs, action, next_obs)};
}

torch::Tensor MeanNextObs(const DynamicsModel& model, const torch::Tensor& obs, const torch::Tensor& action) {
  const torch::Tensor mean = model.Predict(obs, action, Members::kElites).mean;
  return model.DecodeObs(mean[0] + (mean - mean[0]).mean(0), obs);
}

Metrics OpenLoopError(const DynamicsModel& model, const TransitionBatch& rows, const std::vector<int64_t>& horizons) {
  const torch::NoGradGuard no_grad;
  Metrics metrics;
  const int64_t count = rows.size();
  if (count < 2) {
    return metrics;
  }
  const torch::Tensor unit = ColumnUnits(StatisticsOfColumns(rows.obs()).std);
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
      const torch::Tensor error = ((predicted - rows.next_obs().narrow(0, h - 1, starts)) / unit).square().mean(1);
      const double mean = torch::where(whole, error, torch::zeros_like(error)).sum().div(whole.sum()).item<double>();
      if (!std::isnan(mean)) {
        metrics.Set("open_loop_error_" + std::to_string(h), std::sqrt(mean));
      }
    }
  }
  return metrics;
}

}  // namespace reverie
