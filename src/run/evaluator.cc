#include "reverie/run/evaluator.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

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

EvalResult Evaluate(Policy& policy, const EnvMaker& maker, const Rng& rng, int64_t episodes) {
  std::vector<std::unique_ptr<Env>> envs;
  std::vector<std::vector<double>> obs;
  for (int64_t i = 0; i < episodes; ++i) {
    envs.push_back(maker.make());
    if (envs.back()->spec().time_limit <= 0) {
      throw std::invalid_argument(envs.back()->spec().id + " has no time limit: its episodes may never end");
    }
    obs.emplace_back(envs.back()->spec().obs_low.size());
    RandomEngine engine = rng.Split(static_cast<uint64_t>(i)).Engine();
    envs.back()->Reset(engine, obs.back());
  }
  policy.Reset();
  torch::Generator generator = MakeGenerator(rng.Split("policy"), policy.device());

  const EnvSpec& spec = envs.front()->spec();
  std::vector<double> env_action(spec.action_low.size());
  EvalResult result{.returns = std::vector<double>(envs.size()), .lengths = std::vector<int64_t>(envs.size())};
  std::vector<size_t> running(envs.size());
  std::iota(running.begin(), running.end(), size_t{0});
  while (!running.empty()) {
    torch::Tensor batch = torch::empty({static_cast<int64_t>(running.size()), spec.obs_dim()});
    for (size_t row = 0; row < running.size(); ++row) {
      const std::vector<double>& from = obs[running[row]];
      std::copy(from.begin(), from.end(), batch.data_ptr<float>() + row * from.size());
    }
    const torch::Tensor actions =
        policy.Act(batch.to(policy.device()), ActMode::kMean, generator).to(torch::kCPU).contiguous();
    std::vector<size_t> still;
    for (size_t row = 0; row < running.size(); ++row) {
      const size_t i = running[row];
      ToEnvAction(spec, {actions.data_ptr<float>() + row * env_action.size(), env_action.size()}, env_action);
      const StepResult step = envs[i]->Step(env_action, obs[i]);
      result.returns[i] += step.reward;
      ++result.lengths[i];
      if (!step.terminated && !step.truncated) {
        still.push_back(i);
      }
    }
    running = std::move(still);
  }
  return result;
}

}  // namespace reverie
