#include "reverie/models/diffusion_ensemble.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "fork_rows.h"

namespace reverie {
namespace {

const auto kDouble = torch::TensorOptions(torch::kFloat64);

// y ~ sum_k N(mean_k, std_k^2) / 2 of two components, whose processes are known.
struct Mixture {
  torch::Tensor mean, std;  // [2]

  // log p of y where it is scaled by `scale` and has noise of that level.
  torch::Tensor LogDensity(const torch::Tensor& y, double scale, double level) const {
    const torch::Tensor variance = (scale * std).square() + level * level;
    const torch::Tensor each =
        -0.5 * ((y.unsqueeze(-1) - scale * mean).square() / variance + variance.log() + std::log(2 * std::numbers::pi));
    return torch::logsumexp(each, -1) - std::numbers::ln2;
  }

  // E[y | scale y + level eps = at].
  torch::Tensor Denoised(const torch::Tensor& at, double scale, double level) const {
    const torch::Tensor variance = (scale * std).square() + level * level;
    const torch::Tensor off = at.unsqueeze(-1) - scale * mean;
    const torch::Tensor weight = torch::softmax(-0.5 * (off.square() / variance + variance.log()), -1);
    return (weight * (mean + scale * std.square() / variance * off)).sum(-1);
  }

  double Cdf(double y) const {
    double sum = 0;
    for (int64_t k = 0; k < 2; ++k) {
      sum += 0.25 * std::erfc(-(y - mean[k].item<double>()) / (std[k].item<double>() * std::numbers::sqrt2));
    }
    return sum;
  }
};

// F of a process of that mixture.
ConditionalDiffusion::Form FormOf(const Mixture& mixture, DiffusionProcess process) {
  return [&mixture, process](const torch::Tensor& at, double time) {
    if (process == DiffusionProcess::kEdm) {
      const double root = std::sqrt(1 + time * time);
      return (mixture.Denoised(root * at, 1, time) - at / root) * (root / time);
    }
    if (time == 1) {
      return 0 * at;
    }
    // v = u - eps, of which u_t = (1 - t) eps + t u.
    const torch::Tensor clean = mixture.Denoised(at, time, 1 - time);
    const torch::Tensor v = clean - (at - time * clean) / (1 - time);
    return v - (2 * time - 1) / (time * time + (1 - time) * (1 - time)) * at;
  };
}

ConditionalDiffusion Made(DiffusionProcess process, int64_t steps, int64_t targets = 1) {
  return {
      {.process = process, .steps = steps, .hidden = {24, 24}}, 1e-3, /*members=*/1, 2, targets, Rng(1), torch::kCPU};
}

// Weights that make F what it is not at first, the same in the networks that are trained and those that predict.
void Randomize(ConditionalDiffusion& diffusion, torch::Generator& generator) {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> all = diffusion.parameters();
  const size_t half = all.size() / 2;
  for (size_t i = 0; i < half; ++i) {
    all[i].add_(0.3 * torch::randn(all[i].sizes(), generator));
    all[i + half].copy_(all[i]);
  }
}

// With F of a distribution that is known, so that nothing is learned: draws by Kolmogorov and Smirnov.
TEST(DiffusionEnsemble, AKnownFormGivesItsDistribution) {
  // Of mean 0 and variance 1, as edm begins.
  const Mixture mixture{torch::tensor({-0.95, 0.95}, kDouble), torch::full({2}, std::sqrt(1 - 0.95 * 0.95), kDouble)};
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  constexpr int64_t kDraws = 4000;
  for (const DiffusionProcess process : {DiffusionProcess::kFlowMatching, DiffusionProcess::kEdm}) {
    const ConditionalDiffusion diffusion = Made(process, 100);
    const auto form = FormOf(mixture, process);
    const torch::NoGradGuard no_grad;
    const torch::Tensor noise = torch::randn({1, kDraws, 1}, generator, kDouble);
    const torch::Tensor drawn = std::get<0>(diffusion.SampleBy(form, noise).flatten().sort());
    double distance = 0;
    for (int64_t i = 0; i < kDraws; ++i) {
      const double cdf = mixture.Cdf(drawn[i].item<double>());
      distance = std::max({distance, cdf - static_cast<double>(i) / kDraws, static_cast<double>(i + 1) / kDraws - cdf});
    }
    EXPECT_LT(distance, 1.63 / std::sqrt(static_cast<double>(kDraws))) << "p > 0.01";
    const torch::Tensor at = torch::linspace(-1.8, 1.8, 61, kDouble);
    const torch::Tensor density = diffusion.LogDensityBy(form, at.view({1, -1, 1})).flatten();
    EXPECT_LT((density - mixture.LogDensity(at, 1, 0)).abs().max().item<double>(), 0.005);
    // As many steps as there are by default are near.
    const ConditionalDiffusion few = Made(process, 8);
    EXPECT_LT((few.SampleBy(form, noise) - diffusion.SampleBy(form, noise)).abs().mean().item<double>(), 0.015);
    // The bound is tight where the denoiser is the best one.
    const torch::Tensor component = torch::rand({20'000}, generator, kDouble) < 0.5;
    const torch::Tensor y =
        torch::where(component, mixture.mean[0], mixture.mean[1]) +
        torch::where(component, mixture.std[0], mixture.std[1]) * torch::randn({20'000}, generator, kDouble);
    const auto best = [&](const torch::Tensor& noisy, const torch::Tensor& level) {
      const torch::Tensor variance = mixture.std.square() + level.square();
      const torch::Tensor off = noisy - mixture.mean;
      const torch::Tensor weight = torch::softmax(-0.5 * (off.square() / variance + variance.log()), -1);
      return (weight * (mixture.mean + mixture.std.square() / variance * off)).sum(-1, /*keepdim=*/true);
    };
    EXPECT_NEAR(diffusion.BoundBy(best, y.view({1, -1, 1}), generator).item<double>(),
                -mixture.LogDensity(y, 1, 0).mean().item<double>(), 0.05);
    // And has all its terms: -log N(u; 0, 1) with its D, however far u is from 0.
    for (const double far : {0.0, 6.0}) {
      const auto normal = [](const torch::Tensor& noisy, const torch::Tensor& level) {
        return noisy / (level.square() + 1);
      };
      const double of_normal = 0.5 * (far * far + std::log(2 * std::numbers::pi));
      EXPECT_NEAR(diffusion.BoundBy(normal, torch::full({1, 200'000, 1}, far, kDouble), generator).item<double>(),
                  of_normal, 0.03 + 0.003 * of_normal);
    }
  }
}

// The networks that predict are averages of those that are trained.
TEST(DiffusionEnsemble, PredictsWithMeansOfItsNetworks) {
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  for (const DiffusionProcess process : {DiffusionProcess::kFlowMatching, DiffusionProcess::kEdm}) {
    ConditionalDiffusion diffusion = Made(process, 8);
    const auto of = [&](const std::string& name) {
      const StateTree state = SaveState(diffusion);
      return state.values().tensors.at(name).clone();
    };
    const torch::Tensor z = torch::randn({1, 50, 2}, generator);
    const torch::Tensor y = torch::randn({1, 50, 1}, generator);
    torch::Tensor mean = of("parameters");
    diffusion.BeginFit();
    for (int64_t step = 0; step < 2500; ++step) {
      diffusion.Step(z, y, generator);
      const double share = std::max(10.0 / (10.0 + static_cast<double>(step)), 5e-3);
      mean = mean + share * (of("parameters") - mean);
    }
    EXPECT_TRUE(torch::allclose(of("mean_parameters"), mean, 1e-3, 1e-5));
    EXPECT_FALSE(torch::allclose(of("parameters"), mean, 1e-3, 1e-5));
  }
}

// With weights that say something: draws are those of the equation in u, by the denoiser.
TEST(DiffusionEnsemble, DrawsFollowTheDenoiser) {
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  for (const DiffusionProcess process : {DiffusionProcess::kFlowMatching, DiffusionProcess::kEdm}) {
    ConditionalDiffusion diffusion = Made(process, 200, 2);
    Randomize(diffusion, generator);
    const torch::NoGradGuard no_grad;
    const torch::Tensor z = torch::randn({1, 6, 2}, generator, kDouble);
    const torch::Tensor condition = diffusion.ConditionAt(z);
    const torch::Tensor noise = torch::randn({1, 6, 2}, generator, kDouble);
    // du/dl = (u - D) / l in equal steps of log l, down from 5; flow matching from u_l / (1 + l) = eps.
    const bool edm = process == DiffusionProcess::kEdm;
    const double most = edm ? 5 : 1e4;
    constexpr double kLeast = 2e-3;
    constexpr int64_t kSteps = 4000;
    const double step = std::log(kLeast / most) / kSteps;
    torch::Tensor u = (edm ? std::sqrt(26.0) : 1 + most) * noise;
    const auto slope = [&](const torch::Tensor& at, double log_level) {
      return at - diffusion.DenoisedAt(at, torch::full({1, 6, 1}, std::exp(log_level), kDouble), condition);
    };
    for (int64_t i = 0; i < kSteps; ++i) {
      const double x = std::log(most) + static_cast<double>(i) * step;
      const torch::Tensor first = slope(u, x);
      u = u + step / 2 * (first + slope(u + step * first, x + step));
    }
    const torch::Tensor mean = condition.narrow(2, 2, 2);
    const torch::Tensor std = (0.5 * condition.narrow(2, 4, 2)).exp();
    EXPECT_TRUE(torch::allclose(diffusion.Sample(z, noise), mean + std * u, 0.01, 0.01))
        << diffusion.Sample(z, noise) << mean + std * u;
  }
}

// A target that rested over the training rows is not looked at, whatever it does in others.
TEST(DiffusionEnsemble, IsJudgedByWhatVaried) {
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  ConditionalDiffusion diffusion = Made(DiffusionProcess::kFlowMatching, 8, 2);
  diffusion.varying().copy_(torch::tensor({1.0, 0.0}));
  const torch::Tensor z = torch::randn({50, 2}, generator);
  torch::Tensor y = torch::randn({50, 2}, generator);
  torch::Generator one = MakeGenerator(Rng(3), torch::kCPU), two = MakeGenerator(Rng(3), torch::kCPU);
  const torch::Tensor error = diffusion.HoldoutError(z, y, one);
  y.select(1, 1).fill_(1000);
  EXPECT_TRUE(torch::equal(diffusion.HoldoutError(z, y, two), error));
}

// Row by row it is how far off the denoiser is, weighed by the level.
TEST(DiffusionEnsemble, TheLossIsOfTheDenoiser) {
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  for (const DiffusionProcess process : {DiffusionProcess::kFlowMatching, DiffusionProcess::kEdm}) {
    ConditionalDiffusion diffusion = Made(process, 8, 3);
    Randomize(diffusion, generator);
    const torch::Tensor condition = torch::randn({1, 7, 2 + 2 * 3}, generator);
    const torch::Tensor u = torch::randn({1, 7, 3}, generator);
    const torch::Tensor eps = torch::randn({1, 7, 3}, generator);
    const bool edm = process == DiffusionProcess::kEdm;
    const torch::Tensor times = edm ? torch::randn({1, 7, 1}, generator) : torch::rand({1, 7, 1}, generator);
    const torch::NoGradGuard no_grad;
    const torch::Tensor level = edm ? torch::exp(-1.2 + 1.2 * times) : (1 - times) / times;
    const torch::Tensor off = diffusion.DenoisedAt(u + level * eps, level, condition) - u;
    // c_out^-2; of flow matching D - u = (1 - t) (v - (u - eps)).
    const torch::Tensor weight = edm ? (level.square() + 1) / level.square() : (1 - times).pow(-2);
    const double wanted = (weight * off.square()).mean().item<double>();
    EXPECT_NEAR(diffusion.Loss(condition, u, eps, times).item<double>(), wanted, 1e-3 * wanted);
  }
}

// Before the first gradient step: N(m(z), s(z)^2), in draws and density.
TEST(DiffusionEnsemble, BeginsAsAGaussian) {
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  for (const DiffusionProcess process : {DiffusionProcess::kFlowMatching, DiffusionProcess::kEdm}) {
    const ConditionalDiffusion diffusion = Made(process, 1, 2);
    const torch::NoGradGuard no_grad;
    const torch::Tensor z = torch::randn({1, 5, 2}, generator);
    const torch::Tensor zero = torch::zeros({1, 5, 2});
    const torch::Tensor mean = diffusion.Sample(z, zero);
    const torch::Tensor std = diffusion.Sample(z, zero + 1) - mean;
    EXPECT_TRUE(torch::allclose(diffusion.Sample(z, zero - 3), mean - 3 * std, 1e-4, 1e-5));
    const torch::Tensor y = torch::randn({1, 5, 2}, generator);
    const torch::Tensor expected =
        (-0.5 * (((y - mean) / std).square() + std::log(2 * std::numbers::pi)) - std.log()).sum(-1);
    EXPECT_TRUE(torch::allclose(*diffusion.LogDensity(z.squeeze(0), y.squeeze(0)), expected, 1e-4, 1e-4));
  }
}

TEST(DiffusionEnsemble, KnowsTheFork) {
  const double of_noise = 0.5 * std::log(2 * std::numbers::pi * std::numbers::e * Fork::kNoise * Fork::kNoise);
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  for (const auto& [process, n] : {std::pair(DiffusionProcess::kFlowMatching, 2), {DiffusionProcess::kEdm, 1}}) {
    const Fork::Options options{.dimensions = n};
    const ReplayBuffer data = ForkRows(options, 5000, 1);
    const TransitionBatch rows{data.layout(), ForkRows(options, 1000, 2).All().rows};
    DiffusionEnsembleConfig config;
    config.members = 1;
    config.diffusion = {.process = process, .hidden = {64, 64, 64}};
    config.learning_rate = 2e-3;
    config.batch_size = 128;
    config.holdout.patience = 15;
    DiffusionEnsemble model(config, {.layout = data.layout()}, Rng(1), torch::kCPU);
    model.Fit(data, Rng(2));
    EXPECT_NEAR(NllOf(model, rows), std::numbers::ln2 / static_cast<double>(n) + of_noise, 0.05) << n;
    EXPECT_LT(EnergyDistance(model, options, generator), 0.005) << n;
  }
}

}  // namespace
}  // namespace reverie
