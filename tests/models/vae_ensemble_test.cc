#include "reverie/models/vae_ensemble.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "fork_rows.h"

namespace reverie {
namespace {

const auto kDouble = torch::TensorOptions(torch::kFloat64);

std::unique_ptr<ConditionalVae> MadeVae(const VaeConfig& config, int64_t targets, torch::Generator& generator) {
  auto vae = std::make_unique<ConditionalVae>(config, /*learning_rate=*/1e-3, /*members=*/2, /*input_dim=*/3, targets,
                                              Rng(1), torch::kCPU);
  const torch::NoGradGuard no_grad;
  vae->all_parameters().values().normal_(0, 0.4, generator);
  return vae;
}

double OfGaussian(double std) { return 0.5 * std::log(2 * std::numbers::pi * std::numbers::e * std * std); }

// Of a lone latent number the density of draws is an integral over it, here in equal steps.
TEST(VaeEnsemble, TheBoundOfManyDrawsIsTheDensityOfSteps) {
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  const auto vae = MadeVae({.latents = 1, .hidden = {12}}, 2, generator);
  const torch::NoGradGuard no_grad;
  constexpr int64_t kRows = 6;
  constexpr int64_t kPoints = 4001;
  const torch::Tensor z = torch::randn({1, kRows, 3}, generator, kDouble).expand({2, -1, -1});
  const torch::Tensor y = vae->Sample(z, torch::randn({2, kRows, 3}, generator, kDouble));
  const torch::Tensor u = torch::linspace(-8, 8, kPoints, kDouble);
  const auto drawn = [&](double eps) {  // [2, rows, points, targets]
    const torch::Tensor noise = torch::cat({u.view({-1, 1}), torch::full({kPoints, 2}, eps, kDouble)}, 1);
    return vae
        ->Sample(z.unsqueeze(2).expand({-1, -1, kPoints, -1}).reshape({2, -1, 3}),
                 noise.expand({2, kRows, -1, -1}).reshape({2, -1, 3}))
        .view({2, kRows, kPoints, 2});
  };
  const torch::Tensor mean = drawn(0);
  const torch::Tensor std = drawn(1) - mean;
  const torch::Tensor log_p =
      (-0.5 * ((y.unsqueeze(2) - mean) / std).square() - std.log() - 0.5 * std::log(2 * std::numbers::pi)).sum(-1);
  const torch::Tensor log_prior = -0.5 * u.square() - 0.5 * std::log(2 * std::numbers::pi);
  const torch::Tensor density = torch::logsumexp(log_p + log_prior, -1) + std::log(16.0 / (kPoints - 1));
  const torch::Tensor bound = vae->Bound(z, y, torch::randn({20'000, 1, kRows, 1}, generator, kDouble));
  EXPECT_LT((bound - density).abs().max().item<double>(), 0.1) << bound << density;
  EXPECT_LT((bound - density).abs().mean().item<double>(), 0.02);
  // With few draws it lies below in the mean.
  const torch::Tensor few = vae->Bound(z.repeat({1, 500, 1}), y.repeat({1, 500, 1}),
                                       torch::randn({2, 1, kRows * 500, 1}, generator, kDouble));
  EXPECT_LT(few.mean().item<double>(), bound.mean().item<double>());
}

// The divergence is the mean of what draws say of it.
TEST(VaeEnsemble, ItsTermsAreTheBoundOfOneDraw) {
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  const auto vae = MadeVae({.latents = 3, .hidden = {12}}, 2, generator);
  const torch::NoGradGuard no_grad;
  constexpr int64_t kDraws = 100'000;
  const torch::Tensor z = torch::randn({2, 1, 3}, generator, kDouble).expand({-1, kDraws, -1});
  const torch::Tensor y = torch::randn({2, 1, 2}, generator, kDouble).expand({-1, kDraws, -1});
  const torch::Tensor noise = torch::randn({2, kDraws, 3}, generator, kDouble);
  const ConditionalVae::Terms terms = vae->TermsOf(z, y, noise);
  const torch::Tensor by_draws = vae->Bound(z, y, noise.unsqueeze(0));
  const torch::Tensor error = by_draws + terms.nll + terms.kl.sum(-1);
  const torch::Tensor z_score = error.mean(1) / (error.std(1) / std::sqrt(static_cast<double>(kDraws)));
  EXPECT_LT(z_score.abs().max().item<double>(), 4) << error.mean(1);
  EXPECT_GT(error.std().item<double>(), 0.01) << "draws that say something";
}

TEST(VaeEnsemble, DivergenceComesInOverTheWarmUpAndSomeOfItIsFree) {
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  const torch::Tensor z = torch::randn({2, 50, 3}, generator);
  const torch::Tensor y = torch::randn({2, 50, 2}, generator);
  const auto loss_after = [&](const VaeConfig& config, int64_t steps, double weight) {
    ConditionalVae vae(config, /*learning_rate=*/1e-3, /*members=*/2, /*input_dim=*/3, /*target_dim=*/2, Rng(1),
                       torch::kCPU);
    torch::Generator of_steps = MakeGenerator(Rng(3), torch::kCPU);
    for (int64_t i = 0; i < steps; ++i) {
      vae.Step(z, y, of_steps);
    }
    torch::Generator same = of_steps.clone();
    const torch::NoGradGuard no_grad;
    const ConditionalVae::Terms terms = vae.TermsOf(z, y, torch::empty({2, 50, 4}).normal_(0, 1, same));
    const torch::Tensor kl = terms.kl.mean(1);
    const double wanted =
        (terms.nll.mean(1) +
         weight * torch::where(kl < config.free_bits, torch::full_like(kl, config.free_bits), kl).sum(-1))
            .sum()
            .item<double>();
    EXPECT_NEAR(vae.Step(z, y, of_steps).item<double>(), wanted, 1e-4 * std::abs(wanted));
    EXPECT_EQ(vae.WarmUp(), config.warm_up - steps - 1);
    return kl;
  };
  loss_after({.latents = 4, .samples = 1, .free_bits = 0, .warm_up = 0, .hidden = {16}}, 0, 1);
  loss_after({.latents = 4, .samples = 1, .free_bits = 0, .warm_up = 10, .hidden = {16}}, 4, 0.4);
  loss_after({.latents = 4, .samples = 1, .free_bits = 0, .warm_up = 3, .hidden = {16}}, 5, 1);
  const torch::Tensor kl =
      loss_after({.latents = 4, .samples = 1, .free_bits = 0.02, .warm_up = 0, .hidden = {16}}, 2, 1);
  EXPECT_TRUE((kl < 0.02).any().item<bool>() && (kl > 0.02).any().item<bool>()) << kl;
}

// Of several draws it is the bound that is made greater.
TEST(VaeEnsemble, TrainsOnTheBoundOfItsSamples) {
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  const torch::Tensor z = torch::randn({2, 50, 3}, generator);
  const torch::Tensor y = torch::randn({2, 50, 2}, generator);
  ConditionalVae vae({.latents = 4, .samples = 5, .warm_up = 4, .hidden = {16}}, /*learning_rate=*/1e-2, /*members=*/2,
                     /*input_dim=*/3, /*target_dim=*/2, Rng(1), torch::kCPU);
  for (const double beta : {0.0, 0.25, 0.5, 0.75, 1.0, 1.0}) {
    torch::Generator same = generator.clone();
    const torch::Tensor noise = torch::empty({5, 2, 50, 4}).normal_(0, 1, same);
    const torch::NoGradGuard no_grad;
    // Draw by draw.
    std::vector<torch::Tensor> log_weights;
    for (int64_t k = 0; k < 5; ++k) {
      const torch::Tensor nll = vae.TermsOf(z, y, noise[k]).nll;
      const torch::Tensor log_ratio = vae.Bound(z, y, noise.narrow(0, k, 1)) + nll;  // log p(l) / q(l)
      log_weights.push_back(beta * log_ratio - nll);
    }
    const double wanted =
        -(torch::logsumexp(torch::stack(log_weights), 0) - std::log(5.0)).mean(1).sum().item<double>();
    EXPECT_NEAR(vae.Step(z, y, generator).item<double>(), wanted, 1e-4 * std::abs(wanted)) << beta;
  }
}

// x' = 3 x / 2 + 0.3 eps.
ReplayBuffer LinearRows(int64_t count, torch::Generator& generator) {
  const TransitionLayout layout{.obs_dim = 1, .act_dim = 1};
  TransitionBatch rows = TransitionBatch::Empty(layout, count, torch::kCPU);
  rows.rows.zero_();
  rows.obs().normal_(0, 1, generator);
  rows.action().uniform_(-1, 1, generator);
  rows.next_obs().copy_(1.5 * rows.obs() + 0.3 * torch::randn({count, 1}, generator));
  ReplayBuffer buffer(layout, count, torch::kCPU);
  buffer.Add(rows);
  return buffer;
}

// Where a Gaussian is the truth, the bound comes near it.
TEST(VaeEnsemble, TheBoundOfAGaussianIsTight) {
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  const ReplayBuffer data = LinearRows(5000, generator);
  VaeEnsembleConfig config;
  config.members = 1;
  config.vae.hidden = {16};
  config.learning_rate = 3e-3;
  config.batch_size = 128;
  VaeEnsemble model(config, {.layout = data.layout()}, Rng(1), torch::kCPU);
  model.Fit(data, Rng(2));
  EXPECT_NEAR(NllOf(model, LinearRows(5000, generator).All()), OfGaussian(0.3), 0.02);
}

// A warm-up of many epochs on few rows overfits before it is over, and does not keep that.
TEST(VaeEnsemble, LearnsFromFewRowsByItsDefaults) {
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  const ReplayBuffer data = LinearRows(200, generator);
  VaeEnsembleConfig config;
  config.members = 1;
  VaeEnsemble model(config, {.layout = data.layout()}, Rng(1), torch::kCPU);
  const Metrics metrics = *model.Fit(data, Rng(2), [] { return false; });
  EXPECT_GE(*metrics.Find("epochs"), 1000);
  EXPECT_LT(NllOf(model, LinearRows(2000, generator).All()), OfGaussian(0.3) + 0.25);
}

TEST(VaeEnsemble, KnowsTheFork) {
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  const Fork::Options options{.dimensions = 2};
  const ReplayBuffer data = ForkRows(options, 5000, 1);
  const TransitionBatch rows = ForkRows(options, 5000, 2).All();
  VaeEnsembleConfig config;
  config.members = 1;
  config.vae.hidden = {48, 48};
  config.batch_size = 128;
  config.learning_rate = 3e-3;
  config.holdout.patience = 10;
  VaeEnsemble model(config, {.layout = data.layout()}, Rng(1), torch::kCPU);
  const Metrics metrics = *model.Fit(data, Rng(2), [] { return false; });
  EXPECT_NEAR(NllOf(model, rows), std::numbers::ln2 / 2 + OfGaussian(Fork::kNoise), 0.15);
  EXPECT_GE(*metrics.Find("active_0"), 1);
  EXPECT_FALSE(ScoreSteps(model, rows, rows).overall.Find("nll").has_value()) << "a bound is called one";
  EXPECT_LT(EnergyDistance(model, options, generator), 0.01);
}

}  // namespace
}  // namespace reverie
