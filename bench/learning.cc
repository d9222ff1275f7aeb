// The hot path of learning, at HalfCheetah-v5's sizes.
#include <benchmark/benchmark.h>

#include "reverie/data/replay_buffer.h"
#include "reverie/env/registry.h"
#include "reverie/learners/sac_learner.h"
#include "reverie/models/gaussian_ensemble.h"
#include "reverie/models/model_env.h"
#include "reverie/rollout/branched_rollout.h"
#include "reverie/run/device.h"

namespace reverie {
namespace {

constexpr TransitionLayout kLayout{.obs_dim = 17, .act_dim = 6};

ReplayBuffer FilledBuffer(int64_t rows) {
  TransitionBatch batch = TransitionBatch::Empty(kLayout, rows, torch::kCPU);
  torch::Generator generator = MakeGenerator(Rng(0).Split("bench"), torch::kCPU);
  batch.rows.normal_(0, 1, generator);
  batch.action().tanh_();
  batch.terminated().zero_();
  batch.truncated().zero_();
  batch.log_weight().zero_();
  ReplayBuffer buffer(kLayout, rows, torch::kCPU);
  buffer.Add(batch);
  return buffer;
}

// Everything included: sampling, targets, both networks' Adam, alpha, target update. Items are updates.
void SacUpdate(benchmark::State& state) {
  constexpr int64_t kUpdates = 20;
  UseThreads(state.range(0));
  const ReplayBuffer buffer = FilledBuffer(10'000);
  MixedSampler sampler(buffer);
  SacLearner learner({}, kLayout, Rng(0), torch::kCPU);
  learner.Update(sampler, kUpdates);
  for (auto _ : state) {
    learner.Update(sampler, kUpdates);
  }
  state.SetItemsProcessed(state.iterations() * kUpdates);
}
BENCHMARK(SacUpdate)->ArgName("threads")->Arg(1)->Arg(2)->Unit(benchmark::kMillisecond)->UseRealTime();

// Loss, backward, decay, Adam of 7 x 256 rows. Items are minibatches.
void EnsembleMinibatch(benchmark::State& state) {
  UseThreads(state.range(0));
  const torch::NoGradGuard no_grad;
  const GaussianEnsembleConfig config;
  GaussianEnsemble ensemble(config, kLayout, /*learn_reward=*/true, Rng(0), torch::kCPU);
  const torch::Tensor inputs = torch::randn({config.members, config.batch_size, kLayout.obs_dim + kLayout.act_dim});
  const torch::Tensor targets = torch::randn({config.members, config.batch_size, kLayout.obs_dim + 1});
  for (auto _ : state) {
    ensemble.ComputeGradients(inputs, targets);
    ensemble.ApplyGradients();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(EnsembleMinibatch)->ArgName("threads")->Arg(1)->Arg(2)->Unit(benchmark::kMillisecond)->UseRealTime();

// One step of 100,000 rows: start states, policy, one drawn elite a row, sample, termination, store. Items are rows.
void ImaginedStep(benchmark::State& state) {
  UseThreads(state.range(0));
  const EnvMaker maker = BuiltinEnvs().Find("HalfCheetah-v5").maker();
  const EnvSpec spec = maker.make()->spec();
  const RolloutConfig config;
  ReplayBuffer real = FilledBuffer(10'000);
  ReplayBuffer model_buffer(kLayout, config.start_states, torch::kCPU);
  GaussianEnsembleConfig ensemble_config;
  ensemble_config.max_epochs = 1;
  GaussianEnsemble ensemble(ensemble_config, kLayout, /*learn_reward=*/true, Rng(0), torch::kCPU);
  ensemble.Fit(real, Rng(0));
  const ModelEnv model_env(ensemble, maker.task_functions(), spec, torch::kCPU);
  GaussianActor actor(kLayout.obs_dim, kLayout.act_dim, {256, 256}, Rng(0), torch::kCPU);
  BranchedRollout rollout(config, {}, Rng(0), torch::kCPU);
  rollout.Run(1, real, model_env, actor, &model_buffer);
  for (auto _ : state) {
    rollout.Run(1, real, model_env, actor, &model_buffer);
  }
  state.SetItemsProcessed(state.iterations() * config.start_states);
}
BENCHMARK(ImaginedStep)->ArgName("threads")->Arg(1)->Arg(2)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace reverie
