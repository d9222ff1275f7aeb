#include "reverie/models/gaussian_process.h"

#include <gtest/gtest.h>

#include <cmath>

#include "reverie/data/replay_buffer.h"

namespace reverie {
namespace {

const TransitionLayout kLayout{.obs_dim = 1, .act_dim = 1};

// x' = x + sin(2 x) + a / 2 + 0.05 N.
ReplayBuffer SineRows(int64_t count, uint64_t seed) {
  torch::Generator generator = MakeGenerator(Rng(seed), torch::kCPU);
  TransitionBatch rows = TransitionBatch::Empty(kLayout, count, torch::kCPU);
  rows.rows.zero_();
  rows.obs().uniform_(-2, 2, generator);
  rows.action().uniform_(-1, 1, generator);
  rows.next_obs().copy_(rows.obs() + torch::sin(2 * rows.obs()) + 0.5 * rows.action() +
                        0.05 * torch::randn({count, 1}, generator));
  ReplayBuffer buffer(kLayout, count, torch::kCPU);
  buffer.Add(rows);
  return buffer;
}

torch::Tensor TrueMean(const TransitionBatch& rows) {
  return rows.obs() + torch::sin(2 * rows.obs()) + 0.5 * rows.action();
}

TEST(GaussianProcess, FewRowsTellItTheFunctionAndTheNoise) {
  for (const bool sparse : {false, true}) {
    GaussianProcessConfig config{.draws = 20, .features = 512};
    if (sparse) {
      config.exact_rows = 60;
      config.inducing = 40;
    }
    GaussianProcess model(config, {.layout = kLayout}, Rng(1), torch::kCPU);
    const Metrics metrics = model.Fit(SineRows(150, 1), Rng(2));
    const TransitionBatch rows = SineRows(500, 9).All();
    const torch::NoGradGuard no_grad;
    const GaussianPrediction said = model.Predict(rows.obs(), rows.action(), Members::kElites);
    const torch::Tensor mean = model.DecodeObs(said.mean, rows.obs()).mean(0);
    EXPECT_LT((mean - TrueMean(rows)).square().mean().sqrt().item<double>(), 0.03) << sparse;
    EXPECT_NEAR(said.var.sqrt().mean().item<double>(), 0.05, 0.01) << sparse;
    EXPECT_NEAR(metrics.Find("noise_std").value() * model.target_std()[0].item<double>(), 0.05, 0.01);
    EXPECT_GT(metrics.Find("length_1").value(), metrics.Find("length_0").value()) << "the action's line is longer";
  }
}

// In a gap between rows, too, where networks that are fitted often agree.
TEST(GaussianProcess, DisagreesInAGap) {
  const TransitionBatch all = SineRows(400, 1).All();
  const torch::Tensor outside = (all.obs().abs() > 0.9).flatten().nonzero().flatten();
  const TransitionBatch some{kLayout, all.rows.index_select(0, outside)};
  ReplayBuffer data(kLayout, some.size(), torch::kCPU);
  data.Add(some);
  GaussianProcess model({.draws = 20, .features = 512}, {.layout = kLayout}, Rng(1), torch::kCPU);
  model.Fit(data, Rng(2));
  const torch::NoGradGuard no_grad;
  const auto spread = [&](double obs) {
    const torch::Tensor at = torch::full({1, 1}, obs);
    return model.Predict(at, torch::zeros({1, 1}), Members::kElites).mean.std(0, /*unbiased=*/true).item<double>();
  };
  EXPECT_GT(spread(0), 4 * spread(1.4));
  EXPECT_GT(spread(0), 4 * spread(-1.4));
}

// What a hypothesis says at two neighbours belongs together, as draws of marginals would not.
TEST(GaussianProcess, AHypothesisIsAFunction) {
  GaussianProcess model({.draws = 200, .features = 512}, {.layout = kLayout}, Rng(1), torch::kCPU);
  model.Fit(SineRows(20, 1), Rng(2));
  const torch::NoGradGuard no_grad;
  const torch::Tensor at = torch::tensor({3.0F, 3.05F}).view({2, 1});  // beyond the rows
  const torch::Tensor said = model.Predict(at, torch::zeros({2, 1}), Members::kElites).mean.squeeze(2);
  const torch::Tensor centred = said - said.mean(0);
  const double correlation =
      ((centred.select(1, 0) * centred.select(1, 1)).mean() / (centred.square().mean(0).prod().sqrt())).item<double>();
  EXPECT_GT(correlation, 0.98);
  EXPECT_GT(centred.square().mean().sqrt().item<double>(), 0.02);
}

TEST(GaussianProcess, MoreRowsThanItTakesExactlyAreGivenToASparseOne) {
  GaussianProcess model(
      {.draws = 5, .exact_rows = 100, .inducing = 12, .features = 256, .iterations = 15, .restarts = 0},
      {.layout = kLayout}, Rng(1), torch::kCPU);
  model.Fit(SineRows(80, 1), Rng(2));
  const auto used = [&] { return SaveState(model).values().tensors.at("centres_used").item<int64_t>(); };
  EXPECT_EQ(used(), 80);
  model.Fit(SineRows(101, 1), Rng(3));
  EXPECT_EQ(used(), 12);
  model.Fit(SineRows(2000, 1), Rng(4));
  EXPECT_EQ(used(), 12);
}

}  // namespace
}  // namespace reverie
