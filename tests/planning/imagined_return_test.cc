#include "reverie/planning/imagined_return.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "fake_model.h"

namespace reverie {
namespace {

constexpr float kLeast = -std::numeric_limits<float>::infinity();

// s' = s + a + bias_h + sqrt(var_h) noise, one number each. Two hypotheses unless said otherwise. Not a number from
// `broken_from` on.
class DriftModel final : public FakeModel {
 public:
  DriftModel(const std::vector<float>& bias, const std::vector<float>& var)
      : bias_(torch::tensor(bias).view({-1, 1, 1})), var_(torch::tensor(var).view({-1, 1, 1})) {
    hypotheses_ = torch::arange(static_cast<int64_t>(bias.size()));
    target_std_ = torch::full({1}, 2.0);
  }

  void Step(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws,
            ModelSample& next) const override {
    next.hypothesis.copy_(HypothesisOf(draws));
    next.next_obs.copy_(Next(obs, action, draws).next_obs);
  }
  ModelStep Next(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws) const override {
    const int64_t rows = obs.size(0);
    const torch::Tensor noise = torch::empty({rows, 1}).index_copy_(0, draws.deal, draws.noise.narrow(0, 0, rows));
    const GaussianPrediction prediction = Predict(obs, action, Members::kElites);
    const torch::Tensor index = HypothesisOf(draws).view({1, -1, 1});
    const torch::Tensor std = prediction.var.gather(0, index).squeeze(0).sqrt();
    return {.next_obs = obs + prediction.mean.gather(0, index).squeeze(0) + std * noise, .reward = {}};
  }
  int64_t noise_dim() const override { return 1; }
  GaussianPrediction Predict(const torch::Tensor& obs, const torch::Tensor& action, Members) const override {
    torch::Tensor mean = action + bias_;
    mean = mean.masked_fill((obs >= broken_from).expand_as(mean), std::nan(""));
    return {.mean = mean, .var = var_.expand_as(mean)};
  }
  torch::Tensor DecodeObs(const torch::Tensor& target, const torch::Tensor& obs) const override { return obs + target; }
  bool learns_reward() const override { return false; }

  float broken_from = std::numeric_limits<float>::infinity();

 private:
  torch::Tensor HypothesisOf(const StepDraws& draws) const {
    const int64_t rows = draws.deal.size(0);
    const int64_t share = RowsPerHypothesis(rows, hypotheses_.size(0));
    return torch::empty_like(draws.deal).index_copy_(0, draws.deal, torch::arange(rows).div_(share, "floor"));
  }

  torch::Tensor bias_, var_;
};

TaskFunctions::Batched NextObs() {
  return
      [](const torch::Tensor&, const torch::Tensor&, const torch::Tensor& next_obs) { return next_obs.select(1, 0); };
}

class ImaginedReturnTest : public testing::Test {
 protected:
  torch::Tensor Score(const DriftModel& model, const PropagationConfig& propagation, const torch::Tensor& actions,
                      float obs = 0, const UncertaintyConfig& uncertainty = {}) {
    const ModelEnv model_env(model, task_, {.action_low = {-1}, .action_high = {1}}, torch::kCPU);
    return ImaginedReturn(model_env, propagation, uncertainty).Score(torch::tensor({obs}), actions, generator_);
  }
  // The same without gradients, which takes the shorter way where there is one.
  torch::Tensor ScoreOnly(const DriftModel& model, const PropagationConfig& propagation, const torch::Tensor& actions,
                          float obs = 0, const UncertaintyConfig& uncertainty = {}) {
    const torch::NoGradGuard no_grad;
    return Score(model, propagation, actions, obs, uncertainty);
  }

