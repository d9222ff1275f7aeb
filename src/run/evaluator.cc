#include "reverie/run/evaluator.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

#include "reverie/core/state.h"
#include "reverie/env/action_bounds.h"

namespace reverie {

double EvalResult::return_mean() const {
  return std::accumulate(returns.begin(), returns.end(), 0.0) / static_cast<double>(returns.size());
}

double EvalResult::return_std() const {
  const double mean = return_mean();
  double squares = 0;
  for (const double r : returns) {
    squares += (r - mean) * (r - mean);
  }
  return std::sqrt(squares / static_cast<double>(returns.size()));
}

double EvalResult::return_min() const { return *std::min_element(returns.begin(), returns.end()); }
double EvalResult::return_max() const { return *std::max_element(returns.begin(), returns.end()); }

double EvalResult::length_mean() const {
  return static_cast<double>(std::accumulate(lengths.begin(), lengths.end(), int64_t{0})) /
         static_cast<double>(lengths.size());
}

Evaluator::Evaluator(const EnvMaker& maker, int64_t episodes, int64_t time_limit) : episodes_(episodes) {
  if (episodes < 1 || time_limit < 1) {
    throw std::logic_error("an evaluation of " + std::to_string(episodes) + " episodes of at most " +
                           std::to_string(time_limit) + " steps; expected at least 1 of each");
  }
  for (int64_t i = 0; i < std::min(episodes, kMaxBatch); ++i) {
    envs_.push_back(maker.make());
  }
  const int64_t own_limit = envs_[0]->time_limit();
  time_limit_ = own_limit > 0 ? own_limit : time_limit;
}

EvalResult Evaluator::Run(const Policy& policy, const Rng& rng) {
  return Run(policy, rng, [] { return false; }).value();
}

std::optional<EvalResult> Evaluator::Run(const Policy& policy, const Rng& rng, const std::function<bool()>& stop) {
  return Play({}, policy, rng, stop);
}

EvalResult Evaluator::RunFrom(std::span<const double> state, const Policy& policy, const Rng& rng) {
  return Play(state, policy, rng, [] { return false; }).value();
}

std::optional<EvalResult> Evaluator::Play(std::span<const double> state, const Policy& policy, const Rng& rng,
                                          const std::function<bool()>& stop) {
  const EnvSpec& spec = envs_[0]->spec();
  const auto obs_dim = static_cast<size_t>(spec.obs_dim());
  const auto act_dim = static_cast<size_t>(spec.act_dim());
  const auto episodes = static_cast<size_t>(episodes_);
  torch::Generator generator = MakeGenerator(rng.Split("policy"), policy.device());
  const std::unique_ptr<PolicyMemory> memory = policy.NewMemory(static_cast<int64_t>(envs_.size()));
  std::vector<double> env_action(act_dim);
  EvalResult result{.returns = std::vector<double>(episodes), .lengths = std::vector<int64_t>(episodes)};

  for (size_t first = 0; first < episodes; first += envs_.size()) {
    const size_t batch = std::min(envs_.size(), episodes - first);
    std::vector<std::vector<double>> obs(batch, std::vector<double>(obs_dim));
    std::vector<int64_t> running(batch);
    std::iota(running.begin(), running.end(), int64_t{0});
    if (memory) {
      memory->Reset(running);
    }
    for (size_t i = 0; i < batch; ++i) {
      RandomEngine engine = rng.Split(first + i).Engine();
      envs_[i]->ResetInTurn(first + i, engine, obs[i]);
      if (!state.empty()) {
        envs_[i]->SetState(state, obs[i]);
      }
    }
    while (!running.empty()) {
      if (stop()) {
        return std::nullopt;
      }
      torch::Tensor rows = torch::empty({static_cast<int64_t>(running.size()), spec.obs_dim()}, torch::kFloat32);
      float* to = rows.data_ptr<float>();
      std::vector<const Env*> envs;
      for (const int64_t row : running) {
        const auto i = static_cast<size_t>(row);
        envs.push_back(envs_[i].get());
        to = std::transform(obs[i].begin(), obs[i].end(), to, [](double x) { return static_cast<float>(x); });
      }
      const ActInput input{.obs = rows.to(policy.device()), .rows = running, .envs = envs};
      const torch::Tensor action =
          policy.Act(input, memory.get(), ActMode::kMean, generator).to(torch::kCPU).contiguous();
      if (!torch::isfinite(action).all().item<bool>()) {
        throw std::runtime_error("evaluation in " + spec.id + ": the policy's action is not finite");
      }
      if (action.sizes() != torch::IntArrayRef{static_cast<int64_t>(running.size()), spec.act_dim()}) {
        throw std::logic_error("evaluation in " + spec.id + ": the policy's actions have the wrong shape");
      }
      const std::span<const float> actions(action.data_ptr<float>(), running.size() * act_dim);
      std::vector<int64_t> still_running;
      for (size_t row = 0; row < running.size(); ++row) {
        const auto i = static_cast<size_t>(running[row]);
        ToEnvAction(spec, actions.subspan(row * act_dim, act_dim), env_action);
        const StepResult step = envs_[i]->Step(env_action, obs[i]);
        result.returns[first + i] += step.reward;
        ++result.lengths[first + i];
        if (!step.terminated && !step.truncated && envs_[i]->elapsed_steps() < time_limit_) {
          still_running.push_back(running[row]);
        }
      }
      running = std::move(still_running);
    }
  }
  if (memory) {
    memory->DrainMetrics();  // for what it says in the log
  }
  return result;
}

EvalResult Evaluate(const Policy& policy, const EnvMaker& maker, const Rng& rng, int64_t episodes, int64_t time_limit) {
  return Evaluator(maker, episodes, time_limit).Run(policy, rng);
}

}  // namespace reverie
