// Transitions of Fork-v0, whose distribution is known, and what is asked of a model of them.
#ifndef REVERIE_TESTS_MODELS_FORK_ROWS_H_
#define REVERIE_TESTS_MODELS_FORK_ROWS_H_

#include <memory>

#include "reverie/env/toy/fork.h"
#include "reverie/models/report_card.h"
#include "reverie/policies/uniform_policy.h"
#include "reverie/rollout/collector.h"

namespace reverie {

// Rows of random actions.
inline ReplayBuffer ForkRows(const Fork::Options& options, int64_t rows, uint64_t seed) {
  Collector collector(std::make_unique<Fork>("Fork-v0", options), Rng(seed), torch::kCPU);
  const UniformPolicy policy(collector.spec().act_dim(), torch::kCPU);
  ReplayBuffer buffer(collector.layout(), rows, torch::kCPU);
  for (int64_t i = 0; i < rows; ++i) {
    collector.Step(policy, &buffer);
  }
  return buffer;
}

// In nats of the task's unit; a bound where the model has no more.
inline double NllOf(const DynamicsModel& model, const TransitionBatch& rows) {
  const char* name = model.density_is_bound() ? "nll_bound" : "nll";
  return *ScoreSteps(model, rows, rows).overall.Find(name) + model.target_std().log().mean().item<double>();
}

inline double CorrelationOfChanges(const DynamicsModel& model, const TransitionBatch& rows,
                                   torch::Generator& generator) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor change = model.DecodeObs(torch::zeros_like(rows.obs()), rows.obs()) * -1 +
                               model.Next(rows.obs(), rows.action(), DrawStep(model, rows.size(), generator)).next_obs;
  return torch::corrcoef(change.t())[0][1].item<double>();
}

// 2 E|x - y| - E|x - x'| - E|y - y'| of a model's draws x and the task's y (Szekely and Rizzo 2013), mean over five
// states; in the task's unit. 0 where they are of one distribution, 0.076 of the best Gaussian where n = 1.
inline double EnergyDistance(const DynamicsModel& model, const Fork::Options& options, torch::Generator& generator) {
  const torch::NoGradGuard no_grad;
  const TransitionBatch rows = ForkRows(options, 5, 2).All();
  constexpr int64_t kDraws = 2000;
  constexpr double kOthers = static_cast<double>(kDraws) / (kDraws - 1);  // pairs of one with itself do not count
  double sum = 0;
  for (int64_t row = 0; row < rows.size(); ++row) {
    const torch::Tensor obs = rows.obs()[row].expand({kDraws, -1});
    const torch::Tensor action = rows.action()[row].expand({kDraws, -1});
    const torch::Tensor x = model.Next(obs, action, DrawStep(model, kDraws, generator)).next_obs;
    const torch::Tensor side =
        torch::where(torch::rand({kDraws, 1}, generator) < 0.5, -options.distance, options.distance);
    const torch::Tensor y =
        obs + Fork::kGain * action + side + Fork::kNoise * torch::randn({kDraws, options.dimensions}, generator);
    sum += (2 * torch::cdist(x, y).mean() - kOthers * (torch::cdist(x, x).mean() + torch::cdist(y, y).mean()))
               .item<double>();
  }
  return sum / static_cast<double>(rows.size());
}

}  // namespace reverie

#endif  // REVERIE_TESTS_MODELS_FORK_ROWS_H_
