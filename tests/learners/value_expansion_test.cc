#include "reverie/learners/value_expansion.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "fake_model.h"
#include "reverie/env/toy/linear_quadratic.h"
#include "reverie/learners/sac_learner.h"

namespace reverie {
namespace {

constexpr double kDiscount = 0.9;
constexpr double kAlpha = 0.3;
const TransitionLayout kLayout{.obs_dim = 4, .act_dim = 2};

template <size_t kRows, size_t kColumns>
torch::Tensor TensorOf(const LinearQuadratic::Matrix<kRows, kColumns>& matrix) {
  torch::Tensor tensor = torch::empty({kRows, kColumns}, torch::kFloat64);
  for (size_t i = 0; i < kRows; ++i) {
    for (size_t j = 0; j < kColumns; ++j) {
      tensor[static_cast<int64_t>(i)][static_cast<int64_t>(j)] = matrix[i][j];
    }
  }
  return tensor;
}

// LinearQuadratic's own dynamics, to which each of two hypotheses adds a number. Not a number where the first number of
// the state is over `broken_at`.
class TrueModel final : public FakeModel {
 public:
  TrueModel() { hypotheses_ = torch::arange(2); }
  void Step(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws,
            ModelSample& next) const override {
    next.hypothesis.copy_(HypothesisOfRows(draws.deal, 2));
    torch::Tensor moved = obs.matmul(a_.t()) + action.matmul(b_.t());
    moved += torch::tensor(added).to(torch::kFloat32).index_select(0, next.hypothesis).unsqueeze(1);
    if (noise > 0) {
      moved += torch::empty_like(moved).index_copy_(0, draws.deal, noise * draws.noise.narrow(0, 0, obs.size(0)));
    }
    next.next_obs.copy_(moved.masked_fill(obs.narrow(1, 0, 1) > broken_at, std::nan("")));
  }
  int64_t noise_dim() const override { return noise > 0 ? 4 : 0; }
  bool learns_reward() const override { return false; }

  std::vector<double> added{0, 0};
  double noise = 0;
  double broken_at = std::numeric_limits<double>::infinity();

 private:
  torch::Tensor a_ = TensorOf(LinearQuadratic::A()).to(torch::kFloat32);
  torch::Tensor b_ = TensorOf(LinearQuadratic::B()).to(torch::kFloat32);
};

class ValueExpansionTest : public testing::Test {
 protected:
  ValueExpansionTest() {
    const torch::NoGradGuard no_grad;
    task_ = LinearQuadratic::MakeTaskFunctions({});
    // Networks that say something, and a policy that is not sure.
    for (FlatParameters* parameters : {&learner_.actor().parameters(), &learner_.target_parameters()}) {
      parameters->values().add_(0.3 * torch::randn(parameters->values().sizes(), generator_));
    }
    batch_.rows.normal_(0, 0.3, generator_);
    batch_.terminated().zero_();
    batch_.terminated()[2] = 1;
  }

  ModelEnv Imagined() const { return {model_, task_, env_.spec(), torch::kCPU}; }
  static ValueExpansion Expansion(const ModelEnv& model_env, int64_t horizon, ExpansionWeights weights,
                                  double lambda = 0) {
    return {{.horizon = horizon, .weights = weights, .lambda = lambda}, model_env, kDiscount, torch::kCPU};
  }
  torch::Tensor Estimates(const ValueExpansion& expansion, const ValueExpansion::Draws& draws) const {
    return expansion.Estimates(batch_, learner_.actor(), learner_.target_critics(), torch::tensor(kAlpha), draws);
  }

