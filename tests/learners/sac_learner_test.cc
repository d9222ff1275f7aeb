#include "reverie/learners/sac_learner.h"

#include <gtest/gtest.h>
#include <torch/optim/adam.h>

#include <cmath>
#include <utility>

#include "oracle.h"
#include "reverie/nn/squashed_gaussian.h"

namespace reverie {
namespace {

const TransitionLayout kLayout{.obs_dim = 11, .act_dim = 3};

TransitionBatch RandomBatch(int64_t rows, torch::Generator& generator) {
  TransitionBatch batch = TransitionBatch::Empty(kLayout, rows, torch::kCPU);
  batch.rows.normal_(0, 1, generator);
  batch.action().tanh_();
  batch.terminated().copy_(torch::rand({rows}, generator) < 0.2);
  batch.truncated().zero_();
  batch.log_weight().uniform_(-1.5, 0.5, generator);
  return batch;
}

void AppendMlp(const std::string& name, const EnsembleMlp& mlp, bool grads,
               std::vector<std::pair<std::string, torch::Tensor>>* out) {
  for (size_t l = 0; l < mlp.weights().size(); ++l) {
    out->emplace_back(name + ".weight" + std::to_string(l), (grads ? mlp.weight_grads() : mlp.weights())[l].clone());
    out->emplace_back(name + ".bias" + std::to_string(l), (grads ? mlp.bias_grads() : mlp.biases())[l].clone());
  }
}

TEST(SacLearner, AnUpdateIsPyTorchs) {
  const TemporaryFolder folder;
  SacConfig config{.hidden = {32, 24}, .learning_rate = 1e-3, .discount = 0.97, .target_entropy = -2.5};
  SacLearner learner(config, kLayout, Rng(5), torch::kCPU);
  torch::Generator generator = MakeGenerator(Rng(6), torch::kCPU);
  const torch::NoGradGuard no_grad;
  // Biases, targets and alpha away from where they start.
  learner.actor().parameters().values().add_(0.1 *
                                             torch::randn(learner.actor().parameters().values().sizes(), generator));
  learner.critic_parameters().values().add_(0.1 *
                                            torch::randn(learner.critic_parameters().values().sizes(), generator));
  learner.target_parameters().values().add_(0.2 *
                                            torch::randn(learner.target_parameters().values().sizes(), generator));
  learner.alpha_parameters().values().fill_(-0.7);

  for (int update = 0; update < 3; ++update) {
    const TransitionBatch batch = RandomBatch(64, generator);
    const torch::Tensor next_noise = torch::randn({64, 3}, generator);
    const torch::Tensor noise = torch::randn({64, 3}, generator);
    std::vector<std::pair<std::string, torch::Tensor>> dump{{"obs", batch.obs()},
                                                            {"action", batch.action()},
                                                            {"next_obs", batch.next_obs()},
                                                            {"reward", batch.reward()},
                                                            {"terminated", batch.terminated()},
                                                            {"weight", batch.log_weight().exp()},
                                                            {"next_noise", next_noise},
                                                            {"noise", noise}};
    AppendMlp("before.actor", learner.actor().mlp(), false, &dump);
    AppendMlp("before.critic", learner.critics(), false, &dump);
    AppendMlp("before.target", learner.target_critics(), false, &dump);
    dump.emplace_back("before.log_alpha", learner.alpha_parameters().values().clone());
    learner.DrainMetrics();
    learner.UpdateOn(batch, next_noise, noise);
    AppendMlp("grad.actor", learner.actor().mlp(), true, &dump);
    AppendMlp("grad.critic", learner.critics(), true, &dump);
    dump.emplace_back("grad.log_alpha", learner.alpha_parameters().grads().clone());
    AppendMlp("after.actor", learner.actor().mlp(), false, &dump);
    AppendMlp("after.critic", learner.critics(), false, &dump);
    AppendMlp("after.target", learner.target_critics(), false, &dump);
    dump.emplace_back("after.log_alpha", learner.alpha_parameters().values().clone());
    for (const auto& [name, value] : learner.DrainMetrics()) {
      dump.emplace_back("metric." + name, torch::tensor(value, torch::kFloat64));
    }
    WriteTensors(folder.path() / ("update" + std::to_string(update) + ".safetensors"), dump);
  }
  EXPECT_EQ(
      RunPython("learners/sac_oracle.py", folder.path(), "update0.safetensors update1.safetensors update2.safetensors"),
      0);
}

// Copies of a network's parameters that autograd follows: the weights, then the biases.
struct Leaves {
  std::vector<torch::Tensor> weights, biases;

