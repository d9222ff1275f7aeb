// The norm of the actor's gradient through H imagined steps, for models and critics with and without layer
// normalisation: what backpropagation through a model runs into as the horizon grows.
//
// usage: reverie_gradient_norms [ENV [ROWS [UPDATES [SEED [PATIENCE]]]]]
//
// On rows of random actions in ENV (HalfCheetah-v5, 5,000 of them) it fits DHMBPO's model (with model.patience
// PATIENCE, 50), and updates DHMBPO's learner UPDATES (1,000) times from the states of those rows. Then it takes that
// learner as it is, with every horizon, and prints the gradient's norm for each of 50 batches, but no more than
// UPDATES, as CSV. Some 20 minutes on a core.
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "core/kept_memory.h"
#include "reverie/core/log.h"
#include "reverie/env/registry.h"
#include "reverie/learners/value_gradient_learner.h"
#include "reverie/models/homoscedastic_ensemble.h"
#include "reverie/policies/uniform_policy.h"
#include "reverie/rollout/collector.h"

namespace reverie {
namespace {

constexpr int64_t kBatches = 50;
constexpr int64_t kTrainedHorizon = 5;

struct Study {
  std::string env = "HalfCheetah-v5";
  int64_t rows = 5000;
  int64_t updates = 1000;
  uint64_t seed = 0;
  double patience = 50;
};

ValueGradientConfig LearnerConfig(bool layer_norm, int64_t horizon) {
  ValueGradientConfig config;
  config.horizon = horizon;
  config.critics.layer_norm = layer_norm;
  return config;
}

void Measure(const Study& study, const EnvMaker& maker, const ReplayBuffer& real, const EnvSpec& spec,
             bool layer_norm) {
  const Rng rng(study.seed);
  const TransitionLayout layout = real.layout();
  HomoscedasticEnsembleConfig model_config;
  model_config.layer_norm = layer_norm;
  model_config.patience = study.patience;
  HomoscedasticEnsemble model(model_config, {.layout = layout, .learn_reward = true}, rng.Split("model"), torch::kCPU);
  model.Fit(real, rng.Split("fit"));
  const ModelEnv model_env(model, maker.task_functions(), spec, torch::kCPU);
  const auto starts = [&real](TransitionBatch& rows, torch::Generator& generator) {
    rows.rows.copy_(
        real.All().rows.index_select(0, torch::randint(real.size(), {rows.size()}, generator, torch::kInt64)));
  };
  ValueGradientLearner trained(LearnerConfig(layer_norm, kTrainedHorizon), layout, rng.Split("learner"), torch::kCPU);
  trained.FitNormalizer(real.All().obs());
  trained.Update(starts, &model_env, study.updates);
  StateTree state = SaveState(trained);

  for (const int64_t horizon : {1, 2, 4, 8, 16}) {
    ValueGradientLearner learner(LearnerConfig(layer_norm, horizon), layout, rng.Split("learner"), torch::kCPU);
    StateTree copy = state;
    LoadState(copy, learner);
    torch::Generator generator = MakeGenerator(rng.Split("batches"), torch::kCPU);
    TransitionBatch batch = TransitionBatch::Empty(layout, ValueGradientConfig().batch_size, torch::kCPU);
    for (int64_t i = 0; i < std::min(kBatches, study.updates); ++i) {
      starts(batch, generator);
      const ValueGradientLearner::Draws draws = learner.DrawNoise(&model, batch.size());
      const torch::Tensor loss = learner.ActorLoss(learner.Roll(batch.obs(), &model_env, draws), nullptr);
      BackPropagate(loss, {&learner.actor().parameters()}, learner.actor().leaves());
      std::printf("%s,%d,%ld,%ld,%.9g\n", study.env.c_str(), layer_norm ? 1 : 0, static_cast<long>(horizon),
                  static_cast<long>(i), learner.actor().parameters().grads().norm().item<double>());
    }
    std::fflush(stdout);
  }
}

void Run(const Study& study) {
  const EnvMaker maker = BuiltinEnvs().Find(study.env).maker();
  Collector collector(maker.make(), Rng(study.seed).Split("collector"), torch::kCPU);
  ReplayBuffer real(collector.layout(), study.rows, torch::kCPU);
  const UniformPolicy random(collector.spec().act_dim(), torch::kCPU);
  for (int64_t i = 0; i < study.rows; ++i) {
    collector.Step(random, &real);
  }
  std::printf("env,layer_norm,horizon,batch,actor_grad_norm\n");
  for (const bool layer_norm : {true, false}) {
    Measure(study, maker, real, collector.spec(), layer_norm);
  }
}

}  // namespace
}  // namespace reverie

int main(int argc, char** argv) {
  reverie::KeepFreedMemory();
  reverie::SetConsoleLevel(reverie::LogLevel::kWarning);
  at::set_num_threads(1);
  reverie::Study study;
  study.env = argc > 1 ? argv[1] : study.env;
  study.rows = argc > 2 ? std::atoll(argv[2]) : study.rows;
  study.updates = argc > 3 ? std::atoll(argv[3]) : study.updates;
  study.seed = argc > 4 ? static_cast<uint64_t>(std::atoll(argv[4])) : study.seed;
  study.patience = argc > 5 ? std::atof(argv[5]) : study.patience;
  try {
    reverie::Run(study);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
  return 0;
}
