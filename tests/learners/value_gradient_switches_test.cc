// What the learner of policies through a model does with each of its switches.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "fake_model.h"
#include "reverie/learners/sac_learner.h"
#include "reverie/learners/value_gradient_learner.h"

namespace reverie {
namespace {

const TransitionLayout kLayout{.obs_dim = 2, .act_dim = 1};

// Two hypotheses of a pendulum with noise that depends on where it is, reward included; or without noise. Beyond
// `broken_at` in s_0 neither value nor derivative is a number.
class BentModel final : public FakeModel {
 public:
  explicit BentModel(bool with_noise = true) : with_noise_(with_noise) {
    hypotheses_ = torch::arange(2, torch::kInt64);
    target_std_ = torch::ones({3});
  }

  GaussianPrediction Predict(const torch::Tensor& obs, const torch::Tensor& action, Members) const override {
    const torch::Tensor s0 = obs.select(-1, 0), s1 = obs.select(-1, 1), a = action.select(-1, 0);
    const torch::Tensor broken = torch::sqrt((broken_at - s0).clamp_max(1)) * 0;
    std::vector<torch::Tensor> means, vars;
    for (const double h : {0.0, 1.0}) {
      means.push_back(torch::stack(
          {0.2 * s1 + broken, (0.5 + h) * a - 0.3 * torch::sin(s0), -s0.square() - 0.1 * a.square() + h * s1}, -1));
      const torch::Tensor std = 0.1 + 0.2 * torch::sigmoid(s1 + a + h);
      vars.push_back(torch::stack({std, 2 * std, 3 * std}, -1).square() * (with_noise_ ? 1 : 0));
    }
    return {.mean = torch::stack(means), .var = torch::stack(vars)};
  }

  ModelStep Next(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws) const override {
    const GaussianPrediction all = Predict(obs, action, Members::kElites);
    const torch::Tensor own = HypothesisOfRows(draws.deal, 2).view({1, -1, 1}).expand({1, -1, 3});
    torch::Tensor target = all.mean.gather(0, own).squeeze(0);
    if (with_noise_) {
      target = target +
               torch::sqrt(all.var.gather(0, own).squeeze(0)) * CollectRows(draws.noise.view({2, -1, 3}), draws.deal);
    }
    return {.next_obs = DecodeObs(target, obs), .reward = target.select(1, 2)};
  }

  torch::Tensor DecodeObs(const torch::Tensor& target, const torch::Tensor& obs) const override {
    return obs + target.slice(-1, 0, 2);
  }
  int64_t noise_dim() const override { return with_noise_ ? 3 : 0; }

  double broken_at = std::numeric_limits<double>::infinity();