  // T_0 ... T_H of a row by the header's formula, the environment itself making the steps, to which `added` is added.
  // critic: of the two, or the least where it is 2.
  std::vector<double> Expected(int64_t row, int64_t horizon, const ValueExpansion::Draws& draws, double added = 0,
                               int64_t critic = 2) {
    const torch::NoGradGuard no_grad;
    std::array<double, 4> state{};
    for (size_t i = 0; i < 4; ++i) {
      state[i] = batch_.next_obs()[row][static_cast<int64_t>(i)].item<double>();
    }
    double alive = 1 - batch_.terminated()[row].item<double>();
    std::vector<double> gains{batch_.reward()[row].item<double>()};  // of every step so far, discounted
    std::vector<double> targets;
    for (int64_t h = 0; h <= horizon; ++h) {
      const double discount = std::pow(kDiscount, h + 1) * alive;
      const torch::Tensor obs = torch::from_blob(state.data(), {1, 4}, torch::kFloat64).to(torch::kFloat32);
      const ActionSample sample = learner_.actor().Sample(obs, draws.policy[static_cast<size_t>(h)].narrow(0, row, 1));
      const torch::Tensor q = learner_.target_critics().Forward(torch::cat({obs, sample.action}, 1)).flatten();
      const double value = critic == 2 ? std::min(q[0].item<double>(), q[1].item<double>()) : q[critic].item<double>();
      const double bonus = -kAlpha * sample.log_prob.item<double>();
      double sum = discount * (value + bonus);
      for (const double gain : gains) {
        sum += gain;
      }
      targets.push_back(sum);
      const std::array<double, 2> action{sample.action[0][0].item<double>(), sample.action[0][1].item<double>()};
      std::array<double, 4> next{};
      env_.SetState(state, next);
      gains.push_back(discount * (env_.Step(action, next).reward + bonus));
      for (double& number : next) {
        number += added;
      }
      alive = alive > 0 && next[0] > ends_over_ ? 0 : alive;
      state = next;
    }
    return targets;
  }

  void ExpectNear(const torch::Tensor& estimates, const std::vector<double>& expected) {
    for (size_t h = 0; h < expected.size(); ++h) {
      EXPECT_NEAR(estimates[static_cast<int64_t>(h)].item<double>(), expected[h], 1e-5 * (1 + std::abs(expected[h])))
          << h;
    }
  }

