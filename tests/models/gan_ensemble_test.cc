#include "reverie/models/gan_ensemble.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "fork_rows.h"
#include "oracle.h"

namespace reverie {
namespace {

TEST(GanEnsemble, TheCriticsLossAndGradientAreAutograds) {
  const GanConfig config{.latents = 3, .penalty = 7, .hidden = {9, 8}};
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  ConditionalGan gan(config, 1e-4, /*members=*/2, /*input_dim=*/4, /*target_dim=*/3, Rng(1), torch::kCPU);
  gan.varying().copy_(torch::tensor({1.0, 0.0, 1.0}));
  const auto normal = [&](int64_t columns) { return torch::randn({2, 6, columns}, generator); };
  const torch::Tensor z = normal(4 + 2 * 3);
  const torch::Tensor y = normal(3) * gan.varying();
  const torch::Tensor drawn = normal(3) * gan.varying();
  const torch::Tensor share = torch::rand({2, 6, 1}, generator);
  // The leaves are the network's own: what they gather lies in the parameters' block.
  gan.critic_parameters().grads().zero_();
  const torch::Tensor loss = gan.CriticLoss(z, y, drawn, share);
  loss.sum().backward();
  const TemporaryFolder folder;
  WriteTensors(folder.path() / "gan.safetensors", {{"z", z},
                                                   {"y", y},
                                                   {"drawn", drawn},
                                                   {"share", share},
                                                   {"varying", gan.varying()},
                                                   {"hidden", torch::tensor({9.0, 8.0})},
                                                   {"penalty", torch::tensor(7.0)},
                                                   {"parameters", gan.critic_parameters().values()},
                                                   {"loss", loss.detach()},
                                                   {"gradient", gan.critic_parameters().grads()}});
  EXPECT_EQ(RunPython("models/gan_oracle.py", folder.path(), "gan.safetensors"), 0);
}

TEST(GanEnsemble, IsJudgedByTheEnergyScore) {
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  ConditionalGan gan({.latents = 1, .noise_floor = 0.7, .hidden = {4}}, 1e-4, /*members=*/2, /*input_dim=*/1,
                     /*target_dim=*/2, Rng(1), torch::kCPU);
  // Networks that say 0, so that draws are N(0, (0.7 s)^2 I), with the s^2 that the bounds make of a raw 0.
  const double softly = 4 - std::log1p(std::exp(4.0));
  const double s = std::exp(0.5 * (-14 + std::log1p(std::exp(softly + 14))));
  const torch::NoGradGuard no_grad;
  for (const torch::Tensor& parameter : gan.parameters()) {
    torch::Tensor values = parameter;
    values.zero_();
  }
  const torch::Tensor z = torch::zeros({20'000, 1});
  const torch::Tensor y = torch::zeros({20'000, 2});
  // Of N(0, s^2 I) in two dimensions: E|Y| = s sqrt(pi / 2), E|Y - Y'| = sqrt(2) E|Y|.
  const double mean = 0.7 * s * std::sqrt(std::numbers::pi / 2);
  const torch::Tensor score = gan.HoldoutError(z, y, generator);
  EXPECT_TRUE(torch::allclose(score, torch::full({2}, mean * (1 - std::sqrt(0.5)) / std::sqrt(2.0)), 0.02)) << score;
  // One target alone: E|Y| = s sqrt(2 / pi).
  gan.varying().copy_(torch::tensor({0.0, 1.0}));
  const double one = 0.7 * s * std::sqrt(2 / std::numbers::pi);
  EXPECT_TRUE(torch::allclose(gan.HoldoutError(z, y, generator), torch::full({2}, one * (1 - std::sqrt(0.5))), 0.02));
}

// A number that moves in a hold-out row alone, which one of these rows is.
TEST(GanEnsemble, IsNotJudgedByWhatRestsInTraining) {
  GanEnsembleConfig config;
  config.members = 1;
  config.gan.hidden = {8};
  config.holdout.max_epochs = 2;
  const TransitionLayout layout{.obs_dim = 2, .act_dim = 1};
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  TransitionBatch rows = TransitionBatch::Empty(layout, 100, torch::kCPU);
  rows.rows.zero_();
  rows.next_obs().select(1, 0).normal_(0, 1, generator);
  bool in_holdout = false;
  for (int64_t row = 0; row < 100 && !in_holdout; ++row) {
    const TransitionBatch moved{layout, rows.rows.clone()};
    moved.next_obs()[row][1] = 1000;
    ReplayBuffer data(layout, 100, torch::kCPU);
    data.Add(moved);
    GanEnsemble model(config, {.layout = layout}, Rng(1), torch::kCPU);
    const Metrics metrics = *model.Fit(data, Rng(2), [] { return false; });
    const torch::NoGradGuard no_grad;
    in_holdout = (model.Predict(rows.obs(), rows.action(), Members::kAll).var.select(2, 1) == 0).all().item<bool>();
    if (in_holdout) {
      EXPECT_LT(*metrics.Find("holdout_error_0"), 3);
    }
  }
  EXPECT_TRUE(in_holdout);
}

TEST(GanEnsemble, KnowsTheFork) {
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  const Fork::Options options;
  const ReplayBuffer data = ForkRows(options, 5000, 1);
  GanEnsembleConfig config;
  config.members = 1;
  config.gan.hidden = {64, 64};
  config.learning_rate = 5e-4;
  GanEnsemble model(config, {.layout = data.layout()}, Rng(1), torch::kCPU);
  model.Fit(data, Rng(2));
  EXPECT_LT(EnergyDistance(model, options, generator), 0.02);
}

}  // namespace
}  // namespace reverie
