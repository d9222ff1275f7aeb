#include "reverie/planning/simulator_return.h"

#include <limits>
#include <stdexcept>

#include "reverie/env/action_bounds.h"

namespace reverie {
namespace {

// What `actions` [H, A] earn from that state on.
double ReturnOf(Env& env, std::span<const double> snapshot, const float* actions, int64_t horizon) {
  const EnvSpec& spec = env.spec();
  const auto act_dim = static_cast<size_t>(spec.act_dim());
  std::vector<double> env_action(act_dim);
  std::vector<double> obs(static_cast<size_t>(spec.obs_dim()));
  env.Restore(snapshot);
  double sum = 0;
  try {
    for (int64_t t = 0; t < horizon; ++t) {
      ToEnvAction(spec, {actions + t * spec.act_dim(), act_dim}, env_action);
      const StepResult step = env.Step(env_action, obs);
      sum += step.reward;
      if (step.terminated) {
        break;
      }
    }
  } catch (const std::runtime_error&) {  // it blew up, or gave a number that is none
    return -std::numeric_limits<double>::infinity();
  }
  return sum;
}

}  // namespace

SimulatorReturn::SimulatorReturn(const EnvMaker& maker, int64_t threads) : threads_(threads) {
  for (int64_t i = 0; i < threads_.size(); ++i) {
    envs_.push_back(maker.make());
  }
}

torch::Tensor SimulatorReturn::Score(std::span<const double> snapshot, const torch::Tensor& actions) {
  const torch::Tensor sequences = actions.contiguous();
  const float* numbers = sequences.data_ptr<float>();
  const int64_t horizon = sequences.size(1);
  torch::Tensor scores = torch::empty({sequences.size(0)});
  float* to = scores.data_ptr<float>();
  threads_.Run(sequences.size(0), [&](int64_t p, int64_t worker) {
    to[p] = static_cast<float>(
        ReturnOf(*envs_[static_cast<size_t>(worker)], snapshot, numbers + p * horizon * sequences.size(2), horizon));
  });
  return scores;
}

}  // namespace reverie
