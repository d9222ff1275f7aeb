#include "reverie/models/dropout_network.h"

#include <gtest/gtest.h>

#include <cmath>

#include "oracle.h"

namespace reverie {
namespace {

const TransitionLayout kLayout{.obs_dim = 3, .act_dim = 2};

DropoutNetworkConfig SmallDropout() {
  return {.draws = 4, .hidden = {24, 16}, .rate = 0.3, .length_scale = 0.5, .learning_rate = 3e-3, .batch_size = 32};
}

TEST(DropoutNetwork, AMinibatchIsPyTorchs) {
  for (const bool learned : {true, false}) {
    DropoutNetworkConfig config = SmallDropout();
    config.learn_rate = learned;
    DropoutNetwork model(config, {.layout = kLayout, .learn_reward = true}, Rng(1), torch::kCPU);
    model.SetTrainRows(77);
    torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
    const torch::Tensor inputs = torch::randn({1, 20, 5}, generator);
    const torch::Tensor targets = torch::randn({1, 20, 4}, generator);
    const torch::Tensor u = torch::rand({1, 20, 40}, generator);
    const auto number = [](double value) { return torch::tensor(value, torch::kFloat64); };
    std::vector<std::pair<std::string, torch::Tensor>> dump{
        {"inputs", inputs},
        {"targets", targets},
        {"u", u},
        {"rows", number(77)},
        {"length_scale", number(0.5)},
        {"learned", torch::tensor(learned ? 1 : 0)},
        {"before.logits", torch::logit(model.rates()).view({1, 1, 2})}};
    std::vector<torch::Tensor> leaves;
    for (size_t l = 0; l < model.weights().size(); ++l) {
      dump.emplace_back("before.weight" + std::to_string(l), model.weights()[l].detach().clone());
      dump.emplace_back("before.bias" + std::to_string(l), model.biases()[l].detach().clone());
    }
    model.parameters().grads().zero_();
    model.rate_parameters().grads().zero_();
    const torch::Tensor loss = model.Loss(inputs, targets, u);
    loss.backward();
    dump.emplace_back("loss", loss.detach());
    for (size_t l = 0; l < model.weights().size(); ++l) {
      dump.emplace_back("grad.weight" + std::to_string(l), model.weights()[l].grad().clone());
      dump.emplace_back("grad.bias" + std::to_string(l), model.biases()[l].grad().clone());
    }
    dump.emplace_back("grad.logits", model.rate_parameters().grads().clone());
    const TemporaryFolder folder;
    WriteTensors(folder.path() / "step.safetensors", dump);
    EXPECT_EQ(RunPython("models/dropout_oracle.py", folder.path(), "step.safetensors"), 0) << learned;
  }
}

// Hypotheses as the network itself with the units missing that the state's draws name.
TEST(DropoutNetwork, AHypothesisKeepsItsMissingUnits) {
  DropoutNetwork model(SmallDropout(), {.layout = kLayout}, Rng(1), torch::kCPU);
  const torch::NoGradGuard no_grad;
  const std::vector<double> rates{0.3, 0.6};  // each layer's own
  model.rate_parameters().values().copy_(torch::logit(torch::tensor(rates)));
  StateTree state = SaveState(model);
  LoadState(state, model);
  const torch::Tensor draws = state.values().tensors.at("draws").clone();
  ASSERT_EQ(draws.sizes(), (std::vector<int64_t>{4, 40}));
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  const torch::Tensor obs = torch::randn({9, 3}, generator);
  const torch::Tensor action = torch::rand({9, 2}, generator);
  const torch::Tensor said = model.Predict(obs, action, Members::kElites).mean;
  int64_t missing = 0;
  for (int64_t h = 0; h < 4; ++h) {
    torch::Tensor x = torch::cat({obs, action}, 1);  // before a first fit inputs are as they are
    int64_t begin = 0;
    for (size_t l = 0; l < model.weights().size(); ++l) {
      if (l > 0) {
        const double rate = rates[l - 1];
        const torch::Tensor kept = draws[h].narrow(0, begin, x.size(1)) >= rate;
        missing += kept.logical_not().sum().item<int64_t>();
        begin += x.size(1);
        x = torch::silu(x) * kept / (1 - rate);
      }
      x = torch::matmul(x, model.weights()[l][0]) + model.biases()[l][0];
    }
    EXPECT_TRUE(torch::allclose(said[h], x.slice(1, 0, 3), 1e-4, 1e-5)) << h;
  }
  EXPECT_NEAR(static_cast<double>(missing), 0.3 * 96 + 0.6 * 64, 4 * std::sqrt(0.21 * 96 + 0.24 * 64));
  // From step to step: rows that are dealt in order are each moved by one and the same network.
  const StepDraws in_order = MeanDraws(model, 8);
  ModelStep first = model.Next(obs.narrow(0, 0, 8), action.narrow(0, 0, 8), in_order);
  ModelStep second = model.Next(first.next_obs, action.narrow(0, 0, 8), in_order);
  const torch::Tensor after = model.Predict(first.next_obs, action.narrow(0, 0, 8), Members::kElites).mean;
  for (int64_t row = 0; row < 8; ++row) {
    EXPECT_TRUE(torch::allclose(first.next_obs[row] - obs[row], said[row / 2][row], 1e-4, 1e-5)) << row;
    EXPECT_TRUE(torch::allclose(second.next_obs[row] - first.next_obs[row], after[row / 2][row], 1e-4, 1e-5)) << row;
  }
}

// The best epoch's rates come back with its weights: hypotheses of a fit that ends have the hold-out error that it
// says.
TEST(DropoutNetwork, EarlyStoppingRestoresRatesToo) {
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  TransitionBatch rows = TransitionBatch::Empty(kLayout, 60, torch::kCPU);
  rows.rows.normal_(0, 1, generator);  // nothing to learn: the first epochs are the best
  ReplayBuffer data(kLayout, 60, torch::kCPU);
  data.Add(rows);
  DropoutNetworkConfig config = SmallDropout();
  config.learning_rate = 3e-2;
  config.holdout.patience = 20;
  DropoutNetwork long_fit(config, {.layout = kLayout}, Rng(1), torch::kCPU);
  const Metrics all = long_fit.Fit(data, Rng(2));
  const auto best = static_cast<int64_t>(all.Find("epochs").value()) - 21;
  ASSERT_GE(best, 1);
  config.holdout.max_epochs = best;
  DropoutNetwork short_fit(config, {.layout = kLayout}, Rng(1), torch::kCPU);
  short_fit.Fit(data, Rng(2));
  EXPECT_TRUE(torch::allclose(long_fit.rates(), short_fit.rates()));
  EXPECT_FALSE(torch::allclose(long_fit.rates(), torch::full({2}, 0.3)));
}

// Every training row is seen once in an epoch: the network is one, and has nobody to differ from.
TEST(DropoutNetwork, EveryRowIsSeen) {
  constexpr int64_t kRows = 30;
  TransitionBatch rows = TransitionBatch::Empty({.obs_dim = 1, .act_dim = 1}, kRows, torch::kCPU);
  rows.rows.zero_();
  rows.obs().copy_(torch::arange(kRows).unsqueeze(1));
  rows.next_obs().copy_(rows.obs() + torch::arange(kRows).unsqueeze(1).remainder(2));
  ReplayBuffer data({.obs_dim = 1, .act_dim = 1}, kRows, torch::kCPU);
  data.Add(rows);
  // One row a minibatch: as many minibatches as rows, and the mean loss of a linear function of them all is theirs.
  DropoutNetworkConfig config = SmallDropout();
  config.learning_rate = 1e-12;
  config.learn_rate = false;
  config.rate = 0.001;
  config.batch_size = 1;
  config.length_scale = 0;
  config.holdout = {.ratio = 0, .max_epochs = 1};
  const auto loss_of = [&](uint64_t seed) {
    DropoutNetwork model(config, {.layout = {.obs_dim = 1, .act_dim = 1}}, Rng(1), torch::kCPU);
    return model.Fit(data, Rng(seed)).Find("loss").value();
  };
  // Whatever the order: a resample would have some rows twice and others never.
  EXPECT_NEAR(loss_of(2), loss_of(3), 0.01 * std::abs(loss_of(2)));
  EXPECT_NEAR(loss_of(2), loss_of(4), 0.01 * std::abs(loss_of(2)));
}

// Few rows that say nothing: the entropy of the masks is all that there is to gain, where a rate is learned.
TEST(DropoutNetwork, RatesRiseWhereRowsSayNothing) {
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  TransitionBatch rows = TransitionBatch::Empty(kLayout, 20, torch::kCPU);
  rows.rows.normal_(0, 1, generator);
  ReplayBuffer data(kLayout, 20, torch::kCPU);
  data.Add(rows);
  DropoutNetworkConfig config = SmallDropout();
  config.rate = 0.05;
  config.holdout = {.ratio = 0, .max_epochs = 60};
  DropoutNetwork model(config, {.layout = kLayout}, Rng(1), torch::kCPU);
  model.Fit(data, Rng(2));
  EXPECT_GT(model.rates().min().item<double>(), 0.1);
}

// Many rows that say much: units are good for more than the entropy of their masks.
TEST(DropoutNetwork, RatesFallWhereRowsSayMuch) {
  constexpr int64_t kRows = 3000;
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  TransitionBatch rows = TransitionBatch::Empty(kLayout, kRows, torch::kCPU);
  rows.rows.zero_();
  rows.obs().normal_(0, 1, generator);
  rows.action().uniform_(-1, 1, generator);
  rows.next_obs().copy_(rows.obs() + torch::sin(2 * rows.obs()) + 0.3 * torch::randn({kRows, 3}, generator));
  ReplayBuffer data(kLayout, kRows, torch::kCPU);
  data.Add(rows);
  for (const bool learned : {true, false}) {
    DropoutNetworkConfig config = SmallDropout();
    config.learn_rate = learned;
    config.holdout = {.ratio = 0, .max_epochs = 4};
    config.learning_rate = 1e-2;
    DropoutNetwork model(config, {.layout = kLayout}, Rng(1), torch::kCPU);
    const Metrics metrics = model.Fit(data, Rng(2));
    for (const std::string layer : {"rate_1", "rate_2"}) {
      const double rate = metrics.Find(layer).value();
      if (learned) {
        EXPECT_LT(rate, 0.25) << layer;
      } else {
        EXPECT_FLOAT_EQ(static_cast<float>(rate), 0.3F) << layer;
      }
    }
  }
}

}  // namespace
}  // namespace reverie