  explicit Leaves(const EnsembleMlp& mlp) {
    for (size_t l = 0; l < mlp.weights().size(); ++l) {
      weights.push_back(mlp.weights()[l].detach().clone().requires_grad_());
      biases.push_back(mlp.biases()[l].detach().clone().requires_grad_());
    }
  }
  torch::Tensor Forward(const torch::Tensor& x) const { return MlpForward(x, weights, biases, Activation::kRelu); }
  std::vector<torch::Tensor> All() const {
    std::vector<torch::Tensor> all = weights;
    all.insert(all.end(), biases.begin(), biases.end());
    return all;
  }
  torch::Tensor Flat() const {
    std::vector<torch::Tensor> parts;
    for (const torch::Tensor& leaf : All()) {
      parts.push_back(leaf.detach().flatten());
    }
    return torch::cat(parts);
  }
};

// The same update by autograd and LibTorch's own optimiser.
struct PlainSac {
  PlainSac(SacConfig sac_config, SacLearner& learner)
      : config(std::move(sac_config)),
        actor(learner.actor().mlp()),
        critics(learner.critics()),
        targets(learner.target_critics()),
        log_alpha(learner.alpha_parameters().values().detach().clone().requires_grad_()),
        actor_adam(actor.All(), torch::optim::AdamOptions(config.learning_rate)),
        critic_adam(critics.All(), torch::optim::AdamOptions(config.learning_rate)),
        alpha_adam({log_alpha}, torch::optim::AdamOptions(config.learning_rate)) {}

  void Update(const TransitionBatch& batch, const torch::Tensor& next_noise, const torch::Tensor& noise) {
    const torch::Tensor alpha = log_alpha.detach().exp();
    const auto [next_action, next_log_prob] = Draw(batch.next_obs(), next_noise);
    const torch::Tensor next_q = targets.Forward(torch::cat({batch.next_obs(), next_action}, 1)).squeeze(2);
    const torch::Tensor target = (batch.reward() + config.discount * (1 - batch.terminated()) *
                                                       (torch::minimum(next_q[0], next_q[1]) - alpha * next_log_prob))
                                     .detach();
    const torch::Tensor q = critics.Forward(batch.obs_action()).squeeze(2);
    Step(critic_adam, (0.5 * batch.log_weight().exp() * (q - target).square()).mean(1).sum());

    const auto [action, log_prob] = Draw(batch.obs(), noise);
    const torch::Tensor new_q = critics.Forward(torch::cat({batch.obs(), action}, 1)).squeeze(2);
    Step(actor_adam, (alpha * log_prob - torch::minimum(new_q[0], new_q[1])).mean());
    Step(alpha_adam, -(log_alpha * (log_prob.detach() + *config.target_entropy)).mean());

    const torch::NoGradGuard no_grad;
    const std::vector<torch::Tensor> from = critics.All();
    std::vector<torch::Tensor> to = targets.All();
    for (size_t i = 0; i < from.size(); ++i) {
      to[i].lerp_(from[i], config.tau);
    }
  }

  std::pair<torch::Tensor, torch::Tensor> Draw(const torch::Tensor& obs, const torch::Tensor& noise) const {
    const torch::Tensor head = actor.Forward(obs)[0];
    const int64_t act_dim = noise.size(1);
    const torch::Tensor log_std = head.slice(1, act_dim).clamp(kLogStdMin, kLogStdMax);
    const torch::Tensor u = head.slice(1, 0, act_dim) + log_std.exp() * noise;
    return {torch::tanh(u), SquashedLogProb(head.slice(1, 0, act_dim), log_std, u)};
  }
  static void Step(torch::optim::Adam& adam, const torch::Tensor& loss) {
    adam.zero_grad();
    loss.backward();
    adam.step();
  }