  TrueModel model_;
  TaskFunctions task_;
  double ends_over_ = std::numeric_limits<double>::infinity();
  LinearQuadratic env_{"LinearQuadratic-v0", {}};
  torch::Generator generator_ = MakeGenerator(Rng(2), torch::kCPU);
  SacLearner learner_{{.hidden = {8, 8}, .discount = kDiscount}, kLayout, Rng(1), torch::kCPU};
  TransitionBatch batch_ = TransitionBatch::Empty(kLayout, 6, torch::kCPU);
};

// Row 2 was terminated, and some end on the way.
TEST_F(ValueExpansionTest, ThroughTheTrueModelATargetIsWhatTheEnvironmentGives) {
  ends_over_ = 0.25;
  task_.terminated = [](const torch::Tensor&, const torch::Tensor&, const torch::Tensor& next_obs) {
    return next_obs.select(1, 0) > 0.25;
  };
  const ModelEnv model_env = Imagined();
  const ValueExpansion expansion = Expansion(model_env, 4, ExpansionWeights::kLast);
  const ValueExpansion::Draws draws = expansion.Draw(torch::randn({6, 2}, generator_), generator_);
  const torch::Tensor estimates = Estimates(expansion, draws);
  ASSERT_EQ(estimates.sizes(), torch::IntArrayRef({5, 1, 6}));
  int64_t ended = 0;
  for (int64_t row = 0; row < 6; ++row) {
    const std::vector<double> expected = Expected(row, 4, draws);
    ExpectNear(estimates.select(2, row).squeeze(1), expected);
    ended += expected[3] == expected[4] ? 1 : 0;
  }
  EXPECT_EQ(estimates[4][0][2].item<float>(), batch_.reward()[2].item<float>());
  EXPECT_GT(ended, 1);
  EXPECT_LT(ended, 6);
}

// From far away what the critics say no longer counts. Of the policy whose action is 0 and whose density there is that
// of a standard normal, the value is -x' P x - alpha log pi / (1 - g) with P = Q + g A' P A.
TEST_F(ValueExpansionTest, ALongExpansionIsThePolicysTrueValue) {
  const torch::NoGradGuard no_grad;
  learner_.actor().parameters().values().zero_();
  const torch::Tensor a = TensorOf(LinearQuadratic::A());
  const auto& diagonal = LinearQuadratic::QDiagonal();
  const torch::Tensor q =
      torch::diag(torch::tensor(std::vector<double>(diagonal.begin(), diagonal.end()))).to(torch::kFloat64);
  torch::Tensor p = q;
  for (int i = 0; i < 1000; ++i) {
    p = q + kDiscount * a.t().matmul(p).matmul(a);
  }
  const ModelEnv model_env = Imagined();
  const ValueExpansion expansion = Expansion(model_env, 200, ExpansionWeights::kLast);
  ValueExpansion::Draws draws = expansion.Draw(torch::zeros({6, 2}), generator_);
  for (torch::Tensor& noise : draws.policy) {
    noise.zero_();
  }
  const torch::Tensor y =
      expansion.Target(batch_, learner_.actor(), learner_.target_critics(), torch::tensor(kAlpha), draws);
  const torch::Tensor x = batch_.next_obs().to(torch::kFloat64);
  const torch::Tensor value = -(x.matmul(p) * x).sum(1) + kAlpha * std::log(2 * M_PI) / (1 - kDiscount);
  const torch::Tensor expected = batch_.reward() + kDiscount * (1 - batch_.terminated()) * value;
  EXPECT_LT((y - expected).abs().max().item<double>(), 1e-4);
  EXPECT_GT(value.std().item<double>(), 0.1);
}

TEST_F(ValueExpansionTest, WeightsByHand) {
  const ModelEnv model_env = Imagined();
  const auto combined = [&](ExpansionWeights weights, const std::vector<double>& estimates, double lambda = 0) {
    const torch::Tensor t = torch::tensor(estimates).to(torch::kFloat32).view({3, -1, 1});
    return Expansion(model_env, 2, weights, lambda).Combine(t).item<double>();
  };
  EXPECT_NEAR(combined(ExpansionWeights::kLast, {1, 20, 300}), 300, 1e-4);
  EXPECT_NEAR(combined(ExpansionWeights::kMean, {1, 20, 300}), 107, 1e-4);
  EXPECT_NEAR(combined(ExpansionWeights::kLambda, {1, 20, 300}, 0.2), 0.8 + 0.16 * 20 + 0.04 * 300, 1e-4);
  EXPECT_NEAR(combined(ExpansionWeights::kLambda, {1, 20, 300}, 0), 1, 1e-4);
  EXPECT_NEAR(combined(ExpansionWeights::kLambda, {1, 20, 300}, 1), 300, 1e-4);
  // Means 2, 6 and 30, variances 1, 4 and 16: weights 16/21, 4/21 and 1/21.
  EXPECT_NEAR(combined(ExpansionWeights::kInverseVariance, {1, 3, 4, 8, 26, 34}), (16 * 2 + 4 * 6 + 30) / 21.0, 1e-4);
  // A variance of 0 is worth 1e8.
  EXPECT_NEAR(combined(ExpansionWeights::kInverseVariance, {2, 2, 4, 8, 26, 34}), 2, 1e-4);
  EXPECT_NEAR(combined(ExpansionWeights::kInverseVariance, {2, 2, 5, 5, 26, 34}), 3.5, 1e-4);
}

// Each hypothesis keeps its trajectory and each critic ends it; noise is common to all.
TEST_F(ValueExpansionTest, EveryHypothesisAndCriticMakesAnEstimate) {
  model_.added = {0, 0.1};
  const ModelEnv model_env = Imagined();
  const ValueExpansion expansion = Expansion(model_env, 3, ExpansionWeights::kInverseVariance);
  const ValueExpansion::Draws draws = expansion.Draw(torch::randn({6, 2}, generator_), generator_);
  const torch::Tensor estimates = Estimates(expansion, draws);
  ASSERT_EQ(estimates.sizes(), torch::IntArrayRef({4, 4, 6}));
  for (int64_t row = 0; row < 6; ++row) {
    for (const int64_t critic : {0, 1}) {
      for (const int64_t hypothesis : {0, 1}) {
        ExpectNear(estimates.select(2, row).select(1, 2 * critic + hypothesis),
                   Expected(row, 3, draws, model_.added[static_cast<size_t>(hypothesis)], critic));
      }
    }
  }
  model_.added = {0, 0};
  model_.noise = 0.1;
  const ValueExpansion::Draws with_noise = expansion.Draw(torch::randn({6, 2}, generator_), generator_);
  const torch::Tensor noisy = Estimates(expansion, with_noise).view({4, 2, 2, 6});
  EXPECT_TRUE(torch::allclose(noisy.select(2, 0), noisy.select(2, 1), 1e-5, 1e-5));
  model_.noise = 0;
  const torch::Tensor quiet = Estimates(expansion, with_noise).view({4, 2, 2, 6});
  EXPECT_TRUE(torch::allclose(noisy[0], quiet[0], 1e-5, 1e-5));
  EXPECT_GT((noisy[1] - quiet[1]).abs().max().item<double>(), 1e-3);
}

// Rows whose first number is over 0.3 take no step at all; the others are as they were.
TEST_F(ValueExpansionTest, AStepThatIsNotANumberExpandsNoFurther) {
  batch_.next_obs().select(1, 0).copy_(torch::tensor({0.5F, -0.3F, 0.5F, 0.0F, 0.5F, -0.2F}));
  for (const ExpansionWeights weights : {ExpansionWeights::kLast, ExpansionWeights::kInverseVariance}) {
    model_.broken_at = std::numeric_limits<double>::infinity();
    const ModelEnv model_env = Imagined();
    const ValueExpansion expansion = Expansion(model_env, 2, weights);
    const ValueExpansion::Draws draws = expansion.Draw(torch::randn({6, 2}, generator_), generator_);
    const torch::Tensor whole = Estimates(expansion, draws);
    model_.broken_at = 0.3;
    const torch::Tensor estimates = Estimates(expansion, draws);
    EXPECT_TRUE(torch::isfinite(estimates).all().item<bool>());
    for (const int64_t row : {0, 4}) {
      EXPECT_TRUE(torch::equal(estimates[2].select(1, row), whole[0].select(1, row)));
      EXPECT_FALSE(torch::equal(whole[2].select(1, row), whole[0].select(1, row)));
    }
    for (const int64_t row : {1, 2, 3, 5}) {
      EXPECT_TRUE(torch::equal(estimates.select(2, row), whole.select(2, row)));
    }
  }
}

// Weighted rows, and critics' gradients by autograd towards that target.
TEST_F(ValueExpansionTest, TheLearnersCriticsGoTowardsIt) {
  const ModelEnv model_env = Imagined();
  const SacConfig config{.hidden = {8, 8}, .discount = kDiscount};
  for (const ExpansionWeights weights : {ExpansionWeights::kLambda, ExpansionWeights::kInverseVariance}) {
    const ValueExpansion expansion = Expansion(model_env, 2, weights, 0.5);
    SacLearner learner(config, kLayout, Rng(3), torch::kCPU, expansion);
    const torch::Tensor next_noise = torch::randn({6, 2}, generator_);
    const double loss = learner.CriticGradients(batch_, next_noise).item<double>();
    torch::Generator same = MakeGenerator(Rng(3).Split("updates"), torch::kCPU);
    const torch::Tensor y = expansion.Target(batch_, learner.actor(), learner.target_critics(), torch::tensor(1.0F),
                                             expansion.Draw(next_noise, same));
    std::vector<torch::Tensor> leaves;
    std::vector<torch::Tensor> grads;
    const EnsembleMlp& critics = learner.critics();
    for (size_t l = 0; l < critics.weights().size(); ++l) {
      leaves.push_back(critics.weights()[l].detach().clone().requires_grad_());
      leaves.push_back(critics.biases()[l].detach().clone().requires_grad_());
      grads.insert(grads.end(), {critics.weight_grads()[l], critics.bias_grads()[l]});
    }
    const torch::Tensor q = MlpForward(batch_.obs_action(), {leaves[0], leaves[2], leaves[4]},
                                       {leaves[1], leaves[3], leaves[5]}, Activation::kRelu)
                                .squeeze(2);
    const torch::Tensor by_autograd = (0.5 * batch_.log_weight().exp() * (q - y).square()).mean(1).sum();
    by_autograd.backward();
    EXPECT_NEAR(loss, by_autograd.item<double>(), 1e-5 * loss);
    for (size_t i = 0; i < leaves.size(); ++i) {
      EXPECT_LT((grads[i] - leaves[i].grad()).abs().max().item<double>(), 1e-5);
    }
    EXPECT_GT(learner.critic_parameters().grads().norm().item<double>(), 1e-2);
  }
}

TEST_F(ValueExpansionTest, WithoutStepsTheTargetIsSacs) {
  const ModelEnv model_env = Imagined();
  const SacConfig config{.hidden = {8, 8}, .discount = kDiscount};
  SacLearner plain(config, kLayout, Rng(3), torch::kCPU);
  SacLearner expanded(config, kLayout, Rng(3), torch::kCPU, Expansion(model_env, 0, ExpansionWeights::kLast));
  const torch::Tensor next_noise = torch::randn({6, 2}, generator_);
  EXPECT_NEAR(expanded.CriticGradients(batch_, next_noise).item<double>(),
              plain.CriticGradients(batch_, next_noise).item<double>(), 1e-5);
  EXPECT_TRUE(torch::allclose(expanded.critic_parameters().grads(), plain.critic_parameters().grads(), 1e-4, 1e-6));
}

}  // namespace
}  // namespace reverie
