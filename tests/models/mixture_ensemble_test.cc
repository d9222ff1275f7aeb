#include "reverie/models/mixture_ensemble.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "fork_rows.h"
#include "oracle.h"
#include "reverie/env/toy/fork.h"
#include "reverie/models/gaussian_ensemble.h"
#include "reverie/models/inferred_noise.h"
#include "reverie/models/model_env.h"
#include "reverie/models/report_card.h"
#include "reverie/models/scores.h"
#include "reverie/planning/imagined_return.h"
#include "reverie/policies/uniform_policy.h"
#include "reverie/rollout/collector.h"

namespace reverie {
namespace {

MixtureEnsembleConfig SmallMixtures() {
  return {.members = 2,
          .components = 3,
          .hidden = {32, 32},
          .learning_rate = 3e-3,
          .batch_size = 64,
          .weight_decay = {1e-5, 1e-5, 1e-5}};
}

TEST(MixtureEnsemble, AMinibatchIsPyTorchs) {
  const TransitionLayout layout{.obs_dim = 3, .act_dim = 2};
  MixtureEnsemble model(SmallMixtures(), {.layout = layout, .learn_reward = true}, Rng(1), torch::kCPU);
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  const torch::NoGradGuard no_grad;
  model.parameters().values().add_(0.3 * torch::randn(model.parameters().values().sizes(), generator));
  for (const int64_t rows : {64, 10}) {  // a whole minibatch, and an epoch's last one
    const torch::Tensor inputs = torch::randn({2, rows, 5}, generator);
    const torch::Tensor targets = torch::randn({2, rows, 4}, generator);
    std::vector<std::pair<std::string, torch::Tensor>> dump{
        {"inputs", inputs}, {"targets", targets}, {"components", torch::tensor(3, torch::kInt64)}};
    for (size_t l = 0; l < model.mlp().weights().size(); ++l) {
      dump.emplace_back("before.weight" + std::to_string(l), model.mlp().weights()[l].clone());
      dump.emplace_back("before.bias" + std::to_string(l), model.mlp().biases()[l].clone());
    }
    dump.emplace_back("loss", model.ComputeGradients(inputs, targets));
    for (size_t l = 0; l < model.mlp().weights().size(); ++l) {
      dump.emplace_back("grad.weight" + std::to_string(l), model.mlp().weight_grads()[l].clone());
      dump.emplace_back("grad.bias" + std::to_string(l), model.mlp().bias_grads()[l].clone());
    }
    const TemporaryFolder folder;
    WriteTensors(folder.path() / "step.safetensors", dump);
    EXPECT_EQ(RunPython("models/mixture_oracle.py", folder.path(), "step.safetensors"), 0);
  }
}

// What one hypothesis draws, held against the distribution that it says, each target and the product of both.
TEST(MixtureEnsemble, StepsAreDrawnFromTheMixture) {
  constexpr int64_t kDraws = 40'000;
  const TransitionLayout layout{.obs_dim = 2, .act_dim = 1};
  MixtureEnsembleConfig config = SmallMixtures();
  config.members = 1;
  MixtureEnsemble model(config, {.layout = layout}, Rng(1), torch::kCPU);
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  StateTree state = SaveState(model);
  TensorFile values = state.values();
  values.tensors.at("parameters").add_(0.5 * torch::randn(values.tensors.at("parameters").sizes(), generator));
  StateTree changed(values, {});
  LoadState(changed, model);
  const torch::NoGradGuard no_grad;
  const torch::Tensor obs = torch::tensor({{0.4F, -1.0F}}).expand({kDraws, 2});
  const torch::Tensor action = torch::tensor({{0.7F}}).expand({kDraws, 1});
  const ModelStep step = model.Next(obs, action, DrawStep(model, kDraws, generator));
  const torch::Tensor y = (step.next_obs - obs).to(torch::kFloat64);
  const MixturePrediction said = model.PredictMixture(obs.slice(0, 0, 1), action.slice(0, 0, 1));
  const auto doubles = [](const torch::Tensor& x) { return x[0].to(torch::kFloat64).expand({-1, kDraws, -1}); };
  const GaussianMixtures mixture{.mean = doubles(said.mean),
                                 .std = doubles(said.var.sqrt()),
                                 .log_weight = said.log_weight[0].to(torch::kFloat64).expand({-1, kDraws})};
  EXPECT_GT((said.log_weight.exp() > 0.05).sum().item<int64_t>(), 1) << "more than one component counts";
  const torch::Tensor levels = Cdf(mixture, y);
  for (int64_t d = 0; d < 2; ++d) {
    EXPECT_LT(DistanceFromUniform(levels.select(1, d)), 1.63 / std::sqrt(kDraws)) << "p < 0.01";
  }
  const torch::Tensor weight = said.log_weight[0].select(1, 0).exp().to(torch::kFloat64);
  const torch::Tensor means = said.mean[0].select(1, 0).to(torch::kFloat64);
  const double product = (weight * means.prod(1)).sum().item<double>();  // as the choice is shared
  const torch::Tensor products = y.prod(1);
  EXPECT_NEAR(products.mean().item<double>(), product,
              4 * products.std().item<double>() / std::sqrt(static_cast<double>(kDraws)));
}

TEST(MixtureEnsemble, KnowsTheForkWhereAGaussianCannot) {
  MixtureEnsembleConfig config = SmallMixtures();
  const double of_noise = 0.5 * std::log(2 * std::numbers::pi * std::numbers::e * Fork::kNoise * Fork::kNoise);
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  for (const int64_t n : {1, 2}) {
    const Fork::Options options{.dimensions = n};
    const ReplayBuffer data = ForkRows(options, 5000, 1);
    const TransitionBatch rows = ForkRows(options, 5000, 2).All();
    const ModelSpec spec{.layout = data.layout()};
    MixtureEnsemble mixtures(config, spec, Rng(1), torch::kCPU);
    mixtures.Fit(data, Rng(2));
    const double truth = std::numbers::ln2 / static_cast<double>(n) + of_noise;
    EXPECT_NEAR(NllOf(mixtures, rows), truth, 0.05) << n;
    if (n == 2) {
      EXPECT_NEAR(CorrelationOfChanges(mixtures, rows, generator), 0.25 / (0.25 + 0.0025), 0.02);
    }
    GaussianEnsemble gaussians({.members = 2,
                                .elites = 2,
                                .hidden = {32, 32},
                                .learning_rate = 3e-3,
                                .batch_size = 64,
                                .weight_decay = {1e-5, 1e-5, 1e-5}},
                               spec, Rng(1), torch::kCPU);
    gaussians.Fit(data, Rng(2));
    EXPECT_NEAR(NllOf(gaussians, rows), 0.731, 0.05) << n;
    if (n == 2) {
      EXPECT_NEAR(CorrelationOfChanges(gaussians, rows, generator), 0, 0.1);
    }
  }
}

// What a plan earns from s = 0 in one step: truth never lands in the pit, and the Gaussian of the same moments does so
// with probability 0.16. By steps, by predictions with a measure of uncertainty, and by rollouts with one.
TEST(MixtureEnsemble, ImaginesStepsWhereverTheyAreDrawn) {
  const ReplayBuffer data = ForkRows({}, 5000, 1);
  MixtureEnsemble model(SmallMixtures(), {.layout = data.layout()}, Rng(1), torch::kCPU);
  model.Fit(data, Rng(2));
  const EnvSpec spec = Fork("Fork-v0", {}).spec();
  const ModelEnv model_env(model, Fork::MakeTaskFunctions({}), spec, torch::kCPU);
  const torch::Tensor obs = torch::zeros({1});
  const torch::Tensor plans = torch::zeros({10, 1, 1});
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  for (const Propagation kind : {Propagation::kTs1, Propagation::kTsInf, Propagation::kDs}) {
    for (const UncertaintyUse use : {UncertaintyUse::kNone, UncertaintyUse::kPenalty}) {
      UncertaintyConfig uncertainty;
      uncertainty.use = use;
      uncertainty.coefficient = 0;
      const ImaginedReturn imagined(model_env, {.kind = kind, .particles = 1000}, uncertainty);
      const torch::NoGradGuard no_grad;
      const double mean = imagined.Score(obs, plans, generator).mean().item<double>();
      EXPECT_NEAR(mean, kind == Propagation::kDs ? -0.16 : 0, 0.015) << static_cast<int>(kind);
    }
  }
  const torch::NoGradGuard no_grad;
  TransitionBatch step = TransitionBatch::Empty(data.layout(), 10'000, torch::kCPU);
  step.rows.zero_();
  const GaussianPrediction moments = model.Predict(step.obs(), step.action(), Members::kElites);
  model_env.StepFrom(moments, step, generator);
  EXPECT_NEAR(step.reward().mean().item<double>(), 0, 0.015);
  EXPECT_NEAR(step.next_obs().abs().mean().item<double>(), 0.5, 0.02);
  EXPECT_THROW(InferNoise(model, step, torch::arange(10'000)), std::logic_error);
}

}  // namespace
}  // namespace reverie
