#include "reverie/models/homoscedastic_ensemble.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "host_waits.h"
#include "models/paired_stopping.h"
#include "reverie/models/inferred_noise.h"

namespace reverie {
namespace {

const TransitionLayout kLayout{.obs_dim = 3, .act_dim = 2};

// next_obs = obs + 0.1 [a0, a1, obs0] + noise, reward = obs1 + noise.
TransitionBatch LinearRows(int64_t rows, double noise, uint64_t seed = 11) {
  torch::Generator generator = MakeGenerator(Rng(seed), torch::kCPU);
  TransitionBatch batch = TransitionBatch::Empty(kLayout, rows, torch::kCPU);
  batch.rows.zero_();
  batch.obs().normal_(0, 1, generator).select(1, 2).mul_(50).add_(20);
  batch.action().uniform_(-1, 1, generator);
  const torch::Tensor delta =
      torch::stack({batch.action().select(1, 0), batch.action().select(1, 1), batch.obs().select(1, 0)}, 1);
  batch.next_obs().copy_(batch.obs() + 0.1 * delta + noise * torch::randn({rows, 3}, generator));
  batch.reward().copy_(batch.obs().select(1, 1) + noise * torch::randn({rows}, generator));
  return batch;
}

ReplayBuffer BufferOf(const TransitionBatch& rows, int64_t capacity = 10'000) {
  ReplayBuffer buffer(kLayout, capacity, torch::kCPU);
  buffer.Add(rows);
  return buffer;
}

HomoscedasticEnsembleConfig SmallConfig() {
  return {.members = 4,
          .hidden = {32, 32},
          .learning_rate = 3e-3,
          .batch_size = 64,
          .weight_decay = {1e-4, 1e-4, 1e-4},
          .dropout = {0.01, 0, 0},
          .patience = 8,
          .first_fit = 2};
}

HomoscedasticEnsemble Model(const HomoscedasticEnsembleConfig& config = SmallConfig()) {
  return {config, {.layout = kLayout, .learn_reward = true}, Rng(1), torch::kCPU};
}

// The quantiles of SciPy's stats.t.ppf(0.9, n) and norm.ppf(0.9).
TEST(PairedStopping, KnowsStudentsQuantiles) {
  for (const auto& [degrees, expected] : std::vector<std::pair<int64_t, double>>{
           {3, 1.6377443537}, {5, 1.4758840488}, {10, 1.3721836411}, {30, 1.3104150253}, {500, 1.2832470207}}) {
    EXPECT_NEAR(UpperTenthOfStudent(degrees), expected, 1e-3) << degrees;
  }
}

TEST(PairedStopping, AsksForALowerMeanAndKeepsWhatIsSurelyBetter) {
  using Verdict = PairedStopping::Verdict;
  const torch::Tensor scores = torch::tensor({1.0, 2.0, 3.0, 4.0, 5.0, 6.0});
  PairedStopping stopping(scores, /*patience=*/1, /*most=*/100);
  EXPECT_EQ(stopping.Judge(scores), Verdict::kNoLower);
  // The mean is lower by 1/6, with an error of 1/6: t = -1, beside a tenth's 1.476.
  const torch::Tensor unsure = scores - torch::tensor({1.0, 0.0, 0.0, 0.0, 0.0, 0.0});
  EXPECT_EQ(stopping.Judge(unsure), Verdict::kLower);
  EXPECT_EQ(stopping.Judge(scores + 1), Verdict::kNoLower);
  EXPECT_TRUE(stopping.wants_another());
  // Four of six lower by 1: mean 2/3, error 0.211: t = -3.16.
  EXPECT_EQ(stopping.Judge(scores - torch::tensor({1.0, 1.0, 1.0, 1.0, 0.0, 0.0})), Verdict::kBetter);
  EXPECT_NEAR(stopping.best(), 3.5 - 2.0 / 3, 1e-6);
  // Held against those from now on.
  EXPECT_EQ(stopping.Judge(unsure), Verdict::kNoLower);
  EXPECT_EQ(stopping.Judge(unsure), Verdict::kNoLower);
  EXPECT_FALSE(stopping.wants_another());
  EXPECT_EQ(stopping.Judge(scores * std::nan("")), Verdict::kNotFinite);
  EXPECT_FALSE(PairedStopping(scores, 5, 0).wants_another());
}

TEST(HomoscedasticEnsemble, TheLossIsItsFormula) {
  HomoscedasticEnsemble model = Model();
  const torch::NoGradGuard no_grad;
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  torch::Tensor log_std = model.log_std();
  log_std.copy_(torch::randn(log_std.sizes(), generator));
  log_std[0][0][1] = -20;  // below its bound
  const torch::Tensor inputs = torch::randn({5, 5}, generator);
  const torch::Tensor targets = torch::randn({4, 5, 4}, generator);
  const torch::Tensor weights = torch::rand({4, 5}, generator);
  targets[0].select(1, 1).copy_(model.mlp().Forward(inputs)[0].select(1, 1));  // where exp(40) would swamp the rest
  const torch::Tensor mean = model.mlp().Forward(inputs);
  double expected = 0;
  for (int64_t b = 0; b < 5; ++b) {
    for (int64_t e = 0; e < 4; ++e) {
      double row = 0;
      for (int64_t d = 0; d < 4; ++d) {
        const double error = mean[e][b][d].item<double>() - targets[e][b][d].item<double>();
        const double s = log_std[e][0][d].item<double>();
        row += error * error * std::exp(-2 * s) / 2 + std::max(s, std::log(1e-3));
      }
      expected += weights[e][b].item<double>() * row / 5;
    }
  }
  EXPECT_NEAR(model.Loss(inputs, targets, weights, nullptr).item<double>(), expected, 1e-4 * std::abs(expected));

  log_std[0][0][1] = 0;
  const torch::Tensor means = model.mlp().Forward(inputs);
  const torch::Tensor scores = model.Scores(inputs, targets[2]);
  for (int64_t b = 0; b < 5; ++b) {
    double score = 0;
    for (int64_t d = 0; d < 4; ++d) {
      double mu = 0, s = 0, spread = 0;
      for (int64_t e = 0; e < 4; ++e) {
        mu += means[e][b][d].item<double>() / 4;
        s += log_std[e][0][d].item<double>() / 4;
      }
      for (int64_t e = 0; e < 4; ++e) {
        spread += std::pow(means[e][b][d].item<double>() - mu, 2) / 3;
      }
      const double v = std::exp(2 * s) + spread;
      score += (std::pow(mu - targets[2][b][d].item<double>(), 2) / v + std::log(v)) / 2;
    }
    EXPECT_NEAR(scores[b].item<double>(), score, 1e-4 * (1 + std::abs(score)));
  }
}

TEST(HomoscedasticEnsemble, LearnsALineAndItsNoise) {
  HomoscedasticEnsemble model = Model();
  const Metrics metrics = model.Fit(BufferOf(LinearRows(2000, 0.05)), Rng(2));
  EXPECT_LT(metrics.Find("holdout_score").value(), metrics.Find("holdout_score_before").value());
  EXPECT_NEAR(metrics.Find("train_rows").value(), 1600, 60);
  EXPECT_EQ(metrics.Find("holdout_rows").value(), 6 * 64);  // at most a judgement's minibatches of those held out
  const TransitionBatch fresh = LinearRows(500, 0, 12);
  const torch::NoGradGuard no_grad;
  const GaussianPrediction prediction = model.Predict(fresh.obs(), fresh.action(), Members::kElites);
  const torch::Tensor next = model.DecodeObs(prediction.mean.mean(0), fresh.obs());
  EXPECT_LT((next - fresh.next_obs()).square().mean().sqrt().item<double>(), 0.03);
  EXPECT_LT((prediction.mean.mean(0).select(1, 3) - fresh.reward()).square().mean().sqrt().item<double>(), 0.1);
  // Its noise is the data's.
  EXPECT_NEAR(prediction.var[0][0].sqrt()[0].item<double>(), 0.05, 0.01);
}

// A step is the hypothesis' mean and its noise, for the reward the mean alone; Step and Next are the same; derivatives
// are those of differences in float64.
TEST(HomoscedasticEnsemble, TheStepFollowsItsDraws) {
  HomoscedasticEnsemble model = Model();
  model.Fit(BufferOf(LinearRows(500, 0.05)), Rng(2));
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  for (const int64_t rows : {1, 7, 40}) {
    const torch::NoGradGuard no_grad;
    const torch::Tensor obs = torch::randn({rows, 3}, generator);
    const torch::Tensor action = torch::rand({rows, 2}, generator) * 2 - 1;
    const StepDraws draws = DrawStep(model, rows, generator);
    ModelSample sample{.next_obs = torch::empty({rows, 3}),
                       .reward = torch::empty({rows}),
                       .hypothesis = torch::empty({rows}, torch::kInt64)};
    model.Step(obs, action, draws, sample);
    const ModelStep twin = model.Next(obs, action, draws);
    EXPECT_TRUE(torch::equal(twin.next_obs, sample.next_obs));
    EXPECT_TRUE(torch::equal(twin.reward, sample.reward));
    const GaussianPrediction prediction = model.Predict(obs, action, Members::kElites);
    const int64_t share = (rows + 3) / 4;
    for (int64_t slot = 0; slot < rows; ++slot) {
      const auto row = draws.deal[slot].item<int64_t>();
      const int64_t hypothesis = slot / share;
      EXPECT_EQ(sample.hypothesis[row].item<int64_t>(), hypothesis);
      const torch::Tensor mean = prediction.mean[hypothesis][row];
      const torch::Tensor std = prediction.var[hypothesis][row].sqrt().narrow(0, 0, 3);
      EXPECT_TRUE(
          torch::allclose(sample.next_obs[row], obs[row] + mean.narrow(0, 0, 3) + std * draws.noise[slot], 1e-4, 1e-4));
      EXPECT_NEAR(sample.reward[row].item<double>(), mean[3].item<double>(), 1e-4);
    }
  }

  const torch::Tensor obs = torch::randn({5, 3}, generator).to(torch::kFloat64);
  const torch::Tensor action = torch::randn({5, 2}, generator).to(torch::kFloat64);
  const StepDraws draws = DrawStep(model, 5, generator);
  const auto sum = [&](const torch::Tensor& s, const torch::Tensor& a) {
    const ModelStep step = model.Next(s, a, draws);
    return step.next_obs.square().sum() + step.reward.sum();
  };
  const torch::Tensor s = obs.clone().requires_grad_();
  const torch::Tensor a = action.clone().requires_grad_();
  const std::vector<torch::Tensor> gradient = torch::autograd::grad({sum(s, a)}, {s, a});
  const torch::NoGradGuard no_grad;
  const double h = 1e-5;
  for (int64_t row = 0; row < 5; ++row) {
    for (int64_t j = 0; j < 5; ++j) {
      torch::Tensor up = torch::cat({obs, action}, 1);
      torch::Tensor down = up.clone();
      up[row][j] += h;
      down[row][j] -= h;
      const auto value = [&](const torch::Tensor& x) { return sum(x.slice(1, 0, 3), x.slice(1, 3, 5)).item<double>(); };
      const double by_difference = (value(up) - value(down)) / (2 * h);
      const double by_autograd = (j < 3 ? gradient[0][row][j] : gradient[1][row][j - 3]).item<double>();
      EXPECT_NEAR(by_autograd, by_difference, 1e-6 * (1 + std::abs(by_difference)));
    }
  }
}

// The noise of real rows gives their observations; a reward has none. A column that does not vary takes no noise.
TEST(HomoscedasticEnsemble, InferredNoiseGivesTheRealRows) {
  HomoscedasticEnsemble model = Model();
  TransitionBatch rows = LinearRows(500, 0.05);
  rows.obs().select(1, 2).fill_(3);
  rows.next_obs().select(1, 2).fill_(3);
  model.Fit(BufferOf(rows), Rng(2));
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  for (const int64_t count : {1, 7, 40}) {
    const TransitionBatch real{rows.layout, rows.rows.narrow(0, 0, count)};
    const StepDraws draws = InferNoise(model, real, torch::randperm(count, generator, torch::kInt64));
    const ModelStep step = model.Next(real.obs(), real.action(), draws);
    EXPECT_TRUE(torch::allclose(step.next_obs, real.next_obs(), 1e-4, 1e-4));
    EXPECT_FALSE(torch::allclose(step.reward, real.reward(), 1e-4, 1e-4));
    EXPECT_EQ(draws.noise.select(1, 2).abs().max().item<double>(), 0);
    EXPECT_GT(draws.noise.select(1, 0).abs().max().item<double>(), 0);
  }
}

// Which rows are held out, and what each member weighs a row by, is settled when the row comes.
TEST(HomoscedasticEnsemble, ARowsLabelsStay) {
  const auto labels = [](HomoscedasticEnsemble& model) {
    const StateTree state = SaveState(model);
    return state.values().tensors.at("labels").clone();
  };
  HomoscedasticEnsemble model = Model();
  ReplayBuffer buffer = BufferOf(LinearRows(100, 0.05), /*capacity=*/150);
  model.Fit(buffer, Rng(2));
  const torch::Tensor first = labels(model);
  EXPECT_EQ(first.sizes(), at::IntArrayRef({100, 5}));
  EXPECT_GT(first.min().item<double>(), 0);
  model.Fit(buffer, Rng(3));
  EXPECT_TRUE(torch::equal(labels(model), first));
  buffer.Add(LinearRows(80, 0.05, 12));  // the oldest thirty are gone
  model.Fit(buffer, Rng(4));
  const torch::Tensor third = labels(model);
  EXPECT_EQ(third.size(0), 150);
  EXPECT_TRUE(torch::equal(third.narrow(0, 0, 70), first.narrow(0, 30, 70)));
  EXPECT_NEAR(third.narrow(1, 0, 4).mean().item<double>(), 1, 0.15);  // Exp(1)
}

TEST(HomoscedasticEnsemble, AStoppedFitChangesNothing) {
  HomoscedasticEnsemble model = Model();
  ReplayBuffer buffer = BufferOf(LinearRows(300, 0.05));
  model.Fit(buffer, Rng(2));
  const StateTree before = SaveState(model);
  buffer.Add(LinearRows(50, 0.05, 12));
  int asked = 0;
  EXPECT_FALSE(model.Fit(buffer, Rng(3), [&] { return ++asked == 5; }).has_value());
  const StateTree after = SaveState(model);
  for (const auto& [name, tensor] : before.values().tensors) {
    EXPECT_TRUE(torch::equal(tensor, after.values().tensors.at(name))) << name;
  }
}

TEST(HomoscedasticEnsemble, AMinibatchWaitsForNothing) {
  HomoscedasticEnsemble model = Model();
  const torch::NoGradGuard no_grad;
  const HostWaits waits;
  model.ComputeGradients(torch::ones({64, 5}), torch::ones({64, 4}), torch::ones({64, 4}));
  model.ApplyGradients();
  EXPECT_EQ(waits.names(), std::vector<std::string>());
}

// On the CPU a minibatch's gradients are added up over blocks of its rows.
TEST(HomoscedasticEnsemble, GradientsAreThoseOfTheLoss) {
  HomoscedasticEnsembleConfig config = SmallConfig();
  config.dropout = {0, 0, 0};
  HomoscedasticEnsemble model(config, {.layout = kLayout, .learn_reward = false}, Rng(1), torch::kCPU);
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  model.Fit(BufferOf(LinearRows(200, 0.1)), Rng(3));
  const torch::Tensor inputs = torch::randn({700, 5}, generator);
  const torch::Tensor targets = torch::randn({700, 3}, generator);
  const torch::Tensor weights = torch::rand({700, 4}, generator);
  torch::Tensor loss;
  {
    const torch::NoGradGuard no_grad;
    loss = model.ComputeGradients(inputs, targets, weights);
  }
  const torch::Tensor in_blocks = model.parameters().grads().clone();
  const torch::Tensor whole = model.Loss(inputs, targets.expand({4, 700, 3}), weights.t(), nullptr);
  std::vector<torch::Tensor> leaves = model.mlp().leaves();
  leaves.push_back(model.log_std());
  BackPropagate(whole, {&model.parameters()}, leaves);
  EXPECT_NEAR(loss.item<double>(), whole.item<double>(), 1e-5 * std::abs(whole.item<double>()));
  EXPECT_LT((in_blocks - model.parameters().grads()).norm().item<double>(),
            1e-5 * model.parameters().grads().norm().item<double>());
}

// A column that does not vary is predicted exactly and is not shown to the networks.
TEST(HomoscedasticEnsemble, AConstantStaysConstant) {
  TransitionBatch rows = LinearRows(300, 0.05);
  rows.obs().select(1, 2).fill_(0.3);
  rows.next_obs().select(1, 2).fill_(0.3);
  HomoscedasticEnsemble model = Model();
  const Metrics metrics = model.Fit(BufferOf(rows), Rng(2));
  EXPECT_TRUE(std::isfinite(metrics.Find("holdout_score").value()));
  const torch::NoGradGuard no_grad;
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  torch::Tensor obs = rows.obs().narrow(0, 0, 20).clone();
  for (int t = 0; t < 25; ++t) {
    obs = model.Next(obs, rows.action().narrow(0, 0, 20), DrawStep(model, 20, generator)).next_obs;
  }
  EXPECT_TRUE(torch::isfinite(obs).all().item<bool>());
  EXPECT_TRUE(torch::equal(obs.select(1, 2), torch::full({20}, 0.3F)));
}

}  // namespace
}  // namespace reverie
