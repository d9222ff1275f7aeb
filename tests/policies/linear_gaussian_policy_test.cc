#include "reverie/policies/linear_gaussian_policy.h"

#include <gtest/gtest.h>
#include <torch/script.h>

#include <array>

#include "oracle.h"
#include "reverie/core/state.h"
#include "reverie/env/registry.h"
#include "reverie/policies/linear_gaussian_export.h"

namespace reverie {
namespace {

constexpr int64_t kT = 5;

LinearGaussianController Controller(torch::Generator& generator) {
  const torch::Tensor root = torch::randn({kT, 1, 1}, generator, torch::kFloat64).abs() + 0.1;
  return LinearGaussianController::Of({.feedback = 0.3 * torch::randn({kT, 1, 2}, generator, torch::kFloat64),
                                       .feedforward = 0.3 * torch::randn({kT, 1}, generator, torch::kFloat64)},
                                      root.square());
}

class LinearGaussianPolicyTest : public testing::Test {
 protected:
  // The action at the environment's present state.
  double Act(PolicyMemory* memory, ActMode mode = ActMode::kMean) {
    const std::array<const Env*, 1> envs{env_.get()};
    const std::array<int64_t, 1> rows{0};
    return policy_.Act({.obs = torch::zeros({1, 3}), .rows = rows, .envs = envs}, memory, mode, generator_)
        .item<double>();
  }
  // What controller number `start` does in the environment's present state at step t.
  double Expected(size_t start, int64_t t) {
    const torch::Tensor x = torch::tensor(env_->GetState(), torch::kFloat64);
    const LinearGains& gains = controllers_[start].gains;
    return (gains.feedback[t].mv(x) + gains.feedforward[t]).clamp(-1, 1).item<double>();
  }

