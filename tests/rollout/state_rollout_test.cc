#include "reverie/rollout/state_rollout.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "fake_model.h"
#include "reverie/policies/uniform_policy.h"

namespace reverie {
namespace {

const TransitionLayout kLayout{.obs_dim = 1, .act_dim = 1};

// Counts: next_obs = obs + 1; no number from 100 on.
class CountingModel final : public FakeModel {
 public:
  void Step(const torch::Tensor& obs, const torch::Tensor&, const StepDraws&, ModelSample& next) const override {
    next.next_obs.copy_((obs + 1).masked_fill_(obs >= 100, std::nan("")));
    next.reward.zero_();
    next.hypothesis.zero_();
  }
};

class StateRolloutTest : public testing::Test {
 protected:
  StateRolloutTest() {
    spec_.id = "Count-v0";
    spec_.obs_low = {0};
    spec_.obs_high = {1e6};
    spec_.action_low = {-1};
    spec_.action_high = {1};
  }

  void Start(float obs) {
    TransitionBatch row = TransitionBatch::Empty(kLayout, 1, torch::kCPU);
    row.rows.zero_();
    row.obs().fill_(obs);
    real_.Clear();
    real_.Add(row);
  }
  void Run(StateRollout& rollout, int64_t wanted) const {
    const TaskFunctions::Batched ends = [](const torch::Tensor&, const torch::Tensor&, const torch::Tensor& next_obs) {
      return next_obs.select(1, 0) == 13;
    };
    rollout.Run(wanted, real_, ModelEnv(model_, {.terminated = ends}, spec_, torch::kCPU),
                UniformPolicy(1, torch::kCPU));
  }
  // How often each state is drawn out of so many draws.
  static std::map<int64_t, int> Drawn(const StateRollout& rollout, int64_t draws) {
    torch::Tensor obs = torch::empty({draws, 1});
    torch::Generator generator = MakeGenerator(Rng(4), torch::kCPU);
    rollout.SampleInto(obs, generator);
    std::map<int64_t, int> counts;
    for (int64_t i = 0; i < draws; ++i) {
      ++counts[obs[i].item<int64_t>()];
    }
    return counts;
  }

  EnvSpec spec_;
  CountingModel model_;
  ReplayBuffer real_{kLayout, 10, torch::kCPU};
  StateRolloutConfig config_{.start_states = 4, .length = 5, .every_updates = 5, .retain = 3};
};

TEST_F(StateRolloutTest, KeepsTheStartAndEveryStateAfterIt) {
  StateRollout rollout(config_, 1, Rng(1), torch::kCPU);
  EXPECT_EQ(rollout.capacity(), 60);
  Start(20);
  Run(rollout, 20);  // one has 24
  EXPECT_EQ(rollout.size(), 24);
  const std::map<int64_t, int> counts = Drawn(rollout, 6000);
  EXPECT_EQ(counts.size(), 6);
  for (int64_t state = 20; state <= 25; ++state) {
    EXPECT_NEAR(counts.at(state), 1000, 130);
  }
  const Metrics metrics = rollout.DrainMetrics();
  EXPECT_EQ(metrics.Find("states"), 24);
  EXPECT_EQ(metrics.Find("share_dead"), 0);
  EXPECT_TRUE(rollout.DrainMetrics().empty());
}

TEST_F(StateRolloutTest, RowsThatEndedKeepNothingMore) {
  StateRollout rollout(config_, 1, Rng(1), torch::kCPU);
  Start(10);         // ends at 13, which is not kept
  Run(rollout, 13);  // one has 12: two
  EXPECT_EQ(rollout.size(), 24);
  const std::map<int64_t, int> counts = Drawn(rollout, 300);
  EXPECT_EQ(counts.begin()->first, 10);
  EXPECT_EQ(counts.rbegin()->first, 12);
  EXPECT_EQ(rollout.DrainMetrics().Find("share_dead"), 0.6);
}

TEST_F(StateRolloutTest, WhatIsNotANumberIsNotKept) {
  StateRollout rollout(config_, 1, Rng(1), torch::kCPU);
  Start(99);
  Run(rollout, 1);
  EXPECT_EQ(rollout.size(), 8);
  EXPECT_EQ(Drawn(rollout, 300).rbegin()->first, 100);
}

TEST_F(StateRolloutTest, TheOldestGiveWay) {
  StateRollout rollout(config_, 1, Rng(1), torch::kCPU);
  Start(20);
  Run(rollout, 24);
  Start(40);
  Run(rollout, 48);
  EXPECT_EQ(rollout.size(), 60);
  int64_t old = 0;
  const std::map<int64_t, int> counts = Drawn(rollout, 6000);
  for (const auto& [state, count] : counts) {
    old += state < 40 ? count : 0;
  }
  EXPECT_NEAR(static_cast<double>(old), 6000.0 * 12 / 60, 150);  // the twelve newest of the first 24
  EXPECT_EQ(counts.begin()->first, 23);
}

TEST_F(StateRolloutTest, WithoutAStateThereIsNothingToDraw) {
  const StateRollout rollout(config_, 1, Rng(1), torch::kCPU);
  torch::Tensor obs = torch::empty({1, 1});
  torch::Generator generator = MakeGenerator(Rng(4), torch::kCPU);
  EXPECT_THROW(rollout.SampleInto(obs, generator), std::logic_error);
}

}  // namespace
}  // namespace reverie
