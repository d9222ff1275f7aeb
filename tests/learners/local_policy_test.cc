#include "reverie/learners/local_policy.h"

#include <gtest/gtest.h>

#include "reverie/core/state.h"

namespace reverie {
namespace {

constexpr int64_t kT = 6, kStates = 3, kControls = 2;

class LocalPolicyTest : public testing::Test {
 protected:
  torch::Tensor States(int64_t count) { return torch::randn({count, kT + 1, kStates}, generator_, torch::kFloat64); }
  // A network that sees twice the state, and is linear in it.
  static torch::Tensor ObsOf(const torch::Tensor& states) {
    return (2 * states.slice(1, 0, kT)).to(torch::kFloat32).contiguous();
  }
  torch::Tensor Mean(const torch::Tensor& obs) const { return obs.mm(gains_.t()) + 0.3; }
  LinearGaussianController Linearised(LocalPolicy& policy) {
    return policy.Linearise([this](const torch::Tensor& obs) { return Mean(obs); }, covariance_);
  }

  torch::Generator generator_ = MakeGenerator(Rng(5), torch::kCPU);
  torch::Tensor gains_ = torch::randn({kControls, kStates}, generator_, torch::kFloat32);
  torch::Tensor covariance_ = torch::tensor({{0.04, 0.01}, {0.01, 0.09}}, torch::kFloat64);
};

TEST_F(LocalPolicyTest, ALinearNetworkIsFoundWithEachPrior) {
  for (const LocalPrior prior : {LocalPrior::kNone, LocalPrior::kGaussian, LocalPrior::kMixture}) {
    LocalPolicy policy({.prior = prior}, Rng(0));
    const torch::Tensor states = States(8);
    policy.Remember(states, ObsOf(states));
    const LinearGaussianController found = Linearised(policy);
    const torch::Tensor k = 2 * gains_.to(torch::kFloat64);
    EXPECT_LT((found.gains.feedback - k).abs().max().item<double>(), 1e-4);
    EXPECT_LT((found.gains.feedforward - 0.3).abs().max().item<double>(), 1e-4);
    EXPECT_LT((found.covariance - covariance_).abs().max().item<double>(), 1e-4);
  }
}

TEST_F(LocalPolicyTest, TwoTrajectoriesDoWhereOlderOnesAreRemembered) {
  const torch::Tensor k = 2 * gains_.to(torch::kFloat64);
  const auto error = [&](bool remembers) {
    LocalPolicy policy({.prior = LocalPrior::kGaussian, .prior_trajectories = 20}, Rng(0));
    for (int64_t i = 0; remembers && i < 5; ++i) {
      const torch::Tensor states = States(4);
      policy.Remember(states, ObsOf(states));
    }
    // All in one direction: of themselves they say nothing of the others.
    torch::Tensor states = States(2);
    states.slice(2, 1).zero_();
    policy.Remember(states, ObsOf(states));
    return (Linearised(policy).gains.feedback - k).abs().max().item<double>();
  };
  EXPECT_LT(error(true), 1e-3);
  EXPECT_GT(error(false), 0.1);
}

TEST_F(LocalPolicyTest, IsTheSameAfterACheckpoint) {
  const auto fresh = [] { return LocalPolicy({}, Rng(0)); };
  LocalPolicy policy = fresh();
  const torch::Tensor states = States(5);
  policy.Remember(states, ObsOf(states));
  Linearised(policy);
  StateTree tree = SaveState(policy);
  LocalPolicy other = fresh();
  LoadState(tree, other);
  EXPECT_TRUE(torch::equal(Linearised(other).gains.feedback, Linearised(policy).gains.feedback));
}

}  // namespace
}  // namespace reverie