  torch::Generator generator_ = MakeGenerator(Rng(1), torch::kCPU);
  Env::States starts_{{3.0, 0.0}, {0.5, 0.5}};
  std::vector<LinearGaussianController> controllers_{Controller(generator_), Controller(generator_)};
  LinearGaussianPolicy policy_{starts_,
                               [this](size_t i) -> const LinearGaussianController& { return controllers_[i]; }};
  std::unique_ptr<Env> env_ = BuiltinEnvs().Find("Pendulum-v1").maker().make();
  std::vector<double> obs_ = std::vector<double>(3);
};

// Of scipy.ndimage.gaussian_filter1d(x, 1.0), x = [1, -2, 0.5, 3, 0], over its standard deviation.
TEST(SmoothedNoise, IsScipysFilter) {
  const torch::Tensor noise = torch::tensor({{1.0}, {-2.0}, {0.5}, {3.0}, {0.0}}, torch::kFloat64);
  const torch::Tensor smooth = SmoothedNoise(noise, 1);
  EXPECT_TRUE(torch::allclose(smooth.flatten(),
                              torch::tensor({0.17414678754515953, -0.431607714574275, 0.9474969152444612,
                                             2.326601545063198, 1.7208470429437632},
                                            torch::kFloat64),
                              1e-9, 1e-9))
      << smooth;
  EXPECT_NEAR(smooth.std(0, false).item<double>(), 1, 1e-12);
  const torch::Tensor one = torch::ones({1, 2}, torch::kFloat64);
  EXPECT_TRUE(torch::equal(SmoothedNoise(one, 2), one));  // which has no deviation
}

TEST_F(LinearGaussianPolicyTest, SmoothNoiseIsAnEpisodesAndOutlivesACheckpoint) {
  const LinearGaussianPolicy smooth(
      starts_, [this](size_t i) -> const LinearGaussianController& { return controllers_[i]; }, 2);
  const auto noise_at = [&](PolicyMemory* memory, int64_t t) {
    const std::array<const Env*, 1> envs{env_.get()};
    const std::array<int64_t, 1> rows{0};
    const double action =
        smooth.Act({.obs = torch::zeros({1, 3}), .rows = rows, .envs = envs}, memory, ActMode::kSample, generator_)
            .item<double>();
    const torch::Tensor x = torch::tensor(env_->GetState(), torch::kFloat64);
    const LinearGaussianController& c = controllers_[0];
    return (action - c.gains.feedback[t].mv(x).item<double>() - c.gains.feedforward[t].item<double>()) /
           c.factor[t].item<double>();
  };
  for (LinearGaussianController& controller : controllers_) {  // far from the bounds
    controller = LinearGaussianController::Of(
        {.feedback = 0.01 * controller.gains.feedback, .feedforward = 0.01 * controller.gains.feedforward},
        1e-4 * torch::ones({kT, 1, 1}, torch::kFloat64));
  }
  env_->SetState(starts_[0], obs_);
  const std::unique_ptr<PolicyMemory> memory = smooth.NewMemory(1);
  std::vector<double> noise;
  for (int64_t t = 0; t < kT; ++t) {
    if (t == 3) {
      StateTree tree = SaveState(*memory);
      const std::unique_ptr<PolicyMemory> other = smooth.NewMemory(1);
      LoadState(tree, *other);
      noise.push_back(noise_at(other.get(), t));
      EXPECT_EQ(noise_at(memory.get(), t), noise.back());
    } else {
      noise.push_back(noise_at(memory.get(), t));
    }
    env_->Step(std::vector<double>{0.0}, obs_);
  }
  const torch::Tensor drawn = torch::tensor(noise, torch::kFloat64);
  EXPECT_NEAR(drawn.std(0, false).item<double>(), 1, 1e-4);
}

TEST_F(LinearGaussianPolicyTest, ActsByTheControllerOfTheNearestStartAndTheClock) {
  for (const size_t start : {0U, 1U}) {
    const std::unique_ptr<PolicyMemory> memory = policy_.NewMemory(1);
    env_->SetState(std::vector<double>{starts_[start][0] + 0.2, starts_[start][1]}, obs_);
    for (int64_t t = 0; t < kT + 3; ++t) {
      const double action = Act(memory.get());
      EXPECT_NEAR(action, Expected(start, std::min(t, kT - 1)), 1e-7) << start << ", step " << t;
      env_->Step(std::vector<double>{2 * action}, obs_);
    }
    // An episode stays with its controller wherever it goes, until another begins.
    env_->SetState(starts_[1 - start], obs_);
    EXPECT_NEAR(Act(memory.get()), Expected(start, 0), 1e-7);
    const std::array<int64_t, 1> rows{0};
    memory->Reset(rows);
    EXPECT_NEAR(Act(memory.get()), Expected(1 - start, 0), 1e-7);
    EXPECT_NEAR(Act(nullptr), Expected(1 - start, 0), 1e-7);
  }
}

TEST_F(LinearGaussianPolicyTest, SamplesHaveItsCovariance) {
  controllers_[0].gains.feedback.zero_();
  controllers_[0].gains.feedforward.zero_();
  controllers_[0] =
      LinearGaussianController::Of(controllers_[0].gains, 0.04 * torch::ones({kT, 1, 1}, torch::kFloat64));
  env_->SetState(starts_[0], obs_);
  double sum = 0;
  double squares = 0;
  constexpr int kDraws = 4000;
  for (int i = 0; i < kDraws; ++i) {
    const double action = Act(nullptr, ActMode::kSample);
    sum += action;
    squares += action * action;
  }
  EXPECT_NEAR(sum / kDraws, 0, 4 * 0.2 / std::sqrt(kDraws));
  EXPECT_NEAR(squares / kDraws, 0.04, 4 * 0.04 * std::sqrt(2.0 / kDraws));
}

TEST_F(LinearGaussianPolicyTest, WithoutAnEnvironmentItDoesNotAct) {
  EXPECT_THROW(policy_.Act({.obs = torch::zeros({1, 3})}, nullptr, ActMode::kMean, generator_), std::invalid_argument);
  EXPECT_THROW(LinearGaussianPolicy({}, {}), std::invalid_argument);
}

TEST_F(LinearGaussianPolicyTest, IsExportedWithTimeAsAnArgument) {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "policy.pt";
  ExportLinearGaussian(env_->spec(), starts_, controllers_, file);
  torch::jit::Module module = torch::jit::load(file.string());
  const torch::NoGradGuard no_grad;
  for (size_t start = 0; start < 2; ++start) {
    env_->SetState(starts_[start], obs_);
    for (int64_t t = 0; t < kT + 2; ++t) {
      const torch::Tensor x = torch::tensor(env_->GetState(), torch::kFloat64).unsqueeze(0);
      const torch::Tensor action = module.forward({x, t, static_cast<int64_t>(start)}).toTensor();
      EXPECT_NEAR(action.item<double>(), 2 * Expected(start, std::min(t, kT - 1)), 1e-12);
      EXPECT_EQ(action.scalar_type(), torch::kFloat64);
      env_->Step(std::vector<double>{action.item<double>()}, obs_);
    }
  }
  const torch::Tensor states = torch::tensor({{2.9, 0.3}, {0.2, 0.4}, {5.0, 0.0}}, torch::kFloat64);
  EXPECT_TRUE(torch::equal(module.run_method("nearest", states).toTensor(), torch::tensor({0, 1, 0})));
  EXPECT_EQ(module.forward({states, 0}).toTensor().size(0), 3);  // start is 0 unless it is said
  EXPECT_FALSE(torch::equal(module.run_method("sample", states, 1, 0).toTensor(),
                            module.run_method("sample", states, 1, 0).toTensor()));
  EXPECT_THROW(module.forward({states, 0, 2}), std::exception);
  EXPECT_THROW(module.forward({states, -1}), std::exception);
  EXPECT_THROW(module.forward({torch::zeros({1, 3}), 0}), std::exception);
  EXPECT_EQ(module.attr("state_names").toList().size(), 2U);
}

}  // namespace
}  // namespace reverie