  SacConfig config;
  Leaves actor, critics, targets;
  torch::Tensor log_alpha;
  torch::optim::Adam actor_adam, critic_adam, alpha_adam;
};

TEST(SacLearner, AHundredUpdatesStayWithAutogradsTwin) {
  const SacConfig config{.hidden = {64, 64}, .learning_rate = 1e-3, .discount = 0.97, .target_entropy = -2.5};
  SacLearner learner(config, kLayout, Rng(5), torch::kCPU);
  PlainSac twin(config, learner);
  const Leaves actor(learner.actor().mlp()), critics(learner.critics()), targets(learner.target_critics());
  torch::Generator generator = MakeGenerator(Rng(6), torch::kCPU);
  for (int update = 0; update < 100; ++update) {
    const TransitionBatch batch = RandomBatch(64, generator);
    const torch::Tensor next_noise = torch::randn({64, 3}, generator);
    const torch::Tensor noise = torch::randn({64, 3}, generator);
    learner.UpdateOn(batch, next_noise, noise);
    twin.Update(batch, next_noise, noise);
  }
  // The distance between the two, of the distance moved.
  const auto apart = [](const EnsembleMlp& ours, const Leaves& theirs, const Leaves& start) {
    const torch::Tensor moved = theirs.Flat() - start.Flat();
    return ((Leaves(ours).Flat() - theirs.Flat()).norm() / moved.norm()).item<double>();
  };
  EXPECT_LT(apart(learner.actor().mlp(), twin.actor, actor), 0.01);
  EXPECT_LT(apart(learner.critics(), twin.critics, critics), 0.01);
  EXPECT_LT(apart(learner.target_critics(), twin.targets, targets), 0.01);
  const double log_alpha = twin.log_alpha.item<double>();
  EXPECT_GT(std::abs(log_alpha), 0.01);
  EXPECT_NEAR(learner.alpha_parameters().values().item<double>(), log_alpha, 0.01 * std::abs(log_alpha));
}

TEST(SacLearner, TerminatedRowsAreNotBootstrappedAndTruncatedOnesAre) {
  SacLearner learner({.hidden = {16}, .discount = 0.9}, kLayout, Rng(1), torch::kCPU);
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  TransitionBatch batch = RandomBatch(8, generator);
  const torch::Tensor noise = torch::randn({8, 3}, generator);
  const auto loss_with = [&](float terminated, float truncated) {
    batch.terminated().fill_(terminated);
    batch.truncated().fill_(truncated);
    return learner.CriticGradients(batch, noise).item<double>();
  };
  EXPECT_EQ(loss_with(0, 0), loss_with(0, 1));
  EXPECT_NE(loss_with(0, 0), loss_with(1, 0));
  batch.next_obs().mul_(100);  // what comes after a terminated row does not matter
  const double far = loss_with(1, 0);
  batch.next_obs().mul_(-1);
  EXPECT_EQ(loss_with(1, 0), far);
}

TEST(SacLearner, LearnsAOneStepTask) {
  // Reward -(a - 0.5)^2, every row terminated: the best mean action is 0.5.
  const TransitionLayout layout{.obs_dim = 1, .act_dim = 1};
  ReplayBuffer buffer(layout, 2000, torch::kCPU);
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  TransitionBatch rows = TransitionBatch::Empty(layout, 2000, torch::kCPU);
  rows.rows.zero_();
  rows.action().uniform_(-1, 1, generator);
  rows.reward().copy_(-(rows.action().squeeze(1) - 0.5).square());
  rows.terminated().fill_(1);
  buffer.Add(rows);
  SacLearner learner({.hidden = {32, 32}, .learning_rate = 3e-3, .batch_size = 128, .target_entropy = -3}, layout,
                     Rng(4), torch::kCPU);
  MixedSampler sampler(buffer);
  const auto mean_action = [&] {
    return learner.actor().Act({.obs = torch::zeros({1, 1})}, nullptr, ActMode::kMean, generator).item<double>();
  };
  const double before = mean_action();
  learner.Update(sampler, 600);
  EXPECT_NEAR(mean_action(), 0.5, 0.1);
  EXPECT_GT(std::abs(before - 0.5), 0.2);
  EXPECT_EQ(learner.updates(), 600);
}

TEST(SacLearner, ANonFiniteLossIsNamed) {
  SacLearner learner({.hidden = {8}}, kLayout, Rng(1), torch::kCPU);
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  TransitionBatch batch = RandomBatch(8, generator);
  const torch::Tensor noise = torch::randn({8, 3}, generator);
  learner.UpdateOn(batch, noise, noise);
  EXPECT_NO_THROW(learner.DrainMetrics());
  batch.reward().fill_(std::numeric_limits<float>::quiet_NaN());
  learner.UpdateOn(batch, noise, noise);
  try {
    learner.DrainMetrics();
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "SAC's critic_loss is not finite at update 2");
  }
}

TEST(SacLearner, GradientNormsAndTheLargestValueAreMetrics) {
  SacLearner learner({.hidden = {8}}, kLayout, Rng(1), torch::kCPU);
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  const torch::Tensor noise = torch::randn({8, 3}, generator);
  learner.UpdateOn(RandomBatch(8, generator), noise, noise);
  const Metrics metrics = learner.DrainMetrics();
  const auto norm = [&](const char* name) { return static_cast<float>(metrics.Find(name).value()); };
  EXPECT_FLOAT_EQ(norm("critic_grad_norm"), learner.critic_parameters().grads().norm().item<float>());
  EXPECT_FLOAT_EQ(norm("actor_grad_norm"), learner.actor().parameters().grads().norm().item<float>());
  EXPECT_GE(metrics.Find("q_max").value(), std::abs(metrics.Find("q").value()));
}

TEST(SacLearner, AlphaStaysWithinItsBounds) {
  for (const float start : {-20.0F, 10.0F}) {
    // An entropy far above the target lowers alpha, one far below raises it.
    SacLearner learner({.hidden = {8}, .learning_rate = 1, .target_entropy = start < 0 ? -1e3 : 1e3}, kLayout, Rng(1),
                       torch::kCPU);
    torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
    learner.alpha_parameters().values().fill_(start);
    const torch::Tensor noise = torch::randn({8, 3}, generator);
    learner.UpdateOn(RandomBatch(8, generator), noise, noise);
    EXPECT_EQ(learner.alpha_parameters().values().item<float>(), start);
    EXPECT_NE(learner.alpha_parameters().grads().item<float>(), 0);
  }
}

TEST(SacLearner, CriticsThatRunAwayAreWarnedOfOnce) {
  SacLearner learner({.hidden = {8}}, kLayout, Rng(1), torch::kCPU);
  torch::Generator generator = MakeGenerator(Rng(2), torch::kCPU);
  const torch::Tensor noise = torch::randn({8, 3}, generator);
  const auto warnings = [&] {
    testing::internal::CaptureStderr();
    learner.UpdateOn(RandomBatch(8, generator), noise, noise);
    learner.DrainMetrics();
    return testing::internal::GetCapturedStderr();
  };
  EXPECT_EQ(warnings(), "");
  learner.critic_parameters().values().mul_(300);  // two layers: Q some 90,000 times as large
  const std::string said = warnings();
  EXPECT_NE(said.find("the critics diverge: |Q| is "), std::string::npos) << said;
  EXPECT_NE(said.find("lower sac.learning_rate, sac.tau or updates_per_step"), std::string::npos) << said;
  EXPECT_EQ(warnings(), "");
}

TEST(SacLearner, ARestoredOneGoesOnTheSame) {
  ReplayBuffer buffer(kLayout, 500, torch::kCPU);
  torch::Generator generator = MakeGenerator(Rng(3), torch::kCPU);
  buffer.Add(RandomBatch(500, generator));
  MixedSampler sampler(buffer);
  SacLearner learner({.hidden = {16, 16}, .batch_size = 32}, kLayout, Rng(1), torch::kCPU);
  learner.Update(sampler, 5);
  StateTree tree = SaveState(learner);
  SacLearner restored({.hidden = {16, 16}, .batch_size = 32}, kLayout, Rng(99), torch::kCPU);
  LoadState(tree, restored);
  learner.Update(sampler, 5);
  restored.Update(sampler, 5);
  EXPECT_TRUE(torch::equal(learner.actor().parameters().values(), restored.actor().parameters().values()));
  EXPECT_TRUE(torch::equal(learner.critic_parameters().values(), restored.critic_parameters().values()));
  EXPECT_TRUE(torch::equal(learner.target_parameters().values(), restored.target_parameters().values()));
  EXPECT_TRUE(torch::equal(learner.alpha_parameters().values(), restored.alpha_parameters().values()));
}

}  // namespace
}  // namespace reverie
