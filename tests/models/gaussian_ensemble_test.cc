#include "reverie/models/gaussian_ensemble.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/optim/adam.h>

#include <cmath>
#include <limits>
#include <memory>

#include "oracle.h"
#include "reverie/models/inferred_noise.h"
#include "reverie/models/model_env.h"

namespace reverie {
namespace {

const TransitionLayout kLayout{.obs_dim = 3, .act_dim = 2};

// next_obs = obs + 0.1 [a0, a1, obs0] + noise, reward = obs1 + noise.
ReplayBuffer LinearData(int64_t rows, double noise) {
  torch::Generator generator = MakeGenerator(Rng(11), torch::kCPU);
  TransitionBatch batch = TransitionBatch::Empty(kLayout, rows, torch::kCPU);
  batch.rows.zero_();
  batch.obs().normal_(0, 1, generator).select(1, 2).mul_(50).add_(20);
  batch.action().uniform_(-1, 1, generator);
  const torch::Tensor delta =
      torch::stack({batch.action().select(1, 0), batch.action().select(1, 1), batch.obs().select(1, 0)}, 1);
  batch.next_obs().copy_(batch.obs() + 0.1 * delta + noise * torch::randn({rows, 3}, generator));
  batch.reward().copy_(batch.obs().select(1, 1) + noise * torch::randn({rows}, generator));
  ReplayBuffer buffer(kLayout, rows, torch::kCPU);
  buffer.Add(batch);
  return buffer;
}

ModelSample EmptySample(int64_t rows, bool with_reward) {
  return {.next_obs = torch::empty({rows, kLayout.obs_dim}),
          .reward = with_reward ? torch::empty({rows}) : torch::Tensor(),
          .hypothesis = torch::empty({rows}, torch::kInt64)};
}

GaussianEnsembleConfig SmallConfig() {
  return {.members = 4,
          .elites = 2,
          .hidden = {32, 32},
          .learning_rate = 3e-3,
          .batch_size = 64,
          .weight_decay = {1e-5, 2e-5, 3e-5},
          .holdout = {.max_epochs = 15}};
}

TEST(GaussianEnsemble, AMinibatchIsPyTorchs) {
  const TemporaryFolder folder;
  GaussianEnsembleConfig config = SmallConfig();
  config.weight_decay = {1e-2, 2e-2, 3e-2};  // large enough to be seen in the gradients
  GaussianEnsemble model(config, {.layout = kLayout, .learn_reward = true}, Rng(1), torch::kCPU);
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  const torch::NoGradGuard no_grad;
  model.parameters().values().add_(0.3 * torch::randn(model.parameters().values().sizes(), generator));
  for (int step = 0; step < 2; ++step) {
    const int64_t rows = step == 0 ? 64 : 10;  // a whole minibatch, and an epoch's last one
    const torch::Tensor inputs = torch::randn({4, rows, 5}, generator);
    const torch::Tensor targets = torch::randn({4, rows, 4}, generator);
    std::vector<std::pair<std::string, torch::Tensor>> dump{{"inputs", inputs}, {"targets", targets}};
    const auto append = [&](const std::string& prefix, bool grads) {
      for (size_t l = 0; l < model.mlp().weights().size(); ++l) {
        const std::string index = std::to_string(l);
        dump.emplace_back(prefix + "weight" + index,
                          (grads ? model.mlp().weight_grads() : model.mlp().weights())[l].clone());
        dump.emplace_back(prefix + "bias" + index,
                          (grads ? model.mlp().bias_grads() : model.mlp().biases())[l].clone());
      }
    };
    append("before.", false);
    dump.emplace_back("before.max", model.max_log_var().clone());
    dump.emplace_back("before.min", model.min_log_var().clone());
    dump.emplace_back("loss", model.ComputeGradients(inputs, targets));
    append("grad.", true);
    const torch::Tensor bounds = model.parameters().grads().slice(0, -8);
    dump.emplace_back("grad.max", bounds.slice(0, 0, 4).clone().view({1, 4}));
    dump.emplace_back("grad.min", bounds.slice(0, 4, 8).clone().view({1, 4}));
    model.ApplyGradients();
    append("after.", false);
    dump.emplace_back("after.max", model.max_log_var().clone());
    dump.emplace_back("after.min", model.min_log_var().clone());
    WriteTensors(folder.path() / ("step" + std::to_string(step) + ".safetensors"), dump);
  }
  EXPECT_EQ(RunPython("models/ensemble_oracle.py", folder.path(), "step0.safetensors step1.safetensors"), 0);
}

TEST(GaussianEnsemble, AHundredMinibatchesStayWithAutogradsTwin) {
  GaussianEnsembleConfig config = SmallConfig();
  config.weight_decay = {1e-2, 2e-2, 3e-2};
  GaussianEnsemble model(config, {.layout = kLayout, .learn_reward = true}, Rng(1), torch::kCPU);
  const torch::Tensor start = model.parameters().values().clone();
  std::vector<torch::Tensor> weights, biases;
  std::vector<torch::optim::OptimizerParamGroup> groups;
  const auto follow = [&](const torch::Tensor& value, double decay) {
    torch::Tensor leaf = value.detach().clone().requires_grad_();
    auto options = std::make_unique<torch::optim::AdamOptions>(config.learning_rate);
    options->weight_decay(decay);
    groups.emplace_back(std::vector<torch::Tensor>{leaf}, std::move(options));
    return leaf;
  };
  for (size_t l = 0; l < model.mlp().weights().size(); ++l) {
    weights.push_back(follow(model.mlp().weights()[l], config.weight_decay[l]));
    biases.push_back(follow(model.mlp().biases()[l], 0));
  }
  const torch::Tensor l_max = follow(model.max_log_var(), 0);
  const torch::Tensor l_min = follow(model.min_log_var(), 0);
  torch::optim::Adam adam(groups, torch::optim::AdamOptions(config.learning_rate));

  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  for (int step = 0; step < 100; ++step) {
    const torch::Tensor inputs = torch::randn({4, 64, 5}, generator);
    const torch::Tensor targets = inputs.slice(2, 0, 4) * 0.5 + 0.1 * torch::randn({4, 64, 4}, generator);
    {
      const torch::NoGradGuard no_grad;
      model.ComputeGradients(inputs, targets);
      model.ApplyGradients();
    }
    const torch::Tensor output = MlpForward(inputs, weights, biases, Activation::kSilu);
    const torch::Tensor t = l_max - torch::softplus(l_max - output.slice(2, 4));
    const torch::Tensor log_var = l_min + torch::softplus(t - l_min);
    const torch::Tensor square = (output.slice(2, 0, 4) - targets).square();
    adam.zero_grad();
    ((square * torch::exp(-log_var) + log_var).mean(at::IntArrayRef{1, 2}).sum() + 0.01 * (l_max.sum() - l_min.sum()))
        .backward();
    adam.step();
  }
  std::vector<torch::Tensor> twin;
  for (size_t l = 0; l < weights.size(); ++l) {
    twin.push_back(weights[l].detach().flatten());
    twin.push_back(biases[l].detach().flatten());
  }
  twin.push_back(l_max.detach().flatten());
  twin.push_back(l_min.detach().flatten());
  const torch::Tensor theirs = torch::cat(twin);
  EXPECT_LT((model.parameters().values() - theirs).norm().item<double>(),
            0.01 * (theirs - start).norm().item<double>());
}

// Its loss is the members' mean square errors: gradients against autograd on the layers written out.
TEST(GaussianEnsemble, ADeterministicOnesGradientsAreThoseOfTheSquareError) {
  GaussianEnsembleConfig config = SmallConfig();
  config.deterministic = true;
  GaussianEnsemble model(config, {.layout = kLayout, .learn_reward = true}, Rng(1), torch::kCPU);
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  for (const int64_t rows : {64, 10}) {
    const torch::Tensor inputs = torch::randn({4, rows, 5}, generator);
    const torch::Tensor targets = torch::randn({4, rows, 4}, generator);
    std::vector<torch::Tensor> weights, biases;
    for (size_t l = 0; l < model.mlp().weights().size(); ++l) {
      weights.push_back(model.mlp().weights()[l].detach().clone().requires_grad_());
      biases.push_back(model.mlp().biases()[l].detach().clone().requires_grad_());
    }
    const torch::Tensor loss =
        (MlpForward(inputs, weights, biases, Activation::kSilu) - targets).square().mean(at::IntArrayRef{1, 2}).sum();
    loss.backward();
    const torch::NoGradGuard no_grad;
    EXPECT_NEAR(model.ComputeGradients(inputs, targets).item<double>(), loss.item<double>(), 1e-5);
    for (size_t l = 0; l < weights.size(); ++l) {
      EXPECT_TRUE(torch::allclose(model.mlp().weight_grads()[l], weights[l].grad(), 1e-4, 1e-6)) << l;
      EXPECT_TRUE(torch::allclose(model.mlp().bias_grads()[l], biases[l].grad(), 1e-4, 1e-6)) << l;
    }
  }
}

TEST(GaussianEnsemble, ADeterministicOneSamplesItsMeans) {
  const ReplayBuffer data = LinearData(3000, 0.02);
  const TransitionBatch all = data.All();
  for (const bool normalize : {false, true}) {
    for (const bool learn_reward : {false, true}) {
      GaussianEnsembleConfig config = SmallConfig();
      config.normalize_targets = normalize;
      config.holdout.max_epochs = 40;
      config.deterministic = true;
      GaussianEnsemble model(config, {.layout = kLayout, .learn_reward = learn_reward}, Rng(1), torch::kCPU);
      const Metrics report = model.Fit(data, Rng(2));
      EXPECT_FALSE(report.Find("holdout_nll_0"));
      torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
      ModelSample sample = EmptySample(all.size(), learn_reward);
      model.Step(all.obs(), all.action(), DrawStep(model, all.size(), generator), sample);
      const GaussianPrediction prediction = model.Predict(all.obs(), all.action(), Members::kElites);
      EXPECT_EQ(prediction.var.abs().max().item<float>(), 0);
      const int64_t dim = learn_reward ? 4 : 3;
      const torch::Tensor mean =
          prediction.mean.gather(0, sample.hypothesis.view({1, -1, 1}).expand({1, -1, dim})).squeeze(0);
      EXPECT_TRUE(torch::allclose(sample.next_obs, model.DecodeObs(mean, all.obs()), 1e-4, 1e-4));
      const torch::Tensor scale = torch::tensor({1.0F, 1.0F, 50.0F});
      EXPECT_LT(((sample.next_obs - all.next_obs()) / scale).square().mean().sqrt().item<double>(), 0.15);
      if (learn_reward) {
        EXPECT_TRUE(torch::allclose(sample.reward, mean.select(1, 3), 1e-4, 1e-4));
      }
    }
  }
}

TEST(GaussianEnsemble, WithoutHoldOutRowsAFitMakesItsEpochsAndAllMembersPredict) {
  GaussianEnsembleConfig config = SmallConfig();
  config.elites = config.members;
  config.holdout.ratio = 0;
  config.holdout.max_epochs = 7;
  GaussianEnsemble model(config, {.layout = kLayout, .learn_reward = true}, Rng(1), torch::kCPU);
  const ReplayBuffer data = LinearData(300, 0.05);
  const Metrics report = model.Fit(data, Rng(2));
  EXPECT_EQ(report.Find("epochs"), 7);
  EXPECT_EQ(report.Find("train_rows"), 300);
  EXPECT_EQ(report.Find("holdout_rows"), 0);
  EXPECT_FALSE(report.Find("holdout_mse_0"));
  EXPECT_EQ(model.holdout().size(), 0);
  const TransitionBatch all = data.All();
  const GaussianPrediction every = model.Predict(all.obs(), all.action(), Members::kAll);
  EXPECT_TRUE(torch::equal(every.mean, model.Predict(all.obs(), all.action(), Members::kElites).mean));
  EXPECT_LT(
      (model.DecodeObs(every.mean.mean(0), all.obs()) - all.next_obs()).select(1, 0).square().mean().item<float>(),
      0.5 * (all.next_obs() - all.obs()).select(1, 0).var().item<float>());
  ReplayBuffer broken = LinearData(100, std::numeric_limits<double>::quiet_NaN());
  EXPECT_THROW(model.Fit(broken, Rng(2)), std::runtime_error);
}

// An angle that is not wrapped: a turn away the system is the same, which only its sine and cosine say.
TEST(GaussianEnsemble, SeesWhatTheTaskShowsOfAnObservation) {
  const auto features = [](const torch::Tensor& obs) {
    const torch::Tensor angle = obs.slice(1, 0, 1);
    return torch::cat({angle.sin(), angle.cos(), obs.slice(1, 1)}, 1);
  };
  const ModelSpec spec{.layout = kLayout, .learn_reward = false, .features = features};
  GaussianEnsemble model(SmallConfig(), spec, Rng(1), torch::kCPU);
  EXPECT_EQ(model.mlp().shape().widths.front(), 4 + 2);
  model.Fit(LinearData(500, 0.05), Rng(2));
  const torch::Tensor obs = torch::randn({30, 3});
  const torch::Tensor action = torch::randn({30, 2});
  const torch::Tensor turned = obs + torch::tensor({2 * M_PI, 0.0, 0.0}).to(torch::kFloat32);
  const torch::Tensor change = model.Predict(obs, action, Members::kElites).mean;
  EXPECT_TRUE(torch::allclose(change, model.Predict(turned, action, Members::kElites).mean, 1e-4, 1e-4));
  EXPECT_GT((change[0][0] - change[0][1]).abs().max().item<float>(), 0);
  for (const torch::Tensor& start : {obs, turned}) {
    torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
    ModelSample sample = EmptySample(30, false);
    model.Step(start, action, DrawNoise(model, torch::arange(30), generator), sample);
    const torch::Tensor mean = change.gather(0, sample.hypothesis.view({1, -1, 1}).expand({1, -1, 3})).squeeze(0);
    const torch::Tensor std = model.Predict(start, action, Members::kElites).var.amax(0).sqrt();
    EXPECT_TRUE(((sample.next_obs - start - mean).abs() < 6 * std).all().item<bool>());
    // Dealt in their order: halves.
    EXPECT_TRUE(torch::equal(sample.hypothesis, torch::arange(30).div(15, "floor")));
  }
}

TEST(GaussianEnsemble, LearnsMeanAndNoiseOfALinearSystem) {
  GaussianEnsembleConfig config = SmallConfig();
  config.holdout.max_epochs = 40;
  GaussianEnsemble model(config, {.layout = kLayout, .learn_reward = true}, Rng(1), torch::kCPU);
  const ReplayBuffer data = LinearData(4000, 0.05);
  const Metrics report = model.Fit(data, Rng(2));
  EXPECT_EQ(report.Find("holdout_rows"), 800);
  EXPECT_EQ(report.Find("train_rows"), 3200);
  // The best possible: mean squared error 0.05^2, NLL log(0.05) + 0.5 log(2 pi e) = -1.5768.
  EXPECT_LT(*report.Find("holdout_mse_" + std::to_string(model.hypotheses()[0].item<int64_t>())), 1.3 * 0.0025);
  EXPECT_NEAR(*report.Find("holdout_nll_" + std::to_string(model.hypotheses()[0].item<int64_t>())), -1.5768, 0.15);
  const TransitionBatch all = data.All();
  const GaussianPrediction prediction = model.Predict(all.obs(), all.action(), Members::kElites);
  EXPECT_NEAR(prediction.var.sqrt().mean().item<double>(), 0.05, 0.01);
}

TEST(GaussianEnsemble, ElitesAreRankedOnTheRestoredWeights) {
  GaussianEnsembleConfig config = SmallConfig();
  config.learning_rate = 3e-2;  // restless: the last epoch is not the best
  config.holdout.patience = 3;
  config.holdout.max_epochs = 0;
  GaussianEnsemble model(config, {.layout = kLayout, .learn_reward = true}, Rng(1), torch::kCPU);
  const Metrics report = model.Fit(LinearData(600, 0.05), Rng(2));
  const TransitionBatch& holdout = model.holdout();
  ASSERT_EQ(holdout.size(), 120);
  const GaussianPrediction prediction = model.Predict(holdout.obs(), holdout.action(), Members::kAll);
  const torch::Tensor target = torch::cat({holdout.next_obs() - holdout.obs(), holdout.reward().unsqueeze(1)}, 1);
  const torch::Tensor mse = (prediction.mean - target).square().mean(at::IntArrayRef{1, 2});
  for (int64_t e = 0; e < 4; ++e) {
    EXPECT_NEAR(*report.Find("holdout_mse_" + std::to_string(e)), mse[e].item<double>(), 1e-5 * mse[e].item<double>());
  }
  EXPECT_TRUE(torch::equal(model.hypotheses(), mse.argsort().narrow(0, 0, 2)));
  EXPECT_GT(*report.Find("epochs"), 4);
  const GaussianPrediction elite = model.Predict(holdout.obs(), holdout.action(), Members::kElites);
  EXPECT_TRUE(torch::allclose(elite.mean[0], prediction.mean[model.hypotheses()[0].item<int64_t>()]));
}

TEST(GaussianEnsemble, AFitStopsAfterPatienceRunsOut) {
  GaussianEnsembleConfig config = SmallConfig();
  config.learning_rate = 1e-12;  // nothing ever improves by 1 % after the first epoch
  config.holdout.max_epochs = 0;
  config.holdout.patience = 5;
  GaussianEnsemble model(config, {.layout = kLayout, .learn_reward = true}, Rng(1), torch::kCPU);
  EXPECT_EQ(model.Fit(LinearData(200, 0.05), Rng(2)).Find("epochs"), 7);  // the first, then 6 without improvement
  config.holdout.max_epochs = 3;
  GaussianEnsemble capped(config, {.layout = kLayout, .learn_reward = true}, Rng(1), torch::kCPU);
  EXPECT_EQ(capped.Fit(LinearData(200, 0.05), Rng(2)).Find("epochs"), 3);
}

TEST(GaussianEnsemble, EveryOptionPredictsTheSameSystem) {
  const ReplayBuffer data = LinearData(3000, 0.02);
  const TransitionBatch all = data.All();
  for (const ModelTarget target : {ModelTarget::kDelta, ModelTarget::kNextObs}) {
    for (const bool normalize : {false, true}) {
      for (const bool learn_reward : {false, true}) {
        GaussianEnsembleConfig config = SmallConfig();
        config.target = target;
        config.normalize_targets = normalize;
        config.holdout.max_epochs = 40;
        GaussianEnsemble model(config, {.layout = kLayout, .learn_reward = learn_reward}, Rng(1), torch::kCPU);
        model.Fit(data, Rng(2));
        torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
        ModelSample sample = EmptySample(all.size(), learn_reward);
        model.Step(all.obs(), all.action(), DrawStep(model, all.size(), generator), sample);
        // The large third observation is hard to hit absolutely without normalised targets: judge it by its scale.
        const torch::Tensor scale = torch::tensor({1.0F, 1.0F, 50.0F});
        const double error = ((sample.next_obs - all.next_obs()) / scale).square().mean().sqrt().item<double>();
        EXPECT_LT(error, 0.15) << "next_obs " << (target == ModelTarget::kNextObs) << " normalize " << normalize;
        if (learn_reward) {
          EXPECT_LT((sample.reward - all.reward()).square().mean().sqrt().item<double>(), 0.2);
        }
      }
    }
  }
}

GaussianEnsembleConfig Regularised(Regularise regularise) {
  GaussianEnsembleConfig config = SmallConfig();
  config.regularise = regularise;
  config.normalize_targets = true;
  return config;
}

// A decay that outweighs the data leaves weights of 0, or those of the beginning.
TEST(GaussianEnsemble, MembersAreDrawnToZeroOrToTheirAnchors) {
  for (const bool anchored : {false, true}) {
    GaussianEnsembleConfig config = Regularised(anchored ? Regularise::kAnchor : Regularise::kDecay);
    config.weight_decay = {100, 100, 100};
    config.elites = config.members;
    config.holdout.ratio = 0;
    config.holdout.max_epochs = 60;
    GaussianEnsemble model(config, {.layout = kLayout, .learn_reward = true}, Rng(1), torch::kCPU);
    std::vector<torch::Tensor> before;
    for (const torch::Tensor& weight : model.mlp().weights()) {
      before.push_back(weight.clone());
    }
    model.Fit(LinearData(300, 0.02), Rng(2));
    for (size_t l = 0; l < before.size(); ++l) {
      const torch::Tensor& after = model.mlp().weights()[l];
      EXPECT_LT((after - (anchored ? before[l] : torch::zeros_like(after))).norm().item<double>(),
                0.3 * before[l].norm().item<double>())
          << l;
    }
  }
}

// One gradient step's gradients: the loss's, and those of the decay to the weights at first.
TEST(GaussianEnsemble, AnAnchorsGradientIsItsPenaltys) {
  GaussianEnsembleConfig config = Regularised(Regularise::kAnchor);
  config.weight_decay = {0.5, 0.25, 2};
  config.learning_rate = 1e-3;
  GaussianEnsemble model(config, {.layout = kLayout, .learn_reward = true}, Rng(1), torch::kCPU);
  const torch::NoGradGuard no_grad;
  const torch::Tensor first = model.mlp().weights()[2].clone();
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  model.parameters().values().add_(0.1 * torch::randn(model.parameters().values().sizes(), generator));
  const torch::Tensor start = model.mlp().weights()[2].clone();
  model.ComputeGradients(torch::randn({4, 64, 5}, generator), torch::randn({4, 64, 4}, generator));
  const torch::Tensor gradient = model.mlp().weight_grads()[2] + 2 * (start - first);
  model.ApplyGradients();
  // Adam's first step is learning_rate g / (|g| + 1e-8).
  EXPECT_TRUE(torch::allclose(start - model.mlp().weights()[2], 1e-3 * gradient / (gradient.abs() + 1e-8), 1e-3, 1e-7));
}

TEST(GaussianEnsemble, PriorFunctionsAreAddedToTheMeans) {
  GaussianEnsembleConfig config = Regularised(Regularise::kPriorFunction);
  config.prior_scale = 2;
  GaussianEnsemble model(config, {.layout = kLayout, .learn_reward = true}, Rng(1), torch::kCPU);
  model.Fit(LinearData(300, 0.05), Rng(2));
  const torch::NoGradGuard no_grad;
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  const torch::Tensor obs = torch::randn({9, 3}, generator);
  const torch::Tensor action = torch::randn({9, 2}, generator);
  const GaussianPrediction all = model.Predict(obs, action, Members::kAll);
  const GaussianPrediction elites = model.Predict(obs, action, Members::kElites);
  EXPECT_TRUE(torch::allclose(all.mean.index_select(0, model.hypotheses()), elites.mean, 1e-4, 1e-4));
  EXPECT_TRUE(torch::allclose(all.var.index_select(0, model.hypotheses()), elites.var, 1e-4, 1e-6));
  const torch::Tensor z = model.gaussian_networks()->codec().standardizer().Inputs(torch::cat({obs, action}, 1));
  const torch::Tensor prior = 2 * model.prior()->mlp().Forward(z) * model.target_std();
  EXPECT_GT(prior.abs().mean().item<double>(), 0.1);
  for (const torch::Tensor& weight : model.prior()->mlp().weights()) {
    weight.zero_();
  }
  EXPECT_TRUE(torch::allclose(all.mean - model.Predict(obs, action, Members::kAll).mean, prior, 1e-4, 1e-3));
}

// They are learned around where there are data, and differ where there are none.
TEST(GaussianEnsemble, PriorFunctionsDisagreeAwayFromTheData) {
  const ReplayBuffer data = LinearData(1000, 0.02);
  const TransitionBatch all = data.All();
  const auto spread_of = [&](Regularise regularise, double away) {
    GaussianEnsembleConfig config = Regularised(regularise);
    config.holdout.max_epochs = 40;
    GaussianEnsemble model(config, {.layout = kLayout, .learn_reward = true}, Rng(1), torch::kCPU);
    model.Fit(data, Rng(2));
    const torch::Tensor mean = model.Predict(away * all.obs(), all.action(), Members::kAll).mean / model.target_std();
    return mean.std(0).mean().item<double>();
  };
  const double near = spread_of(Regularise::kPriorFunction, 1);
  EXPECT_LT(near, 0.5);  // in the targets' deviation, of which the prior functions' part is about 3
  EXPECT_GT(spread_of(Regularise::kPriorFunction, 4), 5 * near);
  EXPECT_GT(spread_of(Regularise::kPriorFunction, 4), 1.5 * spread_of(Regularise::kDecay, 4));
}

// Columns of 2,000 rows: a constant; a goal that stays through each row; numbers that vary by 3e-6 and by 1e-4 only; an
// ordinary one. The reward is a constant.
TransitionBatch RowsWithKnownColumns() {
  const TransitionLayout layout{.obs_dim = 5, .act_dim = 1};
  torch::Generator generator = MakeGenerator(Rng(21), torch::kCPU);
  TransitionBatch batch = TransitionBatch::Empty(layout, 2000, torch::kCPU);
  batch.rows.zero_();
  batch.action().uniform_(-1, 1, generator);
  for (torch::Tensor obs : {batch.obs(), batch.next_obs()}) {
    obs.normal_(0, 1, generator);
    obs.select(1, 0).fill_(0.45);
    obs.select(1, 2).mul_(3e-6).add_(0.45);
    obs.select(1, 3).mul_(1e-4);
  }
  batch.next_obs().select(1, 1).copy_(batch.obs().select(1, 1));
  batch.next_obs().select(1, 4).copy_(batch.obs().select(1, 4) + 0.1 * batch.action().select(1, 0));
  batch.reward().fill_(1.5);
  return batch;
}

TEST(GaussianEnsemble, WhatDoesNotVaryIsPredictedExactlyAndSmallUnitsStaySmall) {
  const TransitionBatch rows = RowsWithKnownColumns();
  ReplayBuffer data(rows.layout, rows.size(), torch::kCPU);
  data.Add(rows);
  const torch::Tensor deviations = torch::tensor({1.0F, 1.0F, 3e-6F, 1e-4F, 1.0F});
  const torch::Tensor centres = torch::tensor({0.45F, 0.0F, 0.45F, 0.0F, 0.0F});
  for (const ModelTarget target : {ModelTarget::kDelta, ModelTarget::kNextObs}) {
    for (const bool normalize : {false, true}) {
      for (const bool deterministic : {false, true}) {
        SCOPED_TRACE(::testing::Message() << "next_obs " << (target == ModelTarget::kNextObs) << ", normalize "
                                          << normalize << ", deterministic " << deterministic);
        GaussianEnsembleConfig config = SmallConfig();
        config.target = target;
        config.normalize_targets = normalize;
        config.deterministic = deterministic;
        GaussianEnsemble model(config, {.layout = rows.layout, .learn_reward = true}, Rng(1), torch::kCPU);
        model.Fit(data, Rng(2));
        torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
        const torch::Tensor start = rows.obs().slice(0, 0, 100);
        const torch::Tensor action = rows.action().slice(0, 0, 100);
        ModelSample sample{.next_obs = torch::empty_like(start),
                           .reward = torch::empty({100}),
                           .hypothesis = torch::empty({100}, torch::kInt64)};
        const auto expect_known = [&] {
          EXPECT_TRUE((sample.next_obs.select(1, 0) == start.select(1, 0)).all().item<bool>());
          if (target == ModelTarget::kDelta) {
            EXPECT_TRUE((sample.next_obs.select(1, 1) == start.select(1, 1)).all().item<bool>());
          }
          EXPECT_TRUE((sample.reward == 1.5).all().item<bool>());
        };
        torch::Tensor obs = start;
        for (int64_t step = 0; step < 25; ++step) {
          model.Step(obs, action, DrawStep(model, 100, generator), sample);
          expect_known();
          obs = sample.next_obs.clone();
        }
        EXPECT_LT(((obs - centres) / deviations).abs().slice(1, 2, 4).max().item<double>(), 40);
        const GaussianPrediction prediction = model.Predict(start, action, Members::kElites);
        TransitionBatch batch{rows.layout, rows.rows.slice(0, 0, 100).clone()};
        const ModelEnv model_env(model, {}, {.action_low = {-1}, .action_high = {1}}, torch::kCPU);
        model_env.StepFrom(prediction, batch, generator);
        sample.next_obs.copy_(batch.next_obs());
        sample.reward.copy_(batch.reward());
        expect_known();
        EXPECT_TRUE((prediction.var.select(2, 0) == 0).all().item<bool>());
        const torch::Tensor mean = MeanNextObs(model, start, action);
        EXPECT_TRUE(torch::equal(mean.select(1, 0), start.select(1, 0)));

        // Another value of an input that never varied changes nothing that is predicted.
        torch::Tensor elsewhere = start.clone();
        elsewhere.select(1, 0).fill_(500);
        const GaussianPrediction there = model.Predict(elsewhere, action, Members::kAll);
        const GaussianPrediction here = model.Predict(start, action, Members::kAll);
        EXPECT_TRUE(torch::allclose(there.mean, here.mean, 1e-6, 1e-9));
        EXPECT_TRUE(torch::allclose(there.var, here.var, 1e-6, 1e-12));
      }
    }
  }
}

// Two columns: what moves by the action, and a force that jumps about by hundreds, as contacts have it.
TEST(GaussianEnsemble, ALargeTargetDoesNotDrownTheOthers) {
  torch::Generator generator = MakeGenerator(Rng(5), torch::kCPU);
  TransitionBatch rows = TransitionBatch::Empty({.obs_dim = 2, .act_dim = 1}, 1000, torch::kCPU);
  rows.rows.zero_();
  rows.action().uniform_(-1, 1, generator);
  rows.obs().normal_(0, 1, generator).select(1, 1).mul_(300);
  rows.next_obs().normal_(0, 300, generator);
  rows.next_obs().select(1, 0).copy_(rows.obs().select(1, 0) + 0.3 * rows.action().select(1, 0));
  ReplayBuffer data(rows.layout, rows.size(), torch::kCPU);
  data.Add(rows);
  for (const bool deterministic : {false, true}) {
    GaussianEnsembleConfig config = SmallConfig();
    config.deterministic = deterministic;
    GaussianEnsemble model(config, {.layout = rows.layout}, Rng(1), torch::kCPU);
    model.Fit(data, Rng(2));
    const torch::Tensor error = MeanNextObs(model, rows.obs(), rows.action()) - rows.next_obs();
    // 0.17 is the deviation of what the action does.
    EXPECT_LT(error.select(1, 0).square().mean().sqrt().item<double>(), 0.05) << deterministic;
    // What is predicted of the force is its mean, as there is nothing to know.
    EXPECT_NEAR(error.select(1, 1).square().mean().sqrt().item<double>(), 300, 30) << deterministic;
  }
}

// The first fit decides, whatever the deviations of later ones are, of a run that is resumed too.
TEST(GaussianEnsemble, WhetherTargetsAreNormalisedIsDecidedOnce) {
  const auto data_of = [](float deviation) {
    torch::Generator generator = MakeGenerator(Rng(5), torch::kCPU);
    ReplayBuffer data(kLayout, 300, torch::kCPU);
    TransitionBatch rows = TransitionBatch::Empty(kLayout, 300, torch::kCPU);
    rows.rows.normal_(0, 1, generator);
    rows.next_obs().select(1, 0).mul_(deviation);
    data.Add(rows);
    return data;
  };
  for (const bool large_first : {true, false}) {
    GaussianEnsembleConfig config = SmallConfig();
    config.holdout.max_epochs = 1;
    GaussianEnsemble model(config, {.layout = kLayout}, Rng(1), torch::kCPU);
    // Of a fit that is stopped nothing is decided.
    EXPECT_FALSE(model.Fit(data_of(large_first ? 1 : 100), Rng(2), [] { return true; }).has_value());
    model.Fit(data_of(large_first ? 100 : 1), Rng(2));
    const auto scales = [](const GaussianEnsemble& of) {
      return of.gaussian_networks()->codec().standardizer().target_scale();
    };
    const torch::Tensor plain = torch::ones({kLayout.obs_dim});
    EXPECT_EQ(torch::equal(scales(model), plain), !large_first);
    GaussianEnsemble resumed(config, {.layout = kLayout}, Rng(9), torch::kCPU);
    StateTree state = SaveState(model);
    LoadState(state, resumed);
    for (GaussianEnsemble* one : {&model, &resumed}) {
      one->Fit(data_of(large_first ? 1 : 100), Rng(3));
      EXPECT_EQ(torch::equal(scales(*one), plain), !large_first);
      one->Fit(data_of(large_first ? 1 : 100), Rng(4));
      EXPECT_EQ(torch::equal(scales(*one), plain), !large_first) << "and again";
    }
    EXPECT_TRUE(torch::equal(SaveState(model).values().tensors.at("parameters"),
                             SaveState(resumed).values().tensors.at("parameters")));
  }
  // Rows in which nothing varies say nothing.
  GaussianEnsembleConfig config = SmallConfig();
  config.holdout.max_epochs = 1;
  GaussianEnsemble rested(config, {.layout = kLayout}, Rng(1), torch::kCPU);
  ReplayBuffer resting(kLayout, 300, torch::kCPU);
  TransitionBatch rows = TransitionBatch::Empty(kLayout, 300, torch::kCPU);
  rows.rows.fill_(1);
  resting.Add(rows);
  rested.Fit(resting, Rng(2));
  rested.Fit(data_of(100), Rng(3));
  EXPECT_FALSE((rested.gaussian_networks()->codec().standardizer().target_scale() == 1).any().item<bool>());
  // One that begins to vary after the decision is in units of its deviation if that is large.
  GaussianEnsemble late(config, {.layout = kLayout}, Rng(1), torch::kCPU);
  TransitionBatch some = data_of(1).All();
  some.next_obs().select(1, 0).copy_(some.obs().select(1, 0));
  ReplayBuffer some_rest(kLayout, 300, torch::kCPU);
  some_rest.Add(some);
  late.Fit(some_rest, Rng(2));
  late.Fit(data_of(100), Rng(3));
  const torch::Tensor scale = late.gaussian_networks()->codec().standardizer().target_scale();
  EXPECT_NEAR(scale[0].item<float>(), 100, 20);
  EXPECT_TRUE((scale.slice(0, 1) == 1).all().item<bool>());
  // One that is told does not ask the data.
  GaussianEnsembleConfig told = SmallConfig();
  told.holdout.max_epochs = 1;
  told.normalize_targets = false;
  GaussianEnsemble model(told, {.layout = kLayout}, Rng(1), torch::kCPU);
  model.Fit(data_of(100), Rng(2));
  EXPECT_TRUE(
      torch::equal(model.gaussian_networks()->codec().standardizer().target_scale(), torch::ones({kLayout.obs_dim})));
}

// A state that was written before the targets' units were part of it.
TEST(GaussianEnsemble, AnOlderStatePredictsAsItDid) {
  for (const bool normalize : {false, true}) {
    GaussianEnsembleConfig config = SmallConfig();
    config.normalize_targets = normalize;
    GaussianEnsemble model(config, {.layout = kLayout}, Rng(1), torch::kCPU);
    const ReplayBuffer data = LinearData(300, 0.05);
    model.Fit(data, Rng(2));
    const TransitionBatch all = data.All();
    TensorFile values = SaveState(model).values();
    values.tensors.erase("target_offset");
    values.tensors.erase("target_scale");
    values.tensors.erase("target_unit");
    values.tensors.erase("normalizes");
    StateTree older(values, {});
    GaussianEnsemble loaded(config, {.layout = kLayout}, Rng(5), torch::kCPU);
    LoadState(older, loaded);
    EXPECT_TRUE(torch::equal(loaded.Predict(all.obs(), all.action(), Members::kElites).mean,
                             model.Predict(all.obs(), all.action(), Members::kElites).mean))
        << normalize;
  }
}

// The drawn elite's Gaussian as Predict gives it, with the noise of the row's slot; columns of packed rows in and out.
TEST(GaussianEnsemble, SamplesAgreeWithTheirPlainTwin) {
  for (const ModelTarget target : {ModelTarget::kDelta, ModelTarget::kNextObs}) {
    for (const bool normalize : {false, true}) {
      for (const bool learn_reward : {false, true}) {
        GaussianEnsembleConfig config = SmallConfig();
        config.target = target;
        config.normalize_targets = normalize;
        config.holdout.max_epochs = 2;
        GaussianEnsemble model(config, {.layout = kLayout, .learn_reward = learn_reward}, Rng(1), torch::kCPU);
        model.Fit(LinearData(300, 0.05), Rng(2));
        for (const int64_t rows : {1, 6, 37, 1501}) {
          TransitionBatch batch{kLayout, torch::randn({rows, kLayout.width()})};
          ModelSample sample{.next_obs = batch.next_obs(),
                             .reward = learn_reward ? batch.reward() : torch::Tensor(),
                             .hypothesis = torch::empty({rows}, torch::kInt64)};
          const torch::Tensor reward_before = batch.reward().clone();
          torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
          model.Step(batch.obs(), batch.action(), DrawStep(model, batch.size(), generator), sample);

          torch::Generator again = MakeGenerator(Rng(3), torch::kCPU);
          const int64_t dim = learn_reward ? 4 : 3;
          const int64_t share = (rows + config.elites - 1) / config.elites;
          const torch::Tensor order = torch::randperm(rows, again, torch::kInt64);
          const torch::Tensor noise = torch::randn({config.elites * share, dim}, again);
          const torch::Tensor slot = order.argsort();
          const torch::Tensor member = slot.div(share, "floor");
          const GaussianPrediction prediction = model.Predict(batch.obs(), batch.action(), Members::kElites);
          const torch::Tensor place = member * rows + torch::arange(rows);
          const torch::Tensor drawn =
              prediction.mean.view({-1, dim}).index_select(0, place) +
              prediction.var.view({-1, dim}).index_select(0, place).sqrt() * noise.index_select(0, slot);
          EXPECT_TRUE(torch::equal(sample.hypothesis, member));
          // The two multiply the same matrices in blocks of other sizes, and the BLAS rounds some of them differently
          // from run to run: up to 1.4e-5 was seen.
          EXPECT_TRUE(torch::allclose(sample.next_obs, model.DecodeObs(drawn, batch.obs()), 5e-5, 5e-5));
          EXPECT_TRUE(torch::allclose(batch.reward(), learn_reward ? drawn.select(1, 3) : reward_before, 5e-5, 5e-5));
        }
      }
    }
  }
}

// What autograd differentiates is the step itself, of every kind of target, and its derivatives are those of
// differences in float64.
TEST(GaussianEnsemble, TheStepsTwinIsTheStepAndHasItsDerivatives) {
  for (const bool deterministic : {false, true}) {
    for (const bool next_obs : {false, true}) {
      GaussianEnsembleConfig config = SmallConfig();
      config.deterministic = deterministic;
      config.target = next_obs ? ModelTarget::kNextObs : ModelTarget::kDelta;
      config.normalize_targets = next_obs;
      config.regularise = next_obs ? Regularise::kPriorFunction : Regularise::kAnchor;
      config.holdout.max_epochs = 3;
      GaussianEnsemble model(config, {.layout = kLayout, .learn_reward = true}, Rng(1), torch::kCPU);
      model.Fit(LinearData(300, 0.05), Rng(2));
      torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
      for (const int64_t rows : {1, 7, 40}) {
        const torch::Tensor obs = torch::randn({rows, 3}, generator);
        const torch::Tensor action = torch::rand({rows, 2}, generator) * 2 - 1;
        const StepDraws draws = DrawStep(model, rows, generator);
        ModelSample sample = EmptySample(rows, true);
        model.Step(obs, action, draws, sample);
        const ModelStep twin = model.Next(obs, action, draws);
        EXPECT_TRUE(torch::allclose(twin.next_obs, sample.next_obs, 5e-5, 5e-5));
        EXPECT_TRUE(torch::allclose(twin.reward, sample.reward, 5e-5, 5e-5));
      }

      const torch::Tensor obs = torch::randn({5, 3}, generator).to(torch::kFloat64);
      const torch::Tensor action = torch::randn({5, 2}, generator).to(torch::kFloat64);
      StepDraws draws = DrawStep(model, 5, generator);
      const auto sum = [&](const torch::Tensor& s, const torch::Tensor& a) {
        const ModelStep step = model.Next(s, a, draws);
        return step.next_obs.square().sum() + step.reward.sum();
      };
      const torch::Tensor s = obs.clone().requires_grad_();
      const torch::Tensor a = action.clone().requires_grad_();
      const std::vector<torch::Tensor> gradient = torch::autograd::grad({sum(s, a)}, {s, a});
      const torch::NoGradGuard no_grad;
      const double h = 1e-6;
      for (int64_t row = 0; row < 5; ++row) {
        for (int64_t j = 0; j < 5; ++j) {
          torch::Tensor up = torch::cat({obs, action}, 1);
          torch::Tensor down = up.clone();
          up[row][j] += h;
          down[row][j] -= h;
          const auto value = [&](const torch::Tensor& x) {
            return sum(x.slice(1, 0, 3), x.slice(1, 3, 5)).item<double>();
          };
          const double by_difference = (value(up) - value(down)) / (2 * h);
          const double by_autograd = (j < 3 ? gradient[0][row][j] : gradient[1][row][j - 3]).item<double>();
          EXPECT_NEAR(by_autograd, by_difference, 1e-6 * (1 + std::abs(by_difference)));
        }
      }
    }
  }
}

// The noise of real rows gives those rows, of every kind of target, and none where the model has none.
TEST(GaussianEnsemble, InferredNoiseGivesTheRealRows) {
  for (const bool deterministic : {false, true}) {
    for (const bool next_obs : {false, true}) {
      GaussianEnsembleConfig config = SmallConfig();
      config.deterministic = deterministic;
      config.target = next_obs ? ModelTarget::kNextObs : ModelTarget::kDelta;
      config.normalize_targets = next_obs;
      config.holdout.max_epochs = 3;
      GaussianEnsemble model(config, {.layout = kLayout, .learn_reward = true}, Rng(1), torch::kCPU);
      const ReplayBuffer data = LinearData(300, 0.05);
      model.Fit(data, Rng(2));
      torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
      for (const int64_t rows : {1, 7, 40}) {
        const TransitionBatch real = data.Newest(rows);
        const StepDraws draws = InferNoise(model, real, torch::randperm(rows, generator, torch::kInt64));
        EXPECT_EQ(draws.noise.defined(), !deterministic);
        const ModelStep step = model.Next(real.obs(), real.action(), draws);
        EXPECT_EQ(torch::allclose(step.next_obs, real.next_obs(), 5e-5, 5e-5), !deterministic);
        EXPECT_EQ(torch::allclose(step.reward, real.reward(), 5e-5, 5e-5), !deterministic);
      }
    }
  }
}

TEST(GaussianEnsemble, SamplesFollowTheDrawnElitesGaussian) {
  GaussianEnsemble model(SmallConfig(), {.layout = kLayout, .learn_reward = true}, Rng(1), torch::kCPU);
  model.Fit(LinearData(500, 0.05), Rng(2));
  const int64_t rows = 30'001;  // not a multiple of the elites
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  const torch::Tensor obs = torch::randn({1, 3}, generator).expand({rows, 3});
  const torch::Tensor action = torch::zeros({rows, 2});
  const GaussianPrediction prediction = model.Predict(obs.slice(0, 0, 1), action.slice(0, 0, 1), Members::kElites);
  ModelSample grouped = EmptySample(rows, true);
  model.Step(obs, action, DrawStep(model, obs.size(0), generator), grouped);
  TransitionBatch batch = TransitionBatch::Empty(kLayout, rows, torch::kCPU);
  batch.obs().copy_(obs);
  batch.action().copy_(action);
  const ModelEnv model_env(model, {}, {.action_low = {-1, -1}, .action_high = {1, 1}}, torch::kCPU);
  const ImaginedStep step =
      model_env.StepFrom({prediction.mean.expand({2, rows, 4}), prediction.var.expand({2, rows, 4})}, batch, generator);
  const ModelSample gathered{.next_obs = batch.next_obs(), .reward = batch.reward(), .hypothesis = step.hypothesis};
  for (const ModelSample& sample : {grouped, gathered}) {
    for (int64_t elite = 0; elite < 2; ++elite) {
      const torch::Tensor mine = torch::nonzero(sample.hypothesis == elite).squeeze(1);
      EXPECT_NEAR(static_cast<double>(mine.size(0)), 15'000, 500);
      const torch::Tensor target =
          torch::cat({sample.next_obs - obs, sample.reward.unsqueeze(1)}, 1).index_select(0, mine);
      const torch::Tensor std = prediction.var[elite][0].sqrt();
      const torch::Tensor z = (target.mean(0) - prediction.mean[elite][0]) / std * std::sqrt(15'000.0);
      EXPECT_LT(z.abs().max().item<double>(), 5);
      EXPECT_TRUE(torch::allclose(target.std(0), std, 0.05));
    }
  }
}

TEST(GaussianEnsemble, FewerRowsThanElitesCanBeSampled) {
  GaussianEnsembleConfig config = SmallConfig();
  config.members = config.elites = 7;
  GaussianEnsemble model(config, {.layout = kLayout, .learn_reward = true}, Rng(1), torch::kCPU);
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  for (int64_t rows = 1; rows < 10; ++rows) {
    ModelSample sample = EmptySample(rows, true);
    sample.next_obs.fill_(std::nan(""));
    model.Step(torch::zeros({rows, 3}), torch::zeros({rows, 2}), DrawStep(model, rows, generator), sample);
    EXPECT_TRUE(torch::isfinite(sample.next_obs).all().item<bool>());
    EXPECT_LT(sample.hypothesis.max().item<int64_t>(), 7);
  }
}

TEST(GaussianEnsemble, PredictIsDifferentiableInObsAndAction) {
  const GaussianEnsemble model(SmallConfig(), {.layout = kLayout, .learn_reward = true}, Rng(1), torch::kCPU);
  const torch::Tensor obs = torch::randn({4, 3}).requires_grad_();
  const torch::Tensor action = torch::randn({4, 2}).requires_grad_();
  model.Predict(obs, action, Members::kElites).mean.sum().backward();
  EXPECT_GT(obs.grad().abs().sum().item<double>(), 0);
  EXPECT_GT(action.grad().abs().sum().item<double>(), 0);
}

TEST(GaussianEnsemble, FitsRepeatAndARestoredModelGoesOnTheSame) {
  const ReplayBuffer data = LinearData(400, 0.05);
  for (const Regularise regularise : {Regularise::kDecay, Regularise::kAnchor, Regularise::kPriorFunction}) {
    const auto make = [&](uint64_t seed) {
      return GaussianEnsemble(Regularised(regularise), {.layout = kLayout, .learn_reward = true}, Rng(seed),
                              torch::kCPU);
    };
    GaussianEnsemble first = make(1);
    GaussianEnsemble second = make(1);
    first.Fit(data, Rng(2));
    second.Fit(data, Rng(2));
    EXPECT_TRUE(torch::equal(first.parameters().values(), second.parameters().values()));
    StateTree tree = SaveState(first);
    GaussianEnsemble restored = make(77);
    LoadState(tree, restored);
    first.Fit(data, Rng(3));
    restored.Fit(data, Rng(3));
    EXPECT_TRUE(torch::equal(first.parameters().values(), restored.parameters().values()));
    EXPECT_TRUE(torch::equal(first.hypotheses(), restored.hypotheses()));
    EXPECT_FALSE(torch::equal(first.parameters().values(), second.parameters().values()));
    const torch::NoGradGuard no_grad;
    const torch::Tensor obs = data.All().obs();
    const torch::Tensor action = data.All().action();
    EXPECT_TRUE(torch::equal(first.Predict(obs, action, Members::kElites).mean,
                             restored.Predict(obs, action, Members::kElites).mean));
  }
}

TEST(GaussianEnsemble, AStoppedFitIsUndone) {
  const ReplayBuffer data = LinearData(400, 0.05);
  GaussianEnsemble stopped(SmallConfig(), {.layout = kLayout, .learn_reward = true}, Rng(1), torch::kCPU);
  GaussianEnsemble undisturbed(SmallConfig(), {.layout = kLayout, .learn_reward = true}, Rng(1), torch::kCPU);
  stopped.Fit(data, Rng(2));
  undisturbed.Fit(data, Rng(2));
  for (const int last : {1, 2, 20}) {
    int minibatches = 0;
    EXPECT_EQ(stopped.Fit(LinearData(300, 0.5), Rng(3), [&] { return ++minibatches == last; }), std::nullopt);
    EXPECT_EQ(minibatches, last);
    EXPECT_TRUE(torch::equal(stopped.parameters().values(), undisturbed.parameters().values()));
    EXPECT_TRUE(torch::equal(stopped.holdout().rows, undisturbed.holdout().rows));
    EXPECT_TRUE(torch::equal(stopped.target_std(), undisturbed.target_std()));
  }
  const Metrics after = stopped.Fit(data, Rng(4), [] { return false; }).value();
  const Metrics expected = undisturbed.Fit(data, Rng(4));
  EXPECT_TRUE(torch::equal(stopped.parameters().values(), undisturbed.parameters().values()));
  EXPECT_EQ(after.Find("loss"), expected.Find("loss"));
  EXPECT_GT(after.Find("grad_norm").value(), 0);
}

TEST(GaussianEnsemble, TooLittleOrBrokenDataIsSaid) {
  GaussianEnsemble model(SmallConfig(), {.layout = kLayout, .learn_reward = true}, Rng(1), torch::kCPU);
  EXPECT_THROW(model.Fit(LinearData(1, 0.05), Rng(2)), std::runtime_error);
  ReplayBuffer broken = LinearData(100, std::numeric_limits<double>::quiet_NaN());
  EXPECT_THROW(model.Fit(broken, Rng(2)), std::runtime_error);
}

}  // namespace
}  // namespace reverie
