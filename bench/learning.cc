// The hot path of learning, at HalfCheetah-v5's sizes: on the CPU with one and with two threads, and on a GPU where
// there is one.
#include <benchmark/benchmark.h>
#include <torch/cuda.h>

#include <functional>
#include <memory>
#include <string>

#include "reverie/config/reader.h"
#include "reverie/core/repeated_work.h"
#include "reverie/data/replay_buffer.h"
#include "reverie/env/registry.h"
#include "reverie/learners/sac_learner.h"
#include "reverie/learners/value_gradient_learner.h"
#include "reverie/models/gaussian_ensemble.h"
#include "reverie/models/homoscedastic_ensemble.h"
#include "reverie/models/model_env.h"
#include "reverie/models/registry.h"
#include "reverie/rollout/branched_rollout.h"
#include "reverie/run/device.h"

namespace reverie {
namespace {

constexpr TransitionLayout kLayout{.obs_dim = 17, .act_dim = 6};

ReplayBuffer FilledBuffer(int64_t rows, const torch::Device& device) {
  TransitionBatch batch = TransitionBatch::Empty(kLayout, rows, device);
  torch::Generator generator = MakeGenerator(Rng(0).Split("bench"), device);
  batch.rows.normal_(0, 1, generator);
  batch.action().tanh_();
  batch.terminated().zero_();
  batch.truncated().zero_();
  batch.log_weight().zero_();
  ReplayBuffer buffer(kLayout, rows, device);
  buffer.Add(batch);
  return buffer;
}

void WaitFor(const torch::Device& device) {
  if (device.is_cuda()) {
    torch::cuda::synchronize();
  }
}

// Everything included: sampling, targets, both networks' Adam, alpha, target update. Items are updates.
void SacUpdate(benchmark::State& state, const torch::Device& device) {
  constexpr int64_t kUpdates = 20;
  const ReplayBuffer buffer = FilledBuffer(10'000, device);
  MixedSampler sampler(buffer);
  SacLearner learner({}, kLayout, Rng(0), device);
  learner.Update(sampler, kUpdates);
  for (auto _ : state) {
    learner.Update(sampler, kUpdates);
  }
  state.SetItemsProcessed(state.iterations() * kUpdates);
}

// Loss, backward, decay, Adam of 7 x 256 rows. Items are minibatches.
void EnsembleMinibatch(benchmark::State& state, const torch::Device& device) {
  constexpr int64_t kMinibatches = 20;
  const torch::NoGradGuard no_grad;
  const GaussianEnsembleConfig config;
  GaussianEnsemble ensemble(config, {.layout = kLayout, .learn_reward = true}, Rng(0), device);
  const auto options = torch::device(device);
  const torch::Tensor inputs = torch::randn({config.members, config.batch_size, 23}, options);
  const torch::Tensor targets = torch::randn({config.members, config.batch_size, 18}, options);
  RepeatedWork minibatch("a minibatch", device);
  const auto run = [&] {
    for (int64_t i = 0; i < kMinibatches; ++i) {
      minibatch.Run({}, [&] {
        ensemble.ComputeGradients(inputs, targets);
        ensemble.ApplyGradients();
      });
    }
    WaitFor(device);
  };
  run();
  for (auto _ : state) {
    run();
  }
  state.SetItemsProcessed(state.iterations() * kMinibatches);
}

// One step of 100,000 rows: start states, policy, one drawn elite a row, sample, termination, store. Items are rows.
void ImaginedStep(benchmark::State& state, const torch::Device& device) {
  const EnvMaker maker = BuiltinEnvs().Find("HalfCheetah-v5").maker();
  const EnvSpec spec = maker.make()->spec();
  const RolloutConfig config;
  const ReplayBuffer real = FilledBuffer(10'000, device);
  ReplayBuffer model_buffer(kLayout, config.start_states, device);
  GaussianEnsembleConfig ensemble_config;
  ensemble_config.holdout.max_epochs = 1;
  GaussianEnsemble ensemble(ensemble_config, {.layout = kLayout, .learn_reward = true}, Rng(0), device);
  ensemble.Fit(real, Rng(0));
  const ModelEnv model_env(ensemble, maker.task_functions(), spec, device);
  GaussianActor actor(kLayout.obs_dim, kLayout.act_dim, {.hidden = {256, 256}}, Rng(0), device);
  BranchedRollout rollout(config, {}, /*rollouts_per_epoch=*/1, Rng(0), device);
  const auto run = [&] {
    rollout.Run(/*epoch=*/0, real, model_env, actor, &model_buffer);
    WaitFor(device);
  };
  run();
  run();
  for (auto _ : state) {
    run();
  }
  state.SetItemsProcessed(state.iterations() * config.start_states);
}

// Steps of every kind of model alone, with five hypotheses and the defaults of the kind, but for networks of the
// ensemble's size where they are of its form. Items are rows.
struct KindCase {
  const char* name;
  const char* options;
};
constexpr KindCase kKinds[] = {
    {"ensemble", "{members: 5, elites: 5, max_epochs: 1}"},
    {"homoscedastic", "{members: 5, patience: 1}"},
    {"dropout", "{draws: 5, hidden: [200, 200, 200, 200], max_epochs: 1}"},
    {"bnn", "{draws: 5, hidden: [200, 200, 200, 200], max_epochs: 1}"},
    {"mdn", "{members: 5, hidden: [200, 200, 200, 200], weight_decay: [0, 0, 0, 0, 0], max_epochs: 1}"},
    {"gp", "{draws: 5, iterations: 1, restarts: 0}"},
    {"flow", "{members: 5, max_epochs: 1}"},
    {"diffusion", "{members: 5, max_epochs: 1}"},
    {"vae", "{members: 5, max_epochs: 1}"},
    {"gan", "{members: 5, max_epochs: 1}"},
};

void KindStep(benchmark::State& state, const torch::Device& device, const KindCase& kind) {
  for (const Kind<ModelMaker>& known : LearnedModels({})) {
    if (known.name == kind.name) {
      ModelMaker maker = known.maker();
      ConfigDocument::FromText(kind.options, kind.name).ReadInto(maker.options());
      const std::unique_ptr<DynamicsModel> model =
          maker.make({.layout = kLayout, .learn_reward = true}, Rng(0), device);
      model->Fit(FilledBuffer(1000, device), Rng(0));
      const torch::NoGradGuard no_grad;
      constexpr int64_t kRows = 4096;
      const TransitionBatch rows = FilledBuffer(kRows, device).All();
      const auto options = torch::device(device);
      ModelSample next{.next_obs = torch::empty({kRows, kLayout.obs_dim}, options),
                       .reward = torch::empty({kRows}, options),
                       .hypothesis = torch::empty({kRows}, options.dtype(torch::kInt64))};
      torch::Generator generator = MakeGenerator(Rng(0), device);
      for (auto _ : state) {
        model->Step(rows.obs(), rows.action(), DrawStep(*model, kRows, generator), next);
        WaitFor(device);
      }
      state.SetItemsProcessed(state.iterations() * kRows);
    }
  }
}

// One epoch over 50,000 real rows, an MBPO fit's share: gathers, minibatches, hold-out error. Items are rows of a
// member.
void EnsembleEpoch(benchmark::State& state, const torch::Device& device) {
  constexpr int64_t kRows = 50'000;
  const ReplayBuffer real = FilledBuffer(kRows, device);
  GaussianEnsembleConfig config;
  config.holdout.max_epochs = 1;
  GaussianEnsemble ensemble(config, {.layout = kLayout, .learn_reward = true}, Rng(0), device);
  ensemble.Fit(real, Rng(0));
  uint64_t fit = 0;
  for (auto _ : state) {
    ensemble.Fit(real, Rng(++fit));
  }
  state.SetItemsProcessed(state.iterations() * kRows);
}

// Everything included: noise, five imagined steps forwards and backwards, critics, actor, alpha. Hopper-v5's sizes, as
// are those of the next one. Items are updates.
void ValueGradientUpdate(benchmark::State& state, const torch::Device& device) {
  constexpr int64_t kUpdates = 5;
  const EnvMaker maker = BuiltinEnvs().Find("Hopper-v5").maker();
  const EnvSpec spec = maker.make()->spec();
  const TransitionLayout layout{.obs_dim = spec.obs_dim(), .act_dim = spec.act_dim()};
  const HomoscedasticEnsemble model({}, {.layout = layout, .learn_reward = true}, Rng(0), device);
  const ModelEnv model_env(model, maker.task_functions(), spec, device);
  ValueGradientLearner learner({}, layout, Rng(0), device);
  const torch::Tensor states = torch::randn({10'000, layout.obs_dim}, torch::device(device));
  const auto starts = [&](TransitionBatch& rows, torch::Generator& generator) {
    const auto options = torch::TensorOptions().dtype(torch::kInt64).device(device);
    rows.obs().copy_(states.index_select(0, torch::randint(states.size(0), {rows.size()}, generator, options)));
  };
  learner.Update(starts, &model_env, kUpdates);
  for (auto _ : state) {
    learner.Update(starts, &model_env, kUpdates);
  }
  state.SetItemsProcessed(state.iterations() * kUpdates);
}

// Loss, backward, decay, Adam of 2048 rows that all eight members see. Items are minibatches.
void HomoscedasticMinibatch(benchmark::State& state, const torch::Device& device) {
  constexpr int64_t kMinibatches = 2;
  const torch::NoGradGuard no_grad;
  const HomoscedasticEnsembleConfig config;
  const TransitionLayout layout{.obs_dim = 11, .act_dim = 3};
  HomoscedasticEnsemble model(config, {.layout = layout, .learn_reward = true}, Rng(0), device);
  const auto options = torch::device(device);
  const torch::Tensor inputs = torch::randn({config.batch_size, 14}, options);
  const torch::Tensor targets = torch::randn({config.batch_size, 12}, options);
  const torch::Tensor weights = torch::ones({config.batch_size, config.members}, options);
  RepeatedWork minibatch("a minibatch", device);
  const auto run = [&] {
    for (int64_t i = 0; i < kMinibatches; ++i) {
      minibatch.Run({}, [&] {
        model.ComputeGradients(inputs, targets, weights);
        model.ApplyGradients();
      });
    }
    WaitFor(device);
  };
  run();
  for (auto _ : state) {
    run();
  }
  state.SetItemsProcessed(state.iterations() * kMinibatches);
}

void Register(const std::string& name, const std::function<void(benchmark::State&, const torch::Device&)>& function) {
  for (const int64_t threads : {1, 2}) {
    benchmark::RegisterBenchmark((name + "/threads:" + std::to_string(threads)).c_str(),
                                 [=](benchmark::State& state) {
                                   UseThreads(threads);
                                   function(state, torch::kCPU);
                                 })
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  }
  if (torch::cuda::device_count() > 0) {
    benchmark::RegisterBenchmark((name + "/cuda").c_str(),
                                 [=](benchmark::State& state) { function(state, torch::Device(torch::kCUDA, 0)); })
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  }
}

const bool kRegistered = [] {
  Register("SacUpdate", SacUpdate);
  Register("EnsembleMinibatch", EnsembleMinibatch);
  Register("EnsembleEpoch", EnsembleEpoch);
  Register("ImaginedStep", ImaginedStep);
  for (const KindCase& kind : kKinds) {
    Register(std::string("KindStep/") + kind.name,
             [&kind](benchmark::State& state, const torch::Device& device) { KindStep(state, device, kind); });
  }
  Register("ValueGradientUpdate", ValueGradientUpdate);
  Register("HomoscedasticMinibatch", HomoscedasticMinibatch);
  return true;
}();

}  // namespace
}  // namespace reverie
