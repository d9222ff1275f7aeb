#include "reverie/models/bayesian_network.h"

#include <gtest/gtest.h>

#include <cmath>

#include "oracle.h"

namespace reverie {
namespace {

const TransitionLayout kLayout{.obs_dim = 3, .act_dim = 2};

BayesianNetworkConfig SmallBayesian() {
  return {.draws = 4, .hidden = {24, 16}, .prior_scale = 0.7, .learning_rate = 3e-3, .batch_size = 32};
}

struct Case {
  WeightEstimator estimator;
  int64_t samples;
  double alpha;
};

TEST(BayesianNetwork, AMinibatchIsPyTorchs) {
  for (const Case& one :
       {Case{WeightEstimator::kLocal, 1, 0}, Case{WeightEstimator::kLocal, 3, 0}, Case{WeightEstimator::kLocal, 4, 0.5},
        Case{WeightEstimator::kFlipout, 1, 0}, Case{WeightEstimator::kFlipout, 3, 0.3}}) {
    BayesianNetworkConfig config = SmallBayesian();
    config.estimator = one.estimator;
    config.samples = one.samples;
    config.alpha = one.alpha;
    BayesianNetwork model(config, {.layout = kLayout, .learn_reward = true}, Rng(1), torch::kCPU);
    torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
    {
      // Spreads that matter.
      const torch::NoGradGuard no_grad;
      for (const torch::Tensor& spread : model.spreads()) {
        spread.normal_(-1, 0.5, generator);
      }
    }
    const torch::Tensor inputs = torch::randn({1, 20, 5}, generator);
    const torch::Tensor targets = torch::randn({1, 20, 4}, generator);
    const BayesianNetwork::WeightNoise noise = model.DrawNoise(20, generator);
    const auto number = [](double value) { return torch::tensor(value, torch::kFloat64); };
    std::vector<std::pair<std::string, torch::Tensor>> dump{
        {"inputs", inputs},
        {"targets", targets},
        {"noise.normal", noise.normal},
        {"samples", torch::tensor(one.samples)},
        {"alpha", number(one.alpha)},
        {"prior_scale", number(0.7)},
        {"flipout", torch::tensor(one.estimator == WeightEstimator::kFlipout ? 1 : 0)},
        {"before.raw_log_var", model.spread_parameters().values().slice(0, -4).view({1, 4}).clone()}};
    if (one.estimator == WeightEstimator::kFlipout) {
      EXPECT_TRUE((noise.input_signs.abs() == 1).all().item<bool>());
      EXPECT_LT(noise.unit_signs.mean().abs().item<double>(), 0.3);
      dump.emplace_back("noise.input_signs", noise.input_signs);
      dump.emplace_back("noise.unit_signs", noise.unit_signs);
    }
    model.parameters().grads().zero_();
    model.spread_parameters().grads().zero_();
    const torch::Tensor nll = model.Nll(inputs, targets, noise);
    const torch::Tensor kl = model.Kl();
    (nll + 0.01 * kl).backward();
    dump.emplace_back("nll", nll.detach());
    dump.emplace_back("kl", kl.detach());
    for (size_t i = 0; i < model.means().size(); ++i) {
      for (const auto& [name, leaf] : {std::pair{"mean", model.means()[i]}, std::pair{"spread", model.spreads()[i]}}) {
        dump.emplace_back("before." + (name + std::to_string(i)), leaf.detach().clone());
        dump.emplace_back("grad." + (name + std::to_string(i)), leaf.grad().clone());
      }
    }
    dump.emplace_back("grad.raw_log_var", model.spread_parameters().grads().slice(0, -4).view({1, 4}).clone());
    const TemporaryFolder folder;
    WriteTensors(folder.path() / "step.safetensors", dump);
    EXPECT_EQ(RunPython("models/bayesian_oracle.py", folder.path(), "step.safetensors"), 0)
        << one.samples << " " << one.alpha;
  }
}

// A linear network's distribution is that which is nearest to the posterior of Bayesian linear regression among those
// that take weights for independent: with its means and, weight by weight, its precision (Bishop 2006, 10.1.2).
TEST(BayesianNetwork, ALinearOneIsBayesianLinearRegression) {
  constexpr int64_t kRows = 60;
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  TransitionBatch rows = TransitionBatch::Empty({.obs_dim = 2, .act_dim = 1}, kRows, torch::kCPU);
  rows.rows.zero_();
  rows.obs().normal_(0, 1, generator);
  rows.obs().select(1, 1).mul_(0.8).add_(0.6 * rows.obs().select(1, 0));  // correlated
  rows.action().uniform_(-1, 1, generator);
  const torch::Tensor true_weights = torch::tensor({0.9, -0.5, 0.3, 0.2, -0.7, 0.6}, torch::kFloat32).view({3, 2});
  const torch::Tensor change = torch::cat({rows.obs(), rows.action()}, 1).mm(true_weights);
  rows.next_obs().copy_(rows.obs() + change + 0.5 * torch::randn({kRows, 2}, generator));
  ReplayBuffer data({.obs_dim = 2, .act_dim = 1}, kRows, torch::kCPU);
  data.Add(rows);
  BayesianNetworkConfig config = SmallBayesian();
  config.hidden = {};
  config.samples = 64;
  config.batch_size = kRows;
  config.kl_scale = 1;
  config.warm_up = 0;
  config.holdout = {.ratio = 0, .max_epochs = 2500};
  BayesianNetwork model(config, {.layout = {.obs_dim = 2, .act_dim = 1}}, Rng(1), torch::kCPU);
  model.Fit(data, Rng(2));
  // Adam's steps do not shrink: the mean over some more fits is near the optimum.
  config.holdout.max_epochs = 20;
  const auto mean_of = [](const std::vector<torch::Tensor>& list) { return torch::stack(list).mean(0); };
  std::vector<torch::Tensor> means, stds, log_vars;
  for (uint64_t fit = 0; fit < 40; ++fit) {
    means.push_back(torch::cat({model.means()[0][0], model.means()[1][0]}).detach().clone());
    stds.push_back(torch::softplus(torch::cat({model.spreads()[0][0], model.spreads()[1][0]})).detach().clone());
    log_vars.push_back(model.log_var());
    StateTree state = SaveState(model);
    BayesianNetwork longer(config, {.layout = {.obs_dim = 2, .act_dim = 1}}, Rng(1), torch::kCPU);
    LoadState(state, longer);
    longer.Fit(data, Rng(100 + fit));
    state = SaveState(longer);
    LoadState(state, model);
  }
  const auto standardised = [](const torch::Tensor& x) { return (x - x.mean(0)) / x.std(0, /*unbiased=*/false); };
  const torch::Tensor x =
      torch::cat({standardised(torch::cat({rows.obs(), rows.action()}, 1)), torch::ones({kRows, 1})}, 1)
          .to(torch::kFloat64);
  const torch::Tensor y = standardised(rows.next_obs() - rows.obs()).to(torch::kFloat64);
  const double prior_precision = 3 / (0.7 * 0.7);
  for (int64_t d = 0; d < 2; ++d) {
    const double noise_precision = std::exp(-mean_of(log_vars)[d].item<double>());
    const torch::Tensor precision = noise_precision * x.t().mm(x) + prior_precision * torch::eye(4, torch::kFloat64);
    const torch::Tensor mean = noise_precision * torch::linalg_solve(precision, x.t().mv(y.select(1, d)));
    const torch::Tensor std = precision.diagonal().rsqrt();
    EXPECT_LT(((mean_of(means).select(1, d) - mean).abs() / std).max().item<double>(), 0.1) << d;
    EXPECT_LT((mean_of(stds).select(1, d) / std - 1).abs().max().item<double>(), 0.02) << d;
    // And the noise that is best with it: the mean square error over q.
    const torch::Tensor expected = (y.select(1, d) - x.mv(mean)).square().mean() + x.square().mv(std.square()).mean();
    EXPECT_NEAR(1 / noise_precision, expected.item<double>(), 0.03 * expected.item<double>()) << d;
  }
}

// Both estimators have the same mean; a unit's own draws vary less than signs do, and those less than weights that all
// rows share.
TEST(BayesianNetwork, RowsOfTheirOwnVaryLess) {
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  const torch::Tensor inputs = torch::randn({1, 64, 5}, generator);
  const torch::Tensor targets = torch::randn({1, 64, 3}, generator);
  constexpr int kDraws = 1500;
  const auto draw = [&](WeightEstimator estimator, bool shared) {
    BayesianNetworkConfig config = SmallBayesian();
    config.estimator = estimator;
    BayesianNetwork model(config, {.layout = kLayout}, Rng(1), torch::kCPU);
    const torch::NoGradGuard no_grad;
    for (const torch::Tensor& spread : model.spreads()) {
      spread.fill_(-2);
    }
    std::vector<double> drawn;
    for (int i = 0; i < kDraws; ++i) {
      BayesianNetwork::WeightNoise noise = model.DrawNoise(64, generator);
      if (shared) {
        noise.input_signs.fill_(1);
        noise.unit_signs.fill_(1);
      }
      drawn.push_back(model.Nll(inputs, targets, noise).item<double>());
    }
    const torch::Tensor values = torch::tensor(drawn);
    return std::pair{values.mean().item<double>(), values.var().item<double>()};
  };
  const auto local = draw(WeightEstimator::kLocal, false);
  const auto flipout = draw(WeightEstimator::kFlipout, false);
  const auto shared = draw(WeightEstimator::kFlipout, true);
  EXPECT_NEAR(local.first, flipout.first, 4.5 * std::sqrt((local.second + flipout.second) / kDraws));
  EXPECT_NEAR(local.first, shared.first, 4.5 * std::sqrt((local.second + shared.second) / kDraws));
  EXPECT_LT(local.second, flipout.second);
  EXPECT_LT(2 * flipout.second, shared.second);
}

// The hypotheses are the draws of the weights that the state names.
TEST(BayesianNetwork, AHypothesisIsADrawOfTheWeights) {
  BayesianNetwork model(SmallBayesian(), {.layout = kLayout}, Rng(1), torch::kCPU);
  const torch::NoGradGuard no_grad;
  for (const torch::Tensor& spread : model.spreads()) {
    spread.fill_(-1);
  }
  StateTree state = SaveState(model);
  LoadState(state, model);
  const torch::Tensor draws = SaveState(model).values().tensors.at("draws").clone();
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  const torch::Tensor obs = torch::randn({9, 3}, generator);
  const torch::Tensor action = torch::rand({9, 2}, generator);
  const GaussianPrediction said = model.Predict(obs, action, Members::kElites);
  const double std = std::log1p(std::exp(-1.0));
  for (int64_t h = 0; h < 4; ++h) {
    torch::Tensor x = torch::cat({obs, action}, 1);  // before a first fit inputs are as they are
    int64_t begin = 0;
    const auto drawn = [&](const torch::Tensor& mean) {
      const torch::Tensor own = draws[h].narrow(0, begin, mean.numel()).view(mean[0].sizes());
      begin += mean.numel();
      return mean[0] + std * own;
    };
    for (size_t i = 0; i < model.means().size(); i += 2) {
      const torch::Tensor weight = drawn(model.means()[i]);
      x = torch::matmul(i > 0 ? torch::silu(x) : x, weight) + drawn(model.means()[i + 1]);
    }
    EXPECT_TRUE(torch::allclose(said.mean[h], x, 1e-4, 1e-5)) << h;
  }
  EXPECT_TRUE(torch::allclose(said.var, model.log_var().exp().expand_as(said.var), 1e-5, 1e-7)) << "one noise for all";
}

// With the defaults and a thousand rows it ends neither as the prior nor before the divergence was paid.
TEST(BayesianNetwork, DefaultsLearnFromAThousandRows) {
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  const auto rows = [&](int64_t count) {
    TransitionBatch batch = TransitionBatch::Empty(kLayout, count, torch::kCPU);
    batch.rows.zero_();
    batch.obs().normal_(0, 1, generator);
    batch.action().uniform_(-1, 1, generator);
    const torch::Tensor moved = torch::sin(2 * batch.obs()) + batch.action().select(1, 0).unsqueeze(1);
    batch.next_obs().copy_(batch.obs() + moved + 0.2 * torch::randn({count, 3}, generator));
    return batch;
  };
  ReplayBuffer data(kLayout, 1000, torch::kCPU);
  data.Add(rows(1000));
  BayesianNetwork model({}, {.layout = kLayout}, Rng(1), torch::kCPU);
  const Metrics metrics = model.Fit(data, Rng(2));
  const TransitionBatch others = rows(1000);
  const torch::NoGradGuard no_grad;
  const GaussianPrediction said = model.Predict(others.obs(), others.action(), Members::kElites);
  const torch::Tensor error = model.DecodeObs(said.mean, others.obs()).mean(0) - others.next_obs();
  EXPECT_LT(error.square().mean().sqrt().item<double>(), 0.3);
  EXPECT_LT(said.var.sqrt().mean().item<double>(), 0.35);
  EXPECT_LT(metrics.Find("kl").value(), 15) << "at first above 60";
}

// Less rows, more of the prior; and the key that weighs it.
TEST(BayesianNetwork, TheDivergenceIsWeighedByRowsAndByItsKey) {
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  const auto kl_of = [&](int64_t count, double kl_scale) {
    ReplayBuffer data(kLayout, count, torch::kCPU);
    TransitionBatch rows = TransitionBatch::Empty(kLayout, count, torch::kCPU);
    rows.rows.normal_(0, 1, generator);
    data.Add(rows);
    BayesianNetworkConfig config = SmallBayesian();
    config.kl_scale = kl_scale;
    config.warm_up = 0;
    config.holdout = {.ratio = 0, .max_epochs = 1200 / count};  // as many gradient steps
    config.batch_size = 20;
    BayesianNetwork model(config, {.layout = kLayout}, Rng(1), torch::kCPU);
    model.Fit(data, Rng(2));
    return model.Kl().item<double>();
  };
  EXPECT_LT(kl_of(20, 1), 0.9 * kl_of(400, 1));
  EXPECT_LT(kl_of(20, 1), 0.9 * kl_of(20, 0.01));
}

// The best epoch's spreads and noise come back with its means.
TEST(BayesianNetwork, EarlyStoppingRestoresSpreadsToo) {
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  TransitionBatch rows = TransitionBatch::Empty(kLayout, 60, torch::kCPU);
  rows.rows.normal_(0, 1, generator);  // nothing to learn: an early epoch is the best
  ReplayBuffer data(kLayout, 60, torch::kCPU);
  data.Add(rows);
  BayesianNetworkConfig config = SmallBayesian();
  config.learning_rate = 1e-2;
  config.warm_up = 10;
  config.holdout.patience = 30;
  BayesianNetwork long_fit(config, {.layout = kLayout}, Rng(1), torch::kCPU);
  const auto best = static_cast<int64_t>(long_fit.Fit(data, Rng(2)).Find("epochs").value()) - 31;
  ASSERT_GE(best, 1);
  config.holdout.max_epochs = best;
  BayesianNetwork short_fit(config, {.layout = kLayout}, Rng(1), torch::kCPU);
  short_fit.Fit(data, Rng(2));
  EXPECT_TRUE(torch::equal(long_fit.parameters().values(), short_fit.parameters().values()));
  EXPECT_TRUE(torch::equal(long_fit.spread_parameters().values(), short_fit.spread_parameters().values()));
}

}  // namespace
}  // namespace reverie
