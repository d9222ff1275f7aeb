#include "reverie/learners/value_gradient_learner.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "fake_model.h"
#include "host_waits.h"

namespace reverie {
namespace {

const TransitionLayout kLayout{.obs_dim = 2, .act_dim = 1};

// s' = (s_0 + 0.1 s_1, s_1 + 0.5 a) + 0.3 noise, reward -(s'_0^2 + 0.1 a^2), in any float type. Beyond `broken_at` in
// s_0 neither value nor derivative is a number.
class LinearModel final : public FakeModel {
 public:
  ModelStep Next(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws) const override {
    const torch::Tensor noise = CollectRows(draws.noise.view({1, obs.size(0), 2}), draws.deal);
    const torch::Tensor moved =
        torch::stack({obs.select(1, 0) + 0.1 * obs.select(1, 1), obs.select(1, 1) + 0.5 * action.select(1, 0)}, 1);
    const torch::Tensor next = moved + 0.3 * noise;
    const torch::Tensor broken = torch::sqrt((broken_at - obs.select(1, 0)).clamp_max(1)) * 0;
    return {.next_obs = next + broken.unsqueeze(1),
            .reward = -(next.select(1, 0).square() + 0.1 * action.select(1, 0).square()) + broken};
  }
  int64_t noise_dim() const override { return 2; }

  double broken_at = std::numeric_limits<double>::infinity();
};

class ValueGradientLearnerTest : public testing::Test {
 protected:
  ValueGradientLearnerTest() {
    spec_.id = "Line-v0";
    spec_.obs_low = {-1, -1};
    spec_.obs_high = {1, 1};
    spec_.action_low = {-2};
    spec_.action_high = {2};
  }

  static ValueGradientConfig Config(int64_t horizon) {
    ValueGradientConfig config;
    config.hidden = {5, 4};
    config.horizon = horizon;
    config.batch_size = 4;
    config.discount = 0.9;
    config.critics = {.members = 3, .hidden = {6, 5}};
    return config;
  }

  ModelEnv Imagined() const { return {model_, {.terminated = terminated_}, spec_, torch::kCPU}; }

  // Critics that say something.
  static void Roughen(ValueGradientLearner& learner) {
    torch::Generator generator = MakeGenerator(Rng(5), torch::kCPU);
    torch::Tensor values = learner.critics().parameters().values();
    values.add_(0.3 * torch::randn(values.sizes(), generator, values.options()));
    learner.critics().FollowRewards(torch::linspace(-1, 2, 50, values.options()));
  }

