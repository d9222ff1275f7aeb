#include "reverie/rollout/simulator_rollout.h"

#include <gtest/gtest.h>

#include "reverie/env/action_bounds.h"
#include "reverie/policies/uniform_policy.h"
#include "reverie/rollout/collector.h"

namespace reverie {
namespace {

// A run's real rows and the states that they began in.
struct Real {
  Real(const EnvMaker& maker, int64_t steps, int64_t capacity)
      : collector(maker.make(), Rng(1), torch::kCPU),
        buffer(collector.layout(), capacity, torch::kCPU),
        snapshots(capacity),
        policy(collector.spec().act_dim(), torch::kCPU) {
    for (int64_t i = 0; i < steps; ++i) {
      collector.Step(policy, &buffer, &snapshots);
    }
  }

  // What `starts` rollouts of that length add.
  TransitionBatch Imagine(const EnvMaker& maker, int64_t starts, double length, int64_t threads, Metrics* report) {
    SimulatorRollout rollout({.start_states = starts, .length = {0, 1, length, length}}, /*rollouts_per_epoch=*/1,
                             maker, threads, Rng(3), torch::kCPU);
    ReplayBuffer imagined(collector.layout(), 1, torch::kCPU);
    *report = rollout.Run(/*epoch=*/0, buffer, snapshots, policy, &imagined);
    return imagined.All();
  }

  Collector collector;
  ReplayBuffer buffer;
  SnapshotBuffer snapshots;
  UniformPolicy policy;
};

// A row as the environment makes it, which is then where the row leads.
torch::Tensor RealRow(Env& env, const torch::Tensor& obs, const torch::Tensor& action) {
  const EnvSpec& spec = env.spec();
  std::vector<double> env_action(spec.action_low.size());
  std::vector<double> next_obs(spec.obs_low.size());
  const torch::Tensor numbers = action.contiguous();
  ToEnvAction(spec, {numbers.data_ptr<float>(), env_action.size()}, env_action);
  const StepResult step = env.Step(env_action, next_obs);
  return torch::cat({obs, action, torch::tensor(next_obs).to(torch::kFloat32),
                     torch::tensor({step.reward, step.terminated ? 1.0 : 0.0, 0.0, 0.0}).to(torch::kFloat32)});
}

// The observation of Reacher and Hopper leaves out a part of the state. A full ring's places are no longer in order.
TEST(SimulatorRollout, EveryRowIsTheEnvironmentsOwnStep) {
  for (const std::string id : {"CartPoleSwingUp-v0", "Reacher-v5", "Hopper-v5"}) {
    const EnvMaker maker = BuiltinEnvs().Find(id).maker();
    Real real(maker, /*steps=*/70, /*capacity=*/50);
    Metrics report;
    const TransitionBatch imagined = real.Imagine(maker, /*starts=*/40, /*length=*/1, /*threads=*/2, &report);
    ASSERT_EQ(imagined.size(), 40);
    const std::unique_ptr<Env> env = maker.make();
    for (int64_t i = 0; i < 40; ++i) {
      int64_t place = 0;
      while (!torch::equal(real.buffer.storage()[place].narrow(0, 0, imagined.layout.obs_dim), imagined.obs()[i])) {
        ASSERT_LT(++place, 50) << "no real row begins there";
      }
      const torch::Tensor state = real.snapshots.At(torch::tensor({place}, torch::kInt64));
      env->Restore({state.data_ptr<double>(), static_cast<size_t>(state.numel())});
      EXPECT_TRUE(torch::equal(imagined.rows[i], RealRow(*env, imagined.obs()[i], imagined.action()[i]))) << id;
    }
  }
}

TEST(SimulatorRollout, ARolloutIsAnUnbrokenPieceOfAnEpisode) {
  const EnvMaker maker = BuiltinEnvs().Find("Hopper-v5").maker();
  Real real(maker, 1, 1);
  Metrics report;
  const TransitionBatch imagined = real.Imagine(maker, 1, 200, 1, &report);
  const std::unique_ptr<Env> env = maker.make();
  const torch::Tensor state = real.snapshots.At(torch::zeros({1}, torch::kInt64));
  env->Restore({state.data_ptr<double>(), static_cast<size_t>(state.numel())});
  ASSERT_GT(imagined.size(), 5);
  ASSERT_LT(imagined.size(), 200);
  for (int64_t t = 0; t < imagined.size(); ++t) {
    const torch::Tensor obs = t == 0 ? real.buffer.All().obs()[0] : imagined.next_obs()[t - 1];
    EXPECT_TRUE(torch::equal(imagined.rows[t], RealRow(*env, obs, imagined.action()[t]))) << t;
    EXPECT_EQ(imagined.terminated()[t].item<float>(), t + 1 == imagined.size() ? 1 : 0);
  }
  EXPECT_EQ(report.Find("rows"), static_cast<double>(imagined.size()));
  EXPECT_EQ(report.Find("share_ended"), 1 / static_cast<double>(imagined.size()));
}

TEST(SimulatorRollout, ThreadsChangeNothing) {
  const EnvMaker maker = BuiltinEnvs().Find("Hopper-v5").maker();
  Real real(maker, 100, 100);
  Metrics report;
  const TransitionBatch one = real.Imagine(maker, 50, 20, 1, &report);
  const TransitionBatch three = real.Imagine(maker, 50, 20, 3, &report);
  EXPECT_TRUE(torch::equal(one.rows, three.rows));
  EXPECT_LT(one.size(), 50 * 20);
  EXPECT_GT(one.terminated().sum().item<double>(), 0);
}

// A rollout that went on with the noise of the real step would repeat that step.
TEST(SimulatorRollout, RandomStepsAreNotThoseOfTheRealRows) {
  const EnvMaker maker = BuiltinEnvs().Find("Fork-v0").maker();
  Real real(maker, 1, 1);
  Metrics report;
  const TransitionBatch imagined = real.Imagine(maker, 400, 2, 1, &report);
  ASSERT_EQ(imagined.size(), 800);
  const torch::Tensor change = imagined.next_obs() - imagined.obs() - 0.1 * imagined.action();
  EXPECT_EQ(((change.abs() - 0.5).abs() < 0.3).sum().item<int64_t>(), 800);
  const torch::Tensor right = change.view({2, 400}) > 0;  // of the first step, of the second
  for (const bool first : {false, true}) {
    for (const bool second : {false, true}) {
      const torch::Tensor both = right[0].eq(first).logical_and(right[1].eq(second));
      EXPECT_NEAR(both.sum().item<double>(), 100, 35) << first << second;
    }
  }
  EXPECT_TRUE(torch::equal(imagined.rows, real.Imagine(maker, 400, 2, 3, &report).rows)) << "threads change nothing";
}

// Falls apart beyond 3. Episodes of two steps.
class FragileCount final : public Env {
 public:
  const EnvSpec& spec() const override { return spec_; }

