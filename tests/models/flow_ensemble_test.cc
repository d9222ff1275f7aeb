#include "reverie/models/flow_ensemble.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "fork_rows.h"
#include "oracle.h"
#include "reverie/nn/rational_quadratic_spline.h"

namespace reverie {
namespace {

const auto kDouble = torch::TensorOptions(torch::kFloat64);

FlowConfig SmallFlow() { return {.couplings = 3, .hidden = {16, 12}}; }

// A flow whose functions are none of the simple ones that it begins with.
std::unique_ptr<ConditionalFlow> MadeFlow(const FlowConfig& config, int64_t targets, torch::Generator& generator) {
  auto flow = std::make_unique<ConditionalFlow>(config, /*learning_rate=*/1e-3, /*members=*/2, /*input_dim=*/3, targets,
                                                Rng(1), torch::kCPU);
  const torch::NoGradGuard no_grad;
  flow->all_parameters().values().normal_(0, 0.3, generator);
  return flow;
}

TEST(FlowEnsemble, IsZukos) {
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  for (const CouplingTransform transform : {CouplingTransform::kSpline, CouplingTransform::kAffine}) {
    FlowConfig config = SmallFlow();
    config.transform = transform;
    config.bins = 5;
    const auto flow = MadeFlow(config, 5, generator);
    const torch::Tensor x = torch::empty({200}, kDouble).uniform_(-7, 7, generator);
    const torch::Tensor raw = 2 * torch::randn({200, SplineParameters(8)}, generator, kDouble);
    const torch::Tensor z = torch::randn({2, 40, 3}, generator, kDouble);
    const torch::Tensor y = torch::randn({2, 40, 5}, generator, kDouble);
    const torch::NoGradGuard no_grad;
    const Mapped spline = Spline(x, raw);
    const ConditionalFlow::Explained explained = flow->Explain(z, y);
    std::vector<std::pair<std::string, torch::Tensor>> dump{
        {"x", x},
        {"raw", raw},
        {"spline", spline.value},
        {"spline_log_slope", spline.log_slope},
        {"inverse", InverseSpline(x, raw).value},
        {"z", z},
        {"y", y},
        {"noise", explained.noise},
        {"density", explained.log_density},
        {"hidden", torch::tensor(config.hidden)},
        {"bins", torch::tensor(config.bins)},
        {"couplings", torch::tensor(config.couplings)},
        {"is_spline", torch::tensor(transform == CouplingTransform::kSpline ? 1 : 0)}};
    const StateTree state = SaveState(*flow);
    // Each coupling takes the numbers apart, and every second one the other way round.
    const auto& tensors = state.values().tensors;
    for (int64_t k = 0; k < config.couplings; ++k) {
      const torch::Tensor kept = tensors.at("kept_" + std::to_string(k));
      const torch::Tensor moved = tensors.at("moved_" + std::to_string(k));
      EXPECT_TRUE(torch::equal(std::get<0>(torch::cat({kept, moved}).sort()), torch::arange(5)));
      if (k % 2 == 1) {
        EXPECT_TRUE(torch::equal(kept, tensors.at("moved_" + std::to_string(k - 1))));
      }
    }
    for (const auto& [name, tensor] : state.values().tensors) {
      if (name.starts_with("parameters") || name.starts_with("kept") || name.starts_with("moved")) {
        dump.emplace_back(name, tensor);
      }
    }
    const TemporaryFolder folder;
    WriteTensors(folder.path() / "flow.safetensors", dump);
    EXPECT_EQ(RunPython("models/flow_oracle.py", folder.path(), "flow.safetensors"), 0);
  }
}

TEST(FlowEnsemble, ASplineHasItsInverseAndItsSlope) {
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  const torch::Tensor x = torch::empty({500}, kDouble).uniform_(-6, 6, generator).requires_grad_();
  const torch::Tensor raw = 3 * torch::randn({500, SplineParameters(6)}, generator, kDouble);
  const Mapped there = Spline(x, raw);
  const Mapped back = InverseSpline(there.value, raw);
  EXPECT_LT((back.value - x).abs().max().item<double>(), 1e-8);
  EXPECT_LT((back.log_slope + there.log_slope).abs().max().item<double>(), 1e-6);
  there.value.sum().backward();
  EXPECT_LT((x.grad().log() - there.log_slope).abs().max().item<double>(), 1e-8);
  const torch::NoGradGuard no_grad;
  const Mapped identity = Spline(x, torch::zeros_like(raw));
  EXPECT_LT((identity.value - x).abs().max().item<double>(), 1e-12);
  EXPECT_LT(identity.log_slope.abs().max().item<double>(), 1e-12);
}

// Next to knots, where float32 takes a point out of its bin.
TEST(FlowEnsemble, ASplineOfFloatsIsFiniteNextToItsKnots) {
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  constexpr int64_t kBins = 8;
  const torch::Tensor raw = 3 * torch::randn({20'000, SplineParameters(kBins)}, generator);
  const auto knots = [&](int64_t axis) {
    const torch::Tensor shares = 1e-3 + (1 - 1e-3 * kBins) * torch::softmax(raw.narrow(1, axis * kBins, kBins), 1);
    const torch::Tensor sizes = 10 * shares;
    const torch::Tensor starts = sizes.cumsum(1) - sizes - 5;
    return starts.slice(1, 1);
  };
  for (const bool inverse : {false, true}) {
    const torch::Tensor at = knots(inverse ? 1 : 0);
    for (const torch::Tensor& point :
         {at, at.nextafter(torch::full({}, -10.0F)), at.nextafter(torch::full({}, 10.0F))}) {
      const torch::Tensor x = point.clone().requires_grad_();
      const torch::Tensor own = raw.unsqueeze(1).expand({-1, kBins - 1, -1}).clone().requires_grad_();
      const Mapped mapped = inverse ? InverseSpline(x, own) : Spline(x, own);
      EXPECT_TRUE(torch::isfinite(mapped.value).all().item<bool>());
      EXPECT_TRUE(torch::isfinite(mapped.log_slope).all().item<bool>());
      (mapped.value.sum() + mapped.log_slope.sum()).backward();
      EXPECT_TRUE(torch::isfinite(x.grad()).all().item<bool>()) << inverse;
      EXPECT_TRUE(torch::isfinite(own.grad()).all().item<bool>()) << inverse;
    }
  }
}

TEST(FlowEnsemble, ItsDensityIsThatOfItsDraws) {
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  for (const int64_t targets : {1, 2, 4}) {
    const auto flow = MadeFlow(SmallFlow(), targets, generator);
    const torch::NoGradGuard no_grad;
    const torch::Tensor z = torch::randn({2, 50, 3}, generator, kDouble);
    const torch::Tensor noise = torch::randn({2, 50, targets}, generator, kDouble);
    const torch::Tensor y = flow->Sample(z, noise);
    const ConditionalFlow::Explained explained = flow->Explain(z, y);
    EXPECT_LT((explained.noise - noise).abs().max().item<double>(), 1e-5) << targets;
    // The density is the noise's over what the draw stretches it by, by differences.
    constexpr double kStep = 1e-6;
    torch::Tensor jacobian = torch::empty({2, 50, targets, targets}, kDouble);
    for (int64_t i = 0; i < targets; ++i) {
      torch::Tensor moved = torch::zeros({targets}, kDouble);
      moved[i] = kStep;
      jacobian.select(3, i).copy_((flow->Sample(z, noise + moved) - flow->Sample(z, noise - moved)) / (2 * kStep));
    }
    const torch::Tensor log_normal = (-0.5 * noise.square() - 0.5 * std::log(2 * std::numbers::pi)).sum(-1);
    const torch::Tensor stretched = std::get<1>(torch::slogdet(jacobian.contiguous()));
    EXPECT_LT((explained.log_density - (log_normal - stretched)).abs().max().item<double>(), 1e-4) << targets;
  }
  // And it sums to one.
  const auto flow = MadeFlow(SmallFlow(), 1, generator);
  const torch::NoGradGuard no_grad;
  const torch::Tensor y = torch::linspace(-60, 60, 400'001, kDouble).view({1, -1, 1}).expand({2, -1, -1});
  const torch::Tensor density = flow->Explain(torch::ones({2, 400'001, 3}, kDouble), y).log_density.exp();
  EXPECT_TRUE(torch::allclose(density.sum(1) * (120.0 / 400'000), torch::ones({2}, kDouble), 1e-3))
      << density.sum(1) * (120.0 / 400'000);
}

// It begins as the Gaussian that its head says; targets that rest are in neither noise nor density.
TEST(FlowEnsemble, BeginsAsAGaussianAndLeavesOutWhatRests) {
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  ConditionalFlow flow(SmallFlow(), 1e-3, /*members=*/2, /*input_dim=*/3, /*target_dim=*/4, Rng(1), torch::kCPU);
  const torch::NoGradGuard no_grad;
  const torch::Tensor z = torch::randn({2, 10, 3}, generator, kDouble);
  const torch::Tensor at_zero = flow.Sample(z, torch::zeros({2, 10, 4}, kDouble));
  const torch::Tensor at_one = flow.Sample(z, torch::ones({2, 10, 4}, kDouble));
  EXPECT_TRUE(
      torch::allclose(flow.Sample(z, torch::full({2, 10, 4}, -2.0, kDouble)), at_zero - 2 * (at_one - at_zero)));
  const torch::Tensor whole = flow.Explain(z, at_one).log_density;
  flow.varying().copy_(torch::tensor({1.0, 0.0, 1.0, 0.0}));
  const torch::Tensor std = at_one - at_zero;
  const torch::Tensor of_two =
      (-0.5 - 0.5 * std::log(2 * std::numbers::pi) - std.log()).index_select(2, torch::tensor({0, 2})).sum(2);
  EXPECT_TRUE(torch::allclose(flow.Explain(z, at_one).log_density, of_two));
  EXPECT_FALSE(torch::allclose(whole, of_two));
  EXPECT_TRUE((flow.Sample(z, torch::ones({2, 10, 4}, kDouble)).select(2, 3) == 0).all().item<bool>());
}

TEST(FlowEnsemble, KnowsTheFork) {
  const double of_noise = 0.5 * std::log(2 * std::numbers::pi * std::numbers::e * Fork::kNoise * Fork::kNoise);
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  for (const int64_t n : {1, 2}) {
    const Fork::Options options{.dimensions = n};
    const ReplayBuffer data = ForkRows(options, 5000, 1);
    const TransitionBatch rows = ForkRows(options, 5000, 2).All();
    FlowEnsembleConfig config;
    config.members = 4;
    config.flow = {.couplings = 3, .hidden = {48, 48}};
    config.learning_rate = 2e-3;
    config.batch_size = 128;
    config.holdout.patience = 8;
    FlowEnsemble flows(config, {.layout = data.layout()}, Rng(1), torch::kCPU);
    flows.Fit(data, Rng(2));
    EXPECT_NEAR(NllOf(flows, rows), std::numbers::ln2 / static_cast<double>(n) + of_noise, 0.05) << n;
    EXPECT_LT(EnergyDistance(flows, options, generator), 0.005) << n;
  }
}

}  // namespace
}  // namespace reverie