 private:
  bool with_noise_;
};

EnvSpec Spec() {
  EnvSpec spec;
  spec.id = "Bent-v0";
  spec.obs_low = {-1, -1};
  spec.obs_high = {1, 1};
  spec.action_low = {-2};
  spec.action_high = {2};
  return spec;
}

ModelEnv EnvOf(const DynamicsModel& model) {
  const auto ends = [](const torch::Tensor&, const torch::Tensor&, const torch::Tensor& next_obs) {
    return next_obs.select(1, 0) > 1.4;
  };
  return {model, {.terminated = ends}, Spec(), torch::kCPU};
}

ValueGradientConfig SmallConfig() {
  return {.offers_switches = true,
          .hidden = {5, 4},
          .horizon = 3,
          .batch_size = 6,
          .discount = 0.9,
          .critic_target = ValueTarget::kTd,
          .critics = {.members = 2, .hidden = {6, 5}, .dropout = 0}};
}

// Critics, and targets, that say something.
void Roughen(ValueGradientLearner& learner) {
  torch::Generator generator = MakeGenerator(Rng(5), torch::kCPU);
  for (FlatParameters* block : {&learner.critics().parameters(), &learner.critics().target_parameters()}) {
    torch::Tensor values = block->values();
    values.add_(0.3 * torch::randn(values.sizes(), generator, values.options()));
  }
  learner.critics().FollowRewards(torch::linspace(-1, 2, 50, learner.critics().parameters().values().options()));
}

// Six real rows, the fourth of which ends the task, and the fifth of which has an action at the bounds.
TransitionBatch RealRows(const torch::TensorOptions& options) {
  torch::Generator generator = MakeGenerator(Rng(8), torch::kCPU);
  TransitionBatch batch{kLayout, torch::randn({6, kLayout.width()}, generator, options)};
  batch.action().copy_(torch::tensor({-0.9, -0.3, 0.0, 0.4, 1.0, 0.7}, options).unsqueeze(1));
  batch.terminated().copy_(torch::tensor({0, 0, 0, 1, 0, 0}, options));
  batch.truncated().zero_();
  batch.log_weight().zero_();
  return batch;
}

// The actor's gradient of that loss, which autograd wrote, is that of differences of it.
template <class Loss>
void ExpectGradientOfDifferences(ValueGradientLearner& learner, const torch::Tensor& differentiated, const Loss& loss) {
  GaussianActor& actor = learner.actor();
  BackPropagate(differentiated, {&actor.parameters()}, actor.leaves());
  EXPECT_GT(actor.parameters().grads().norm().item<double>(), 1e-3);
  const torch::NoGradGuard no_grad;
  for (int64_t i = 0; i < actor.parameters().values().numel(); ++i) {
    const double h = 1e-5;
    torch::Tensor value = actor.parameters().values()[i];
    const auto at = [&](double steps) {
      value.add_(steps * h);
      const double reached = loss().template item<double>();
      value.sub_(steps * h);
      return reached;
    };
    const double by_difference = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h);
    EXPECT_NEAR(actor.parameters().grads()[i].item<double>(), by_difference, 1e-9 * (1 + std::abs(by_difference))) << i;
  }
}

struct Case {
  std::string name;
  ValueGradientConfig config;
};

std::vector<Case> Cases() {
  std::vector<Case> cases;
  const auto add = [&](const std::string& name, const std::function<void(ValueGradientConfig&)>& change) {
    cases.push_back({name, SmallConfig()});
    change(cases.back().config);
  };
  add("sac-svg", [](auto&) {});
  add("first entropy", [](auto& config) { config.entropy = EntropyTerms::kFirst; });
  add("no entropy", [](auto& config) { config.entropy = EntropyTerms::kNone; });
  add("deterministic", [](auto& config) { config.policy = PolicyKind::kDeterministic; });
  add("rewards alone", [](auto& config) { config.terminal_value = TerminalValue::kNone; });
  add("rewards of a deterministic policy", [](auto& config) {
    config.policy = PolicyKind::kDeterministic;
    config.terminal_value = TerminalValue::kNone;
  });
  add("a shorter loss", [](auto& config) {
    config.critic_target = ValueTarget::kExpansion;
    config.actor_horizon = 1;
  });
  add("no steps", [](auto& config) { config.horizon = 0; });
  return cases;
}

// The loss of every switch, term by term and row by row as the header writes it, and its gradient.
TEST(ValueGradientSwitches, LossesAreThoseOfTheFormulaAndGradientsThoseOfDifferences) {
  const BentModel model;
  const ModelEnv model_env = EnvOf(model);
  const torch::Tensor start = torch::tensor({0.0, 0.5, 1.3, 1.2, 1.0, 2.0, -2.0, 1.0}, torch::kFloat64).view({4, 2});
  for (const auto& [name, config] : Cases()) {
    SCOPED_TRACE(name);
    ValueGradientLearner learner(config, kLayout, Rng(1), torch::kFloat64);
    const bool with_critics = config.terminal_value == TerminalValue::kCritic;
    if (with_critics) {
      Roughen(learner);
    }
    const ValueGradientLearner::Draws draws = learner.DrawNoise(&model, 4);
    const auto roll = [&] { return learner.Roll(start, &model_env, draws); };
    const auto loss = [&] { return learner.ActorLoss(roll(), nullptr); };

    const auto horizon = static_cast<size_t>(config.actor_horizon.value_or(config.horizon));
    const ValueGradientLearner::Trajectories rolled = roll();
    double sum = 0;
    for (int64_t row = 0; row < 4; ++row) {
      double alive = 1;
      for (size_t t = 0; t <= horizon && alive > 0; ++t) {
        const torch::Tensor obs = rolled.steps.obs[t];
        const bool with_entropy = config.policy == PolicyKind::kGaussian && config.entropy != EntropyTerms::kNone &&
                                  (t == 0 || config.entropy == EntropyTerms::kAll);
        const double bonus =
            with_entropy ? -0.1 * learner.actor().Sample(obs, draws.policy[t]).log_prob[row].item<double>() : 0;
        if (t < horizon) {
          sum += alive * (rolled.steps.reward[t][row].item<double>() + bonus);
          alive *= rolled.steps.obs[t + 1][row][0].item<double>() > 1.4 ? 0 : 0.9;
        } else if (with_critics) {
          const torch::Tensor q = learner.critics().Q(obs, rolled.steps.action[t], nullptr);
          sum += alive * ((q[0][row] + q[1][row]).item<double>() / 2 + bonus);
        }
      }
    }
    EXPECT_NEAR(loss().item<double>(), -sum / 4, 1e-12 * (1 + std::abs(sum)));
    ExpectGradientOfDifferences(learner, loss(), loss);
  }
}

// The step of inferred noise is the real one, whatever the model says of it, and the noise is what makes it so.
TEST(ValueGradientSwitches, InferredNoiseGivesTheRealStep) {
  ValueGradientConfig config = SmallConfig();
  config.horizon = 1;
  config.entropy = EntropyTerms::kNone;
  config.noise = NoiseSource::kInferred;
  const TransitionBatch real = RealRows(torch::kFloat64);
  for (const bool with_noise : {true, false}) {
    const BentModel model(with_noise);
    const ModelEnv model_env = EnvOf(model);
    ValueGradientLearner learner(config, kLayout, Rng(1), torch::kFloat64);
    ValueGradientLearner::Draws draws = learner.DrawNoise(&model, 6);
    learner.InferNoise(real, model, draws);
    const ValueGradientLearner::Trajectories rolled = learner.Roll(real.obs(), &model_env, draws, &real);
    EXPECT_TRUE(torch::equal(rolled.steps.obs[1], real.next_obs()));
    EXPECT_TRUE(torch::equal(rolled.reward[0], real.reward()));
    const torch::Tensor reached = real.action().clamp(-1 + 1e-6, 1 - 1e-6);
    EXPECT_TRUE(torch::allclose(rolled.steps.action[0], reached, 0, 1e-12));
    EXPECT_EQ(rolled.discount_alive[1][3].item<double>(), 0);
    EXPECT_EQ(rolled.discount_alive[1].sum().item<double>(), 5 * 0.9);
    const ModelEnv::Transition imagined = model_env.Next(real.obs(), real.action(), draws.model[0]);
    EXPECT_EQ(torch::allclose(imagined.next_obs, real.next_obs(), 1e-12, 1e-12), with_noise);
    EXPECT_EQ(torch::allclose(imagined.reward, real.reward(), 1e-12, 1e-12), with_noise);
  }
}

// Its gradient is that of the plain step with this noise held constant, and, where a model has none, with what is
// missing to the real step held constant.
TEST(ValueGradientSwitches, InferredNoiseIsHeldConstant) {
  ValueGradientConfig config = SmallConfig();
  config.horizon = 1;
  config.entropy = EntropyTerms::kNone;
  config.noise = NoiseSource::kInferred;
  TransitionBatch real = RealRows(torch::kFloat64);
  real.action().clamp_(-0.95, 0.95);
  for (const bool with_noise : {true, false}) {
    const BentModel model(with_noise);
    const ModelEnv model_env = EnvOf(model);
    ValueGradientLearner learner(config, kLayout, Rng(1), torch::kFloat64);
    Roughen(learner);
    ValueGradientLearner::Draws draws = learner.DrawNoise(&model, 6);
    learner.InferNoise(real, model, draws);
    const ModelEnv::Transition imagined = model_env.Next(real.obs(), real.action(), draws.model[0]);
    const torch::Tensor missing_obs = real.next_obs() - imagined.next_obs;
    const torch::Tensor missing_reward = real.reward() - imagined.reward;
    const auto loss = [&] {
      const torch::Tensor action = learner.actor().Sample(real.obs(), draws.policy[0]).action;
      const ModelEnv::Transition next = model_env.Next(real.obs(), action, draws.model[0]);
      const torch::Tensor obs = next.next_obs + missing_obs;
      const torch::Tensor last = learner.actor().Sample(obs, draws.policy[1]).action;
      const torch::Tensor q = learner.critics().Q(obs, last, nullptr).mean(0);
      return -(next.reward + missing_reward + 0.9 * (1 - real.terminated()) * q).mean();
    };
    const torch::Tensor actor_loss = learner.ActorLoss(learner.Roll(real.obs(), &model_env, draws, &real), nullptr);
    EXPECT_NEAR(actor_loss.item<double>(), loss().item<double>(), 1e-9);
    ExpectGradientOfDifferences(learner, actor_loss, loss);
  }
}

// A row whose model is no number adds its own policy's terms, and nothing that is not finite.
TEST(ValueGradientSwitches, ABrokenModelSpoilsNoOtherRow) {
  ValueGradientConfig config = SmallConfig();
  config.horizon = 1;
  config.entropy = EntropyTerms::kNone;
  config.noise = NoiseSource::kInferred;
  config.terminal_value = TerminalValue::kNone;
  TransitionBatch real = RealRows(torch::kFloat64);
  real.obs()[2][0].fill_(100);
  BentModel model;
  model.broken_at = 50;
  const ModelEnv model_env = EnvOf(model);
  ValueGradientLearner learner(config, kLayout, Rng(1), torch::kFloat64);
  ValueGradientLearner::Draws draws = learner.DrawNoise(&model, 6);
  learner.InferNoise(real, model, draws);
  GaussianActor& actor = learner.actor();
  const ValueGradientLearner::Trajectories rolled = learner.Roll(real.obs(), &model_env, draws, &real);
  EXPECT_EQ(rolled.reward[0][2].item<double>(), 0);
  EXPECT_EQ(rolled.discount_alive[1][2].item<double>(), 0);
  BackPropagate(learner.ActorLoss(rolled, nullptr), {&actor.parameters()}, actor.leaves());
  const torch::Tensor with_it = actor.parameters().grads().clone();
  const torch::Tensor others = torch::tensor({0, 1, 3, 4, 5});
  const torch::Tensor reward = learner.Roll(real.obs(), &model_env, draws, &real).reward[0];
  BackPropagate(-reward.index_select(0, others).sum() / 6, {&actor.parameters()}, actor.leaves());
  EXPECT_GT(with_it.norm().item<double>(), 1e-3);
  EXPECT_TRUE(torch::allclose(with_it, actor.parameters().grads(), 1e-9, 1e-12));
}

// The target of real rows by hand, with and without an entropy; a row that ends the task has its reward alone.
TEST(ValueGradientSwitches, TdTargetsAreThoseOfTheRealStep) {
  const TransitionBatch real = RealRows(torch::kFloat64);
  const torch::Tensor noise = torch::linspace(-1, 1, 6, torch::kFloat64).unsqueeze(1);
  for (const EntropyTerms entropy : {EntropyTerms::kAll, EntropyTerms::kFirst, EntropyTerms::kNone}) {
    ValueGradientConfig config = SmallConfig();
    config.entropy = entropy;
    ValueGradientLearner learner(config, kLayout, Rng(1), torch::kFloat64);
    Roughen(learner);
    const torch::NoGradGuard no_grad;
    const torch::Tensor y = learner.TdTarget(real, noise);
    ValueCritics& critics = learner.critics();
    const ActionSample next = learner.actor().Sample(real.next_obs(), noise);
    critics.parameters().values().copy_(critics.target_parameters().values());
    const torch::Tensor q = critics.Q(real.next_obs(), next.action, nullptr);
    const double low = critics.bounds()[0].item<double>(), high = critics.bounds()[1].item<double>();
    for (int64_t row = 0; row < 6; ++row) {
      const double least = std::min(q[0][row].item<double>(), q[1][row].item<double>());
      const double alpha = entropy == EntropyTerms::kNone ? 0 : 0.1;
      const double value = std::clamp(least, low, high) - alpha * next.log_prob[row].item<double>();
      const double expected = real.reward()[row].item<double>() + (row == 3 ? 0 : 0.9 * value);
      EXPECT_NEAR(y[row].item<double>(), expected, 1e-12 * (1 + std::abs(expected))) << row;
    }
  }
}

// An update's critics step towards those targets at the actions of the rows.
TEST(ValueGradientSwitches, TdCriticsLearnAtTheRowsOwnActions) {
  ValueGradientConfig config = SmallConfig();
  config.horizon = 0;
  const TransitionBatch real = RealRows(torch::kFloat32);
  ValueGradientLearner learner(config, kLayout, Rng(1), torch::kCPU);
  ValueGradientLearner by_hand(config, kLayout, Rng(1), torch::kCPU);
  learner.Update([&](TransitionBatch& rows, torch::Generator&) { rows.rows.copy_(real.rows); }, nullptr, 1);
  const ValueGradientLearner::Draws draws = by_hand.DrawNoise(nullptr, 6);
  torch::Generator no_dropout = MakeGenerator(Rng(1), torch::kCPU);
  by_hand.critics().Learn(real.obs(), real.action(), by_hand.TdTarget(real, draws.td), no_dropout);
  EXPECT_TRUE(torch::equal(learner.critics().parameters().values(), by_hand.critics().parameters().values()));
  EXPECT_TRUE(torch::equal(learner.critics().parameters().grads(), by_hand.critics().parameters().grads()));
}

// With H = 0 and one critic the actor's gradient is SAC's own, at equal weights. SAC's networks have ReLUs, whose limit
// the SiLU is: silu(k x) / k is relu(x) but for |x| of some 100 / k.
TEST(ValueGradientSwitches, WithoutStepsTheActorsGradientIsThatOfTheSacLearner) {
  const double k = 1 << 20;
  SacLearner sac({.hidden = {7, 6}}, kLayout, Rng(3), torch::kCPU);
  ValueGradientConfig config = SmallConfig();
  config.hidden = {7, 6};
  config.horizon = 0;
  config.initial_alpha = 1;  // SAC's at first
  config.critics = {.members = 1, .hidden = {7, 6}, .layer_norm = false, .dropout = 0};
  ValueGradientLearner learner(config, kLayout, Rng(4), torch::kCPU);
  const torch::NoGradGuard no_grad;
  // What a layer's weights and biases are multiplied by: the first one's outputs grow by k, the last one's are as they
  // were.
  const auto weight_scale = [&](size_t layer) { return layer == 0 ? k : layer == 1 ? 1.0 : 1 / k; };
  const auto bias_scale = [&](size_t layer) { return layer < 2 ? k : 1.0; };

  // A standard deviation of 1/2 everywhere.
  const double std = 0.5;
  EnsembleMlp& theirs = sac.actor().mlp();
  EnsembleMlp& ours = learner.actor().mlp();
  theirs.weights()[2].slice(2, 1).zero_();
  theirs.biases()[2].slice(2, 1).fill_(std::log(std));
  const double softplus_raw = std::log(std::expm1(std - kLeastStd));
  for (size_t l = 0; l < 3; ++l) {
    torch::Tensor(ours.weights()[l]).copy_(theirs.weights()[l] * weight_scale(l));
    torch::Tensor(ours.biases()[l]).copy_(theirs.biases()[l] * bias_scale(l));
  }
  torch::Tensor(ours.biases()[2]).slice(2, 1).fill_(softplus_raw);

  // Their two critics are one and the same; ours is without a scale.
  torch::Tensor bounds = learner.critics().bounds();
  bounds.copy_(torch::tensor({-1.0F, 1.0F}));
  torch::Tensor values = learner.critics().parameters().values();
  int64_t at = 0;
  for (size_t l = 0; l < 3; ++l) {
    for (const auto& [tensor, scale] : {std::pair(sac.critics().weights()[l], weight_scale(l)),
                                        std::pair(sac.critics().biases()[l], bias_scale(l))}) {
      torch::Tensor(tensor)[1].copy_(tensor[0]);
      values.narrow(0, at, tensor[0].numel()).copy_(tensor[0].flatten() * scale);
      at += tensor[0].numel();
    }
  }
  ASSERT_EQ(at, values.numel());

  const TransitionBatch real = RealRows(torch::kFloat32);
  const ValueGradientLearner::Draws draws = learner.DrawNoise(nullptr, 6);
  sac.CriticGradients(real, draws.td);  // for its alpha
  const double sac_loss = sac.ActorGradients(real, draws.policy[0]).item<double>();
  const torch::AutoGradMode with_gradients(true);
  const torch::Tensor loss = learner.ActorLoss(learner.Roll(real.obs(), nullptr, draws), nullptr);
  EXPECT_NEAR(loss.item<double>(), sac_loss, 1e-5 * (1 + std::abs(sac_loss)));
  BackPropagate(loss, {&learner.actor().parameters()}, learner.actor().leaves());
  const auto expect_close = [](const torch::Tensor& x, const torch::Tensor& y) {
    EXPECT_LT((x - y).norm().item<double>(), 2e-5 * y.norm().item<double>());
    EXPECT_GT(y.norm().item<double>(), 1e-4);
  };
  for (size_t l = 0; l < 2; ++l) {
    expect_close(ours.weight_grads()[l] * weight_scale(l), theirs.weight_grads()[l]);
    expect_close(ours.bias_grads()[l] * bias_scale(l), theirs.bias_grads()[l]);
  }
  expect_close(ours.weight_grads()[2].slice(2, 0, 1) * weight_scale(2), theirs.weight_grads()[2].slice(2, 0, 1));
  expect_close(ours.bias_grads()[2].slice(2, 0, 1), theirs.bias_grads()[2].slice(2, 0, 1));
  // By the standard deviation itself: d std / d raw is the sigmoid here, and std there.
  expect_close(ours.bias_grads()[2].slice(2, 1) * ((1 + std::exp(-softplus_raw)) * std),
               theirs.bias_grads()[2].slice(2, 1));
}

// A gradient that is too long is made shorter, not turned, and is logged as it was.
TEST(ValueGradientSwitches, LongGradientsAreScaledDown) {
  const BentModel model;
  const ModelEnv model_env = EnvOf(model);
  const TransitionBatch real = RealRows(torch::kFloat32);
  const auto rows = [&](TransitionBatch& batch, torch::Generator&) { batch.rows.copy_(real.rows); };
  torch::Tensor free;
  double norm = 0;
  for (const double limit : {0.0, 1e6, 1e-3}) {
    ValueGradientConfig config = SmallConfig();
    config.max_grad_norm = limit;
    ValueGradientLearner learner(config, kLayout, Rng(1), torch::kCPU);
    learner.Update(rows, &model_env, 1);
    const torch::Tensor grads = learner.actor().parameters().grads();
    if (limit == 0) {
      free = grads.clone();
      norm = free.norm().item<double>();
      ASSERT_GT(norm, 2e-3);
    }
    EXPECT_NEAR(grads.norm().item<double>(), limit == 1e-3 ? limit : norm, 1e-5 * norm);
    EXPECT_TRUE(torch::allclose(grads / grads.norm(), free / norm, 1e-4, 1e-6));
    EXPECT_NEAR(learner.DrainMetrics().Find("actor_grad_norm").value(), norm, 1e-4 * norm);
  }
}

// Without an entropy there is no alpha to learn; without critics none are kept.
TEST(ValueGradientSwitches, WhatIsNotThereIsNotLearned) {
  const BentModel model;
  const ModelEnv model_env = EnvOf(model);
  const TransitionBatch real = RealRows(torch::kFloat32);
  const auto rows = [&](TransitionBatch& batch, torch::Generator&) { batch.rows.copy_(real.rows); };
  for (const auto& [name, config] : Cases()) {
    SCOPED_TRACE(name);
    ValueGradientLearner learner(config, kLayout, Rng(1), torch::kCPU);
    ValueGradientLearner other(config, kLayout, Rng(2), torch::kCPU);
    learner.Update(rows, &model_env, 2);
    StateTree state = SaveState(learner);
    const bool entropy = config.policy == PolicyKind::kGaussian && config.entropy != EntropyTerms::kNone;
    EXPECT_EQ(state.values().tensors.at("log_alpha").item<float>() != std::log(0.1F), entropy);
    EXPECT_EQ(state.values().tensors.contains("critics/critics"), config.terminal_value == TerminalValue::kCritic);
    // From the same state the same updates follow.
    LoadState(state, other);
    learner.Update(rows, &model_env, 2);
    other.Update(rows, &model_env, 2);
    EXPECT_TRUE(torch::equal(learner.actor().parameters().values(), other.actor().parameters().values()));
    const Metrics metrics = learner.DrainMetrics();
    EXPECT_EQ(metrics.Find("critic_loss").has_value(), config.terminal_value == TerminalValue::kCritic);
    EXPECT_EQ(metrics.Find("alpha").value() > 0, entropy);
  }
}

// A deterministic policy explores with what is added to its action, and no further than the bounds.
TEST(ValueGradientSwitches, ADeterministicPolicyExplores) {
  ValueGradientConfig config = SmallConfig();
  config.policy = PolicyKind::kDeterministic;
  config.exploration_std = 0.3;
  const ValueGradientLearner learner(config, kLayout, Rng(1), torch::kCPU);
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  const torch::Tensor obs = torch::tensor({{0.4F, -0.3F}}).expand({20000, 2});
  const torch::Tensor mean = learner.actor().Act({.obs = obs}, nullptr, ActMode::kMean, generator);
  const torch::Tensor sample = learner.actor().Act({.obs = obs}, nullptr, ActMode::kSample, generator);
  EXPECT_TRUE(torch::allclose(mean, learner.actor().Sample(obs, {}).action));
  EXPECT_LT(mean.abs().max().item<double>(), 0.3);  // so that few draws meet the bounds
  EXPECT_NEAR((sample - mean).mean().item<double>(), 0, 0.01);
  EXPECT_NEAR((sample - mean).std().item<double>(), 0.3, 0.01);
  EXPECT_EQ(sample.abs().max().item<double>(), 1);
}

// x' = A x + B u, cost x^T Q x + r u^2: linear dynamics and a quadratic cost, both known.
constexpr double kCost = 0.2;  // r
class LinearDynamics final : public FakeModel {
 public:
  ModelStep Next(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws&) const override {
    const torch::Tensor x = obs.select(1, 0), v = obs.select(1, 1), u = action.select(1, 0);
    return {.next_obs = torch::stack({x + 0.5 * v + 0.1 * u, 0.8 * v + 0.8 * u}, 1),
            .reward = -(x.square() + 0.3 * v.square() + kCost * u.square())};
  }
};

// Backpropagation through the model, with rewards alone, finds the optimal feedback.
TEST(ValueGradientSwitches, ADeterministicPolicyReachesTheRiccatiOptimum) {
  constexpr double kDiscount = 0.98;
  const auto f64 = [](std::vector<double> values) { return torch::tensor(values, torch::kFloat64).view({2, -1}); };
  const torch::Tensor a = std::sqrt(kDiscount) * f64({1, 0.5, 0, 0.8});
  const torch::Tensor b = std::sqrt(kDiscount) * f64({0.1, 0.8});
  torch::Tensor p = torch::zeros({2, 2}, torch::kFloat64);
  for (int i = 0; i < 500; ++i) {
    const torch::Tensor gain = b.t().mm(p).mm(a) / (kCost + b.t().mm(p).mm(b));
    p = f64({1, 0, 0, 0.3}) + a.t().mm(p).mm(a - b.mm(gain));
  }

  const LinearDynamics model;
  const ModelEnv model_env(model, {.terminated = NeverTerminated}, Spec(), torch::kCPU);
  const auto starts = [](TransitionBatch& rows, torch::Generator& generator) {
    rows.rows.uniform_(-0.5, 0.5, generator);
  };
  ValueGradientConfig config{.offers_switches = true,
                             .policy = PolicyKind::kDeterministic,
                             .hidden = {32},
                             .horizon = 8,
                             .batch_size = 64,
                             .learning_rate = 1e-2,
                             .discount = kDiscount,
                             .terminal_value = TerminalValue::kNone};
  ValueGradientLearner fast(config, kLayout, Rng(1), torch::kCPU);
  fast.Update(starts, &model_env, 250);
  config.learning_rate = 1e-3;
  ValueGradientLearner learner(config, kLayout, Rng(1), torch::kCPU);
  StateTree state = SaveState(fast);
  LoadState(state, learner);
  learner.Update(starts, &model_env, 150);

  const torch::NoGradGuard no_grad;
  const torch::Tensor grid = torch::linspace(-0.4, 0.4, 5);
  const torch::Tensor first = torch::cartesian_prod({grid, grid});
  torch::Tensor obs = first;
  double cost = 0, weight = 1;
  for (int t = 0; t < 200; ++t, weight *= kDiscount) {
    const ModelStep step = model.Next(obs, learner.actor().Sample(obs, {}).action, {});
    cost -= weight * step.reward.sum().item<double>();
    obs = step.next_obs;
  }
  const torch::Tensor exact = first.to(torch::kFloat64);
  const double best = (exact.mm(p) * exact).sum().item<double>();
  EXPECT_LT(cost, 1.01 * best);
  EXPECT_GT(cost, 0.9999 * best);
}

// Critics of real steps and the actor together find which way to push, by whatever noise and over however many steps.
TEST(ValueGradientSwitches, TdCriticsBringALineToItsMiddle) {
  const LinearDynamics model;
  const ModelEnv model_env(model, {.terminated = NeverTerminated}, Spec(), torch::kCPU);
  const auto real = [&](TransitionBatch& rows, torch::Generator& generator) {
    rows.rows.uniform_(-1, 1, generator);
    const ModelStep step = model.Next(rows.obs(), rows.action(), {});
    rows.next_obs().copy_(step.next_obs);
    rows.reward().copy_(step.reward);
    rows.terminated().zero_();
  };
  for (const int64_t horizon : {0, 1, 2}) {
    ValueGradientConfig config = SmallConfig();
    config.hidden = {32};
    config.horizon = horizon;
    config.batch_size = 64;
    config.learning_rate = 3e-3;
    config.critics = {.members = 2, .hidden = {32}, .dropout = 0, .learning_rate = 3e-3, .tau = 0.05};
    if (horizon == 1) {
      config.entropy = EntropyTerms::kNone;
      config.noise = NoiseSource::kInferred;
    }
    ValueGradientLearner learner(config, kLayout, Rng(1), torch::kCPU);
    learner.Update(real, &model_env, 200);
    const torch::Tensor obs = torch::tensor({{0.8, 0.0}, {-0.8, 0.0}, {0.0, 0.8}, {0.0, -0.8}});
    const torch::Tensor action = learner.actor().Sample(obs, torch::zeros({4, 1})).action.detach();
    const torch::Tensor wanted = torch::tensor({-1.0, 1.0, -1.0, 1.0});
    EXPECT_GT((action.squeeze(1) * wanted).min().item<double>(), 0.15) << horizon << "\n" << action;
  }
}

}  // namespace
}  // namespace reverie
