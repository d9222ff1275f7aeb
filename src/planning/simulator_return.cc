#include "reverie/planning/simulator_return.h"

#include <limits>
#include <stdexcept>

#include "reverie/env/action_bounds.h"

namespace reverie {
namespace {

// Where steps are random; the same ones for all sequences that are compared.
constexpr int64_t kNoiseDraws = 20;

// What `actions` [H, A] earn from that state on, with the noise of that seed.
double ReturnOf(Env& env, std::span<const double> snapshot, const float* actions, int64_t horizon, int64_t seed) {
  const EnvSpec& spec = env.spec();
  const auto act_dim = static_cast<size_t>(spec.act_dim());
  std::vector<double> env_action(act_dim);
  std::vector<double> obs(static_cast<size_t>(spec.obs_dim()));
  env.Restore(snapshot);
  env.Reseed(static_cast<uint64_t>(seed));
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

torch::Tensor SimulatorReturn::Score(std::span<const double> snapshot, const torch::Tensor& actions,
                                     torch::Generator& generator) {
  const torch::Tensor sequences = actions.contiguous();
  const float* numbers = sequences.data_ptr<float>();
  const int64_t horizon = sequences.size(1);
  const bool random = envs_[0]->spec().random_steps;
  const int64_t draws = random ? kNoiseDraws : 1;
  torch::Tensor seeds = torch::zeros({draws}, torch::kInt64);
  if (random) {
    seeds.random_(generator);
  }
  torch::Tensor returns = torch::empty({sequences.size(0), draws}, torch::kFloat64);
  double* to = returns.data_ptr<double>();
  threads_.Run(returns.numel(), [&](int64_t i, int64_t worker) {
    to[i] = ReturnOf(*envs_[static_cast<size_t>(worker)], snapshot, numbers + i / draws * horizon * sequences.size(2),
                     horizon, seeds.data_ptr<int64_t>()[i % draws]);
  });
  return returns.mean(1).to(torch::kFloat32);
}

}  // namespace reverie