  EnvSpec spec_;
  LinearModel model_;
  TaskFunctions::Batched terminated_ = NeverTerminated;
};

// In float64 the gradient through all steps is that of differences, with rows that end on the way.
TEST_F(ValueGradientLearnerTest, TheActorsGradientIsThatOfDifferences) {
  terminated_ = [](const torch::Tensor&, const torch::Tensor&, const torch::Tensor& next_obs) {
    return next_obs.select(1, 0) > 1.4;
  };
  for (const int64_t horizon : {0, 1, 5}) {
    ValueGradientLearner learner(Config(horizon), kLayout, Rng(1), torch::kFloat64);
    Roughen(learner);
    const ModelEnv model_env = Imagined();
    const ValueGradientLearner::Draws draws = learner.DrawNoise(&model_, 4);
    const torch::Tensor start = torch::tensor({0.0, 0.5, 1.3, -0.2, 1.0, 2.0, -3.0, 1.0}, torch::kFloat64).view({4, 2});
    const auto loss = [&] { return learner.ActorLoss(learner.Roll(start, &model_env, draws), nullptr); };
    if (horizon == 5) {
      const torch::Tensor alive = learner.Roll(start, &model_env, draws).discount_alive[-1] > 0;
      EXPECT_TRUE(alive.any().item<bool>());
      EXPECT_FALSE(alive.all().item<bool>());
    }
    GaussianActor& actor = learner.actor();
    BackPropagate(loss(), {&actor.parameters()}, actor.leaves());
    EXPECT_GT(actor.parameters().grads().norm().item<double>(), 1e-3);
    const torch::NoGradGuard no_grad;
    for (int64_t i = 0; i < actor.parameters().values().numel(); ++i) {
      const double h = 1e-5;
      torch::Tensor value = actor.parameters().values()[i];
      const auto at = [&](double steps) {
        value.add_(steps * h);
        const double reached = loss().item<double>();
        value.sub_(steps * h);
        return reached;
      };
      const double by_difference = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h);
      EXPECT_NEAR(actor.parameters().grads()[i].item<double>(), by_difference, 1e-9 * (1 + std::abs(by_difference)));
    }
  }
}

// Without imagined steps the actor's loss is SAC's, with the critics' mean for their minimum.
TEST_F(ValueGradientLearnerTest, WithoutStepsTheActorsLossIsSacs) {
  ValueGradientLearner learner(Config(0), kLayout, Rng(1), torch::kCPU);
  Roughen(learner);
  const ValueGradientLearner::Draws draws = learner.DrawNoise(nullptr, 4);
  const torch::Tensor start = torch::randn({4, 2});
  const ActionSample sample = learner.actor().Sample(start, draws.policy[0]);
  const torch::Tensor expected =
      (0.1 * sample.log_prob - learner.critics().Q(start, sample.action, nullptr).mean(0)).mean();
  EXPECT_NEAR(learner.ActorLoss(learner.Roll(start, nullptr, draws), nullptr).item<double>(), expected.item<double>(),
              1e-6);
}

// Two steps and three rows, the second of which ends with its first step, by the formula of the header.
TEST_F(ValueGradientLearnerTest, TargetsAreTheExpansion) {
  terminated_ = [](const torch::Tensor&, const torch::Tensor&, const torch::Tensor& next_obs) {
    return next_obs.select(1, 0) > 100;
  };
  ValueGradientLearner learner(Config(2), kLayout, Rng(1), torch::kFloat64);
  const torch::Tensor start = torch::tensor({0.0, 0.5, 200.0, 0.0, 1.0, 2.0}, torch::kFloat64).view({3, 2});
  const torch::NoGradGuard no_grad;
  const ModelEnv model_env = Imagined();
  const ValueGradientLearner::Trajectories rolled = learner.Roll(start, &model_env, learner.DrawNoise(&model_, 3));
  const torch::Tensor y = learner.CriticTarget(rolled);
  const double alpha = 0.1, g = 0.9;
  // Critics that say 0 before their scale say its center.
  const double q = learner.critics().bounds().mean().item<double>();
  for (int64_t row = 0; row < 3; ++row) {
    const auto reward = [&](int64_t t) { return rolled.reward[t][row].item<double>(); };
    const auto bonus = [&](int64_t t) { return -alpha * rolled.log_prob[t][row].item<double>(); };
    const double expected = row == 1 ? reward(0) : reward(0) + g * (reward(1) + bonus(1)) + g * g * (q + bonus(2));
    EXPECT_NEAR(y[row].item<double>(), expected, 1e-9 * std::abs(expected)) << row;
  }
}

// The values that rewards allow, by hand: quantiles of the first batch, then slowly after them.
TEST_F(ValueGradientLearnerTest, BoundsFollowTheRewards) {
  ValueGradientLearner learner(Config(2), kLayout, Rng(1), torch::kFloat64);
  ValueCritics& critics = learner.critics();
  critics.FollowRewards(torch::linspace(0, 100, 101, torch::kFloat64).view({1, 101}));
  EXPECT_NEAR(critics.bounds()[0].item<double>(), 1 / (1 - 0.9), 1e-9);
  EXPECT_NEAR(critics.bounds()[1].item<double>(), 99 / (1 - 0.9), 1e-9);
  critics.FollowRewards(torch::zeros({5}, torch::kFloat64));
  EXPECT_NEAR(critics.bounds()[1].item<double>(), 990 * (1 - 3e-4), 1e-9);
  const torch::Tensor obs = torch::zeros({4, 2}, torch::kFloat64);
  const torch::Tensor action = torch::zeros({4, 1}, torch::kFloat64);
  EXPECT_NEAR(critics.Q(obs, action, nullptr)[2][3].item<double>(), (10 + 990) * (1 - 3e-4) / 2, 1e-9);
}

// One rewarded row of 256: both quantiles are 0, and the critics' scale is not.
TEST_F(ValueGradientLearnerTest, RareRewardsAreLearnedFrom) {
  ValueGradientLearner learner(Config(1), kLayout, Rng(1), torch::kCPU);
  torch::Tensor rewards = torch::zeros({256});
  rewards[17] = 1;
  learner.critics().FollowRewards(rewards);
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  const torch::Tensor obs = torch::randn({8, 2}, generator);
  const torch::Tensor action = torch::rand({8, 1}, generator);
  const ValueCritics::Update first = learner.critics().Learn(obs, action, 0.5 * torch::ones({8}), generator);
  EXPECT_GT(first.grad_norm.item<double>(), 1e-3);
  for (int i = 0; i < 3000; ++i) {
    learner.critics().Learn(obs, action, 0.5 * torch::ones({8}), generator);
  }
  EXPECT_NEAR(learner.critics().Q(obs, action, nullptr).mean().item<double>(), 0.5, 0.1);
}

// Targets are the least of two, within the bounds.
TEST_F(ValueGradientLearnerTest, TargetsAreTheLeastOfTwoCritics) {
  ValueGradientLearner learner(Config(2), kLayout, Rng(1), torch::kFloat64);
  ValueCritics& critics = learner.critics();
  critics.FollowRewards(torch::linspace(-0.1, 0.1, 101, torch::kFloat64));
  const torch::NoGradGuard no_grad;
  critics.parameters().values().copy_(critics.target_parameters().values());
  // Last biases of 1/2, -1/2 and 3: the values 1/2, -1/2 and, beyond them, 3 times the width.
  torch::Tensor biases =
      critics.target_parameters().values().narrow(0, critics.target_parameters().values().numel() - 3, 3);
  biases.copy_(torch::tensor({0.5, -0.5, 3.0}, torch::kFloat64));
  const double width = std::max(1.0, critics.bounds()[1].item<double>());
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  std::map<int64_t, int> seen;
  for (int i = 0; i < 300; ++i) {
    const torch::Tensor q =
        critics.TargetQ(torch::zeros({2, 2}, torch::kFloat64), torch::zeros({2, 1}, torch::kFloat64), generator);
    EXPECT_EQ(q[0].item<double>(), q[1].item<double>());
    ++seen[std::lround(2 * q[0].item<double>() / width)];
  }
  EXPECT_EQ(seen.size(), 2);
  EXPECT_NEAR(seen[-1], 200, 35);
  EXPECT_NEAR(seen[1], 100, 35);
  biases.fill_(3);
  EXPECT_NEAR(critics.TargetQ(torch::zeros({1, 2}, torch::kFloat64), torch::zeros({1, 1}, torch::kFloat64), generator)
                  .item<double>(),
              width, 1e-12);
}

// What is not a number ends its row and spoils nothing: losses and gradients are those of the rows that are left.
TEST_F(ValueGradientLearnerTest, ARowThatIsNotANumberSpoilsNothing) {
  ValueGradientLearner learner(Config(4), kLayout, Rng(1), torch::kFloat64);
  Roughen(learner);
  model_.broken_at = 50;
  const torch::Tensor start = torch::tensor({0.0, 0.5, 49.9, 30.0, 1.0, 2.0, -1.0, 0.0}, torch::kFloat64).view({4, 2});
  const ValueGradientLearner::Draws draws = learner.DrawNoise(&model_, 4);
  GaussianActor& actor = learner.actor();
  const ModelEnv model_env = Imagined();
  const ValueGradientLearner::Trajectories rolled = learner.Roll(start, &model_env, draws);
  EXPECT_GT(rolled.discount_alive[1][1].item<double>(), 0);
  EXPECT_EQ(rolled.discount_alive[2][1].item<double>(), 0);
  EXPECT_TRUE(torch::isfinite(learner.CriticTarget(rolled)).all().item<bool>());
  BackPropagate(learner.ActorLoss(rolled, nullptr), {&actor.parameters()}, actor.leaves());
  const torch::Tensor with_it = actor.parameters().grads().clone();
  EXPECT_TRUE(torch::isfinite(with_it).all().item<bool>());
  // The row's only step and its two actions are what it adds.
  const auto of_rows = [&](const torch::Tensor& rows) {
    const ValueGradientLearner::Trajectories again = learner.Roll(start, &model_env, draws);
    const torch::Tensor q = learner.critics().Q(again.steps.obs.back(), again.steps.action.back(), nullptr).mean(0);
    const torch::Tensor gains =
        (torch::cat({again.reward, q.unsqueeze(0)}) - 0.1 * again.log_prob) * again.discount_alive;
    BackPropagate(-gains.index_select(1, rows).sum() / 4, {&actor.parameters()}, actor.leaves());
    return actor.parameters().grads().clone();
  };
  const torch::Tensor others = of_rows(torch::tensor({0, 2, 3}));
  const torch::Tensor broken = of_rows(torch::tensor({1}));
  EXPECT_TRUE(torch::allclose(with_it, others + broken, 1e-9, 1e-12));
  EXPECT_GT(broken.norm().item<double>(), 0);
}

// Critics and actor together find which way to push.
TEST_F(ValueGradientLearnerTest, LearnsToBringALineToItsMiddle) {
  ValueGradientConfig config = Config(3);
  config.hidden = {32, 32};
  config.critics = {.members = 3, .hidden = {32, 32}, .learning_rate = 1e-3};
  config.batch_size = 64;
  config.learning_rate = 1e-3;
  config.target_entropy = -3;
  ValueGradientLearner learner(config, kLayout, Rng(1), torch::kCPU);
  const ModelEnv model_env = Imagined();
  const auto starts = [](TransitionBatch& rows, torch::Generator& generator) { rows.obs().uniform_(-1, 1, generator); };
  learner.UpdateCritics(starts, &model_env, 20);
  EXPECT_EQ(learner.updates(), 0);
  learner.Update(starts, &model_env, 700);
  const Metrics metrics = learner.DrainMetrics();
  EXPECT_TRUE(metrics.Find("actor_loss").has_value());
  EXPECT_TRUE(learner.DrainMetrics().empty());
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  const torch::Tensor action = learner.actor().Act(
      {.obs = torch::tensor({{0.0, 1.0}, {0.0, -1.0}, {1.0, 0.0}, {-1.0, 0.0}})}, nullptr, ActMode::kMean, generator);
  EXPECT_LT(action[0].item<double>(), -0.3);
  EXPECT_GT(action[1].item<double>(), 0.3);
  EXPECT_LT(action[2].item<double>(), -0.3);
  EXPECT_GT(action[3].item<double>(), 0.3);
}

// Within an update nothing asks a device for an answer; losses are looked at once, after all of them.
TEST_F(ValueGradientLearnerTest, AnUpdateWaitsForNothing) {
  ValueGradientLearner learner(Config(3), kLayout, Rng(1), torch::kCPU);
  const ModelEnv model_env = Imagined();
  const auto starts = [](TransitionBatch& rows, torch::Generator& generator) { rows.obs().normal_(0, 1, generator); };
  const auto waits_of = [&](auto update) {
    const HostWaits waits;
    update();
    return waits.names();
  };
  EXPECT_EQ(waits_of([] { torch::ones({2}).sum().item<float>(); }).size(), 1U);
  EXPECT_EQ(waits_of([&] { learner.Update(starts, &model_env, 5); }),
            waits_of([&] { learner.Update(starts, &model_env, 1); }));
  EXPECT_EQ(waits_of([&] { learner.UpdateCritics(starts, &model_env, 5); }),
            waits_of([&] { learner.UpdateCritics(starts, &model_env, 1); }));
}

// From the same state the same updates follow.
TEST_F(ValueGradientLearnerTest, GoesOnFromItsState) {
  ValueGradientLearner learner(Config(3), kLayout, Rng(1), torch::kCPU);
  ValueGradientLearner other(Config(3), kLayout, Rng(2), torch::kCPU);
  const ModelEnv model_env = Imagined();
  const auto starts = [](TransitionBatch& rows, torch::Generator& generator) { rows.obs().normal_(0, 1, generator); };
  learner.FitNormalizer(torch::randn({100, 2}) * 3 + 1);
  learner.Update(starts, &model_env, 3);
  StateTree state = SaveState(learner);
  LoadState(state, other);
  learner.Update(starts, &model_env, 3);
  other.Update(starts, &model_env, 3);
  EXPECT_TRUE(torch::equal(learner.actor().parameters().values(), other.actor().parameters().values()));
  EXPECT_TRUE(
      torch::equal(learner.critics().target_parameters().values(), other.critics().target_parameters().values()));
  EXPECT_EQ(other.updates(), 6);
}

}  // namespace
}  // namespace reverie