  TaskFunctions task_{.reward = NextObs(), .terminated = NeverTerminated};
  torch::Generator generator_ = MakeGenerator(Rng(1), torch::kCPU);
};

// Of a constant action the states are s + t (a + bias).
float ReturnOfDrift(float obs, float drift, int horizon) {
  float sum = 0;
  for (int t = 1; t <= horizon; ++t) {
    sum += obs + static_cast<float>(t) * drift;
  }
  return sum;
}

TEST_F(ImaginedReturnTest, AParticleKeepsItsEliteUnderTsInf) {
  const DriftModel model({0, 3}, {0, 0});
  const torch::Tensor actions = torch::tensor({0.5F, -1.0F}).view({2, 1, 1}).expand({2, 4, 1});
  // The return is not linear in the state, so that particles that changed elites would show.
  task_.reward = [](const auto&, const auto&, const torch::Tensor& next_obs) { return next_obs.select(1, 0).square(); };
  const auto squares = [](float drift) { return drift * drift * (1 + 4 + 9 + 16); };
  for (const int64_t particles : {2, 6}) {
    for (const bool gradients : {false, true}) {
      const torch::AutoGradMode mode(gradients);
      const torch::Tensor scores = Score(model, {.kind = Propagation::kTsInf, .particles = particles}, actions);
      EXPECT_FLOAT_EQ(scores[0].item<float>(), (squares(0.5F) + squares(3.5F)) / 2);
      EXPECT_FLOAT_EQ(scores[1].item<float>(), (squares(-1.0F) + squares(2.0F)) / 2);
    }
  }
}

TEST_F(ImaginedReturnTest, SaysWhatIsNotFinite) {
  DriftModel model({0.5F, 0.5F}, {0, 0});
  const auto culprit = [&](float obs) {
    const ModelEnv model_env(model, task_, {.action_low = {-1}, .action_high = {1}}, torch::kCPU);
    return ImaginedReturn(model_env, {.kind = Propagation::kTs1, .particles = 2}, {})
        .WhatIsNotFinite(torch::tensor({obs}), torch::full({6, 1}, 0.5F), generator_);
  };
  EXPECT_EQ(culprit(0), "");
  EXPECT_EQ(culprit(std::nanf("")), "number 0 of the observation");
  model.broken_from = 2;  // reached after two steps of one
  EXPECT_EQ(culprit(0), "number 0 of the observation that the model imagines after 3 steps");
  const auto at_least_two = [](const auto&, const auto&, const torch::Tensor& next_obs) {
    return next_obs.select(1, 0) >= 2;
  };
  task_.terminated = at_least_two;
  EXPECT_EQ(culprit(0), "") << "what follows an end does not count";
  task_ = {.reward = [](const auto&, const auto&, const torch::Tensor& next_obs) {
    return next_obs.select(1, 0).sub(1).reciprocal();
  }};
  EXPECT_EQ(culprit(0), "the task's reward for imagined step 1");
}

TEST_F(ImaginedReturnTest, AParticleDrawsAnEliteForEveryStepUnderTs1) {
  const DriftModel model({-1, 1}, {0, 0});
  task_.reward = [](const auto&, const auto&, const torch::Tensor& next_obs) { return next_obs.select(1, 0).square(); };
  // A random walk with steps of 1: E s_t^2 = t, where tsinf would have t^2.
  for (const bool gradients : {false, true}) {
    const torch::AutoGradMode mode(gradients);
    const torch::Tensor score =
        Score(model, {.kind = Propagation::kTs1, .particles = 8000}, torch::zeros({1, 5, 1})).detach();
    EXPECT_NEAR(score.item<float>(), 1 + 2 + 3 + 4 + 5, 0.6) << gradients;
  }
}

TEST_F(ImaginedReturnTest, SamplesHaveTheElitesVariance) {
  const DriftModel model({0, 0}, {0.5F, 1.5F});
  task_.reward = [](const auto&, const auto&, const torch::Tensor& next_obs) { return next_obs.select(1, 0).square(); };
  for (const Propagation kind : {Propagation::kTs1, Propagation::kTsInf}) {
    for (const bool gradients : {false, true}) {
      const torch::AutoGradMode mode(gradients);
      const torch::Tensor score = Score(model, {.kind = kind, .particles = 8000}, torch::zeros({1, 3, 1})).detach();
      EXPECT_NEAR(score.item<float>(), 1 + 2 + 3, 0.3);
    }
  }
}

TEST_F(ImaginedReturnTest, ThreadsShareTheCandidates) {
  const DriftModel model({0, 3}, {1, 1});
  const torch::NoGradGuard no_grad;
  const int64_t candidates = 1000;
  const torch::Tensor action = torch::linspace(-1, 1, candidates);
  const torch::Tensor actions = action.view({-1, 1, 1}).expand({candidates, 4, 1});
  const int threads_before = at::get_num_threads();
  for (const int threads : {1, 2, 3}) {
    at::set_num_threads(threads);
    for (const Propagation kind : {Propagation::kTs1, Propagation::kTsInf}) {
      const PropagationConfig propagation{.kind = kind, .particles = 100};
      generator_ = MakeGenerator(Rng(1), torch::kCPU);
      const torch::Tensor scores = Score(model, propagation, actions);
      const torch::Tensor error = scores - (1 + 2 + 3 + 4) * (action + 1.5);  // of a standard deviation of at most 1
      EXPECT_NEAR(error.mean().item<float>(), 0, 0.2);
      EXPECT_LT(error.abs().max().item<float>(), 6);
      // Nobody gets another's draws.
      EXPECT_FALSE(torch::allclose(error.narrow(0, 0, 500), error.narrow(0, 500, 500), 0, 0.01));
      EXPECT_FALSE(torch::equal(scores, Score(model, propagation, actions)));
      generator_ = MakeGenerator(Rng(1), torch::kCPU);
      EXPECT_TRUE(torch::equal(scores, Score(model, propagation, actions)));
    }
  }
  at::set_num_threads(threads_before);
}

TEST_F(ImaginedReturnTest, DsMovesOnTheMomentsOfAllElitesAndParticles) {
  const DriftModel model({-1, 3}, {0.5F, 1.5F});
  task_.reward = [](const auto&, const auto&, const torch::Tensor& next_obs) { return next_obs.select(1, 0).square(); };
  // Each step: mean + 1, variance + E var + Var bias = + 1 + 4.
  const torch::Tensor score = ScoreOnly(model, {.kind = Propagation::kDs, .particles = 8000}, torch::zeros({1, 3, 1}));
  EXPECT_NEAR(score.item<float>(), (1 + 5) + (4 + 10) + (9 + 15), 1.5);
}

TEST_F(ImaginedReturnTest, DsMatchesTheMomentsOfEachCandidateAlone) {
  const DriftModel model({0, 0}, {0, 0});
  const torch::Tensor actions = torch::tensor({0.5F, -1.0F}).view({2, 1, 1}).expand({2, 4, 1});
  const torch::Tensor scores = ScoreOnly(model, {.kind = Propagation::kDs, .particles = 5}, actions, 2);
  EXPECT_NEAR(scores[0].item<float>(), ReturnOfDrift(2, 0.5F, 4), 1e-3);
  EXPECT_NEAR(scores[1].item<float>(), ReturnOfDrift(2, -1.0F, 4), 1e-3);
}

TEST_F(ImaginedReturnTest, EFollowsTheMeanOfTheMeans) {
  const DriftModel model({-1, 3}, {5, 5});
  const torch::Tensor actions = torch::full({1, 4, 1}, 0.25F);
  const torch::Tensor score = ScoreOnly(model, {.kind = Propagation::kE, .particles = 1}, actions, 2);
  EXPECT_FLOAT_EQ(score.item<float>(), ReturnOfDrift(2, 1.25F, 4));
}

TEST_F(ImaginedReturnTest, ManyCandidatesInPartsScoreAsInOne) {
  const DriftModel model({-1, 3}, {0, 0});
  const torch::Tensor actions = torch::rand({5000, 3, 1}, generator_);
  const torch::Tensor scores = ScoreOnly(model, {.kind = Propagation::kTsInf, .particles = 4}, actions);
  // 3 a_1 + 2 a_2 + a_3 and the mean drift of 1.
  const torch::Tensor expected = actions.squeeze(2).matmul(torch::tensor({3.0F, 2.0F, 1.0F})) + 6;
  EXPECT_TRUE(torch::allclose(scores, expected, 1e-4, 1e-4));
}

TEST_F(ImaginedReturnTest, HasGradientsByTheActions) {
  const DriftModel model({-1, 3}, {0.1F, 0.2F});
  for (const Propagation kind : {Propagation::kTs1, Propagation::kTsInf, Propagation::kDs, Propagation::kE}) {
    torch::Tensor actions = torch::zeros({2, 3, 1}).requires_grad_();
    Score(model, {.kind = kind, .particles = kind == Propagation::kE ? 1 : 4}, actions).sum().backward();
    // The action of step t moves all states from then on.
    const torch::Tensor expected = torch::tensor({3.0F, 2.0F, 1.0F}).view({1, 3, 1}).expand({2, 3, 1});
    EXPECT_TRUE(torch::allclose(actions.grad(), expected, 1e-5, 1e-5)) << actions.grad();
  }
}

TEST_F(ImaginedReturnTest, ParticlesThatEndedEarnNothingMore) {
  const DriftModel model({0, 1}, {0, 0});
  task_.terminated = [](const auto&, const auto&, const torch::Tensor& next_obs) { return next_obs.select(1, 0) >= 2; };
  const torch::Tensor actions = torch::zeros({1, 5, 1});
  // The first elite's particle stays at 1; the other's earns 2 and is at its end.
  for (const bool gradients : {false, true}) {
    const torch::AutoGradMode mode(gradients);
    const torch::Tensor score = Score(model, {.kind = Propagation::kTsInf, .particles = 2}, actions, 1);
    EXPECT_FLOAT_EQ(score.item<float>(), (5 + 2) / 2.0F);
  }
}

TEST_F(ImaginedReturnTest, OneParticleWithoutANumberMakesItsCandidateTheWorst) {
  DriftModel model({0, 1}, {0, 0});
  model.broken_from = 3;
  const torch::Tensor actions = torch::tensor({0.0F, -0.5F}).view({2, 1, 1}).expand({2, 4, 1});
  for (const bool gradients : {false, true}) {
    const torch::AutoGradMode mode(gradients);
    const torch::Tensor scores = Score(model, {.kind = Propagation::kTsInf, .particles = 2}, actions);
    EXPECT_EQ(scores[0].item<float>(), kLeast);
    EXPECT_FLOAT_EQ(scores[1].item<float>(), (ReturnOfDrift(0, -0.5F, 4) + ReturnOfDrift(0, 0.5F, 4)) / 2);
  }
  // Not where the particle had ended before.
  task_.terminated = [](const auto&, const auto&, const torch::Tensor& next_obs) { return next_obs.select(1, 0) >= 2; };
  EXPECT_FLOAT_EQ(ScoreOnly(model, {.kind = Propagation::kTsInf, .particles = 2}, actions)[0].item<float>(),
                  (0 + 1 + 2) / 2.0F);
}

TEST_F(ImaginedReturnTest, UncertaintyCostsOrEndsAPlan) {
  const DriftModel model({-1, 3}, {0, 0});  // u = population std of the means / target std 2 = 1
  const torch::Tensor actions = torch::zeros({1, 3, 1});
  const PropagationConfig tsinf{.kind = Propagation::kTsInf, .particles = 2};
  const float plain = ScoreOnly(model, tsinf, actions).item<float>();
  EXPECT_FLOAT_EQ(plain, ReturnOfDrift(0, 1, 3));
  UncertaintyConfig uncertainty{.use = UncertaintyUse::kPenalty, .coefficient = 0.5};
  EXPECT_FLOAT_EQ(ScoreOnly(model, tsinf, actions, 0, uncertainty).item<float>(), plain - 3 * 0.5F);
  uncertainty = {.use = UncertaintyUse::kTerminate, .threshold = "0.9", .terminal_penalty = 7};
  EXPECT_FLOAT_EQ(ScoreOnly(model, tsinf, actions, 0, uncertainty).item<float>(), -7);
  uncertainty = {.use = UncertaintyUse::kTruncate, .threshold = "0.9"};
  EXPECT_FLOAT_EQ(ScoreOnly(model, tsinf, actions, 0, uncertainty).item<float>(), 1);  // the first step's
  uncertainty.threshold = "1.1";
  EXPECT_FLOAT_EQ(ScoreOnly(model, tsinf, actions, 0, uncertainty).item<float>(), plain);
}

TEST_F(ImaginedReturnTest, WhatDoesNotFitIsRefused) {
  const DriftModel model({-1, 3}, {0, 0});
  EXPECT_THROW(ScoreOnly(model, {.kind = Propagation::kTsInf, .particles = 3}, torch::zeros({1, 1, 1})),
               std::logic_error);
  EXPECT_THROW(ScoreOnly(model, {.kind = Propagation::kTs1, .particles = 3}, torch::zeros({1, 1, 1}), 0,
                         {.use = UncertaintyUse::kWeight}),
               std::logic_error);
  EXPECT_EQ((PropagationConfig{.kind = Propagation::kTsInf, .particles = 6}.MisfitOf({.hypotheses = 3})), "");
  EXPECT_THAT((PropagationConfig{.kind = Propagation::kTsInf, .particles = 6}.MisfitOf({.hypotheses = 4})),
              testing::HasSubstr("a multiple of model.elites, 4, got 6"));
}

}  // namespace
}  // namespace reverie
