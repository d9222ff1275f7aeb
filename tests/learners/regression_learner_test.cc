#include "reverie/learners/regression_learner.h"

#include <gtest/gtest.h>

#include "reverie/core/state.h"

namespace reverie {
namespace {

torch::Tensor MeanAction(const RegressionLearner& learner, const torch::Tensor& obs) {
  torch::Generator unused = MakeGenerator(Rng(0), torch::kCPU);
  return learner.actor().Act({.obs = obs}, nullptr, ActMode::kMean, unused);
}

TEST(RegressionLearner, LearnsAFunction) {
  RegressionLearner learner({.hidden = {32, 32}, .updates = 2000, .weight_decay = 0}, 2, 1, Rng(1), torch::kCPU);
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  const auto function = [](const torch::Tensor& obs) {
    return 0.8 * torch::sin(obs.slice(1, 0, 1) / 10) * obs.slice(1, 1).clamp(-1, 1);
  };
  const torch::Tensor obs = torch::randn({500, 2}, generator) * torch::tensor({10.0F, 0.5F});
  learner.Add(obs.slice(0, 0, 300), function(obs.slice(0, 0, 300)));
  learner.Add(obs.slice(0, 300), function(obs.slice(0, 300)));
  EXPECT_EQ(learner.rows(), 500);
  const Metrics first = learner.Fit();
  const Metrics second = learner.Fit();  // goes on from the weights of the first
  EXPECT_EQ(first.Find("rows").value(), 500);
  EXPECT_LT(second.Find("loss").value(), 0.5 * first.Find("loss").value());
  const torch::Tensor others = torch::randn({200, 2}, generator) * torch::tensor({10.0F, 0.5F});
  EXPECT_LT((MeanAction(learner, others) - function(others)).square().mean().item<double>(), 2e-3);
}

// Two labels for one observation: the least of sum (mu - y)' P (mu - y) is (P1 + P2)^-1 (P1 y1 + P2 y2), by hand.
TEST(RegressionLearner, WeighsLabelsByTheirPrecision) {
  RegressionLearner learner({.hidden = {16}, .updates = 3000, .weight_decay = 0}, 1, 2, Rng(1), torch::kCPU);
  const torch::Tensor obs = torch::tensor({{0.5F}, {0.5F}});
  const torch::Tensor y = torch::tensor({{0.6F, 0.0F}, {-0.4F, 0.3F}});
  const torch::Tensor p = torch::tensor({{{30.0F, 10.0F}, {10.0F, 20.0F}}, {{10.0F, 0.0F}, {0.0F, 5.0F}}});
  learner.Add(obs, y, p);
  learner.Fit();
  const torch::Tensor expected = torch::mv(torch::inverse(p[0] + p[1]), torch::mv(p[0], y[0]) + torch::mv(p[1], y[1]));
  EXPECT_TRUE(torch::allclose(MeanAction(learner, obs)[0], expected, 0, 2e-3)) << MeanAction(learner, obs) << expected;
  EXPECT_TRUE(torch::allclose(learner.precision(), (0.5 * (p[0] + p[1])).to(torch::kFloat64), 0, 1e-5));
}

// The precisions' unit changes neither loss nor network.
TEST(RegressionLearner, DoesNotSeeTheUnitOfPrecisions) {
  const torch::Tensor obs = torch::linspace(-1, 1, 20).unsqueeze(1);
  const torch::Tensor y = obs.square() - 0.5;
  std::vector<torch::Tensor> weights;
  for (const double unit : {1.0, 1024.0}) {
    RegressionLearner learner({.hidden = {8}, .updates = 50}, 1, 1, Rng(1), torch::kCPU);
    learner.Add(obs, y, torch::full({20, 1, 1}, unit));
    learner.Fit();
    weights.push_back(learner.actor().parameters().values().clone());
  }
  EXPECT_TRUE(torch::equal(weights[0], weights[1]));
}

TEST(RegressionLearner, GoesOnFromASavedState) {
  const RegressionConfig config{.hidden = {8}, .batch_size = 4, .updates = 20};
  const torch::Tensor obs = torch::linspace(-1, 1, 12).unsqueeze(1);
  RegressionLearner one(config, 1, 1, Rng(1), torch::kCPU);
  one.Add(obs, obs * 0.5);
  one.Fit();
  StateTree saved = SaveState(one);
  RegressionLearner other(config, 1, 1, Rng(7), torch::kCPU);
  LoadState(saved, other);
  EXPECT_EQ(one.Fit().Find("loss"), other.Fit().Find("loss"));
  EXPECT_TRUE(torch::equal(MeanAction(one, obs), MeanAction(other, obs)));
  RegressionLearner none(config, 1, 1, Rng(1), torch::kCPU);
  EXPECT_THROW(none.Fit(), std::logic_error);
}

}  // namespace
}  // namespace reverie