 private:
  void DoReset(RandomEngine&, std::span<double> obs) override { obs[0] = count_ = 0; }
  StepResult DoStep(std::span<const double>, std::span<double> obs) override {
    if (count_ >= 3) {
      throw std::runtime_error("the simulation became unstable");
    }
    obs[0] = ++count_;
    return {.reward = count_};
  }
  void DoSetState(std::span<const double> state, std::span<double> obs) override { obs[0] = count_ = state[0]; }
  std::vector<double> DoSnapshot() const override { return {count_}; }
  void DoRestore(std::span<const double> snapshot) override { count_ = snapshot[0]; }

  double count_ = 0;
  EnvSpec spec_{.id = "FragileCount-v0",
                .obs_low = {0},
                .obs_high = {9},
                .action_low = {-1},
                .action_high = {1},
                .time_limit = 2,
                .state_names = {"count"}};
};

TEST(SimulatorRollout, WhatFallsApartIsDroppedAndTimeLimitsEndNothing) {
  const EnvMaker maker{.make = [] { return std::make_unique<FragileCount>(); }};
  Real real(maker, 1, 10);
  Metrics report;
  const TransitionBatch imagined = real.Imagine(maker, 7, 5, 2, &report);
  ASSERT_EQ(imagined.size(), 7 * 3);
  EXPECT_TRUE(torch::equal(imagined.reward(), imagined.obs().select(1, 0) + 1));
  EXPECT_EQ(imagined.reward().max().item<float>(), 3);
  EXPECT_EQ(imagined.truncated().max().item<float>(), 0);
  EXPECT_EQ(report.Find("dropped_rows"), 7);
  EXPECT_EQ(report.Find("share_ended"), 0);
}

}  // namespace
}  // namespace reverie
