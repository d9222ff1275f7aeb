#include "reverie/rollout/start_trajectories.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reverie/policies/uniform_policy.h"

namespace reverie {
namespace {

TEST(StartTrajectories, AreEpisodesOfTheTimeLimitStartByStart) {
  std::unique_ptr<Env> env = BuiltinEnvs().Find("Pendulum-v1").maker().make();
  const Env::States starts{{0.5, 0}, {-0.5, 1}};
  env->SetStartStates(starts);
  env->SetTimeLimit(3);
  Collector collector(std::move(env), Rng(0), torch::kCPU);
  StartTrajectories trajectories(collector.env(), 2);
  const UniformPolicy policy(1, torch::kCPU);
  std::vector<size_t> begun;
  // The same actions in an environment of its own.
  const std::unique_ptr<Env> twin = BuiltinEnvs().Find("Pendulum-v1").maker().make();
  std::vector<double> obs(3);
  RandomEngine engine = Rng(1).Engine();
  twin->Reset(engine, obs);
  for (int64_t step = 0; step < 12; ++step) {
    const size_t start = trajectories.BeginIfNone(collector);
    const int64_t rollout = step / 3 % 2;
    const int64_t t = step % 3;
    if (t == 0) {
      begun.push_back(start);
      twin->SetState(starts[start], obs);
    }
    const torch::Tensor before = torch::tensor(obs, torch::kFloat32);
    const std::optional<EpisodeStats> episode = collector.Step(policy, nullptr);
    trajectories.Note(collector, episode);
    EXPECT_EQ(trajectories.full(), step == 11);
    const double u = trajectories.controls(start)[rollout][t][0].item<double>();
    EXPECT_TRUE(torch::equal(trajectories.obs(start)[rollout][t], before));
    twin->Step(std::vector<double>{2 * u}, obs);
    EXPECT_LT((trajectories.states(start)[rollout][t + 1] - torch::tensor(twin->GetState(), torch::kFloat64))
                  .abs()
                  .max()
                  .item<double>(),
              1e-12);
  }
  EXPECT_THAT(begun, testing::ElementsAre(0, 0, 1, 1));
  EXPECT_TRUE(
      torch::equal(trajectories.states(1).select(1, 0), torch::tensor(starts[1], torch::kFloat64).expand({2, 2})));
  EXPECT_EQ(trajectories.BeginIfNone(collector), 0u);
  EXPECT_FALSE(trajectories.full());
}

TEST(StartTrajectoriesMisfit, SaysWhatATaskLacks) {
  const auto misfit = [](Env::States starts, int64_t time_limit = 10, bool ends = false) {
    EnvMaker maker = BuiltinEnvs().Find("Pendulum-v1").maker();
    const auto make = maker.make;
    maker.make = [make, starts, time_limit] {
      std::unique_ptr<Env> env = make();
      env->SetStartStates(starts);
      env->SetTimeLimit(time_limit);
      return env;
    };
    if (ends) {
      TaskFunctions functions = maker.task_functions();
      functions.terminated = [](const auto&, const auto&, const torch::Tensor& next) { return next.select(1, 0) > 1; };
      maker.task_functions = [functions] { return functions; };
    }
    return StartTrajectoriesMisfit(maker);
  };
  using testing::HasSubstr;
  EXPECT_EQ(misfit({{0, 0}, {0, 1}}), "");
  EXPECT_THAT(misfit({}), HasSubstr("start_states: expected at least one"));
  EXPECT_THAT(misfit({{0, 0}, {0, 1}, {0, 0}}), HasSubstr("start_states: two are equal"));
  EXPECT_THAT(misfit({{0, 0}}, 0), HasSubstr("max_episode_steps: expected a number"));
  EXPECT_THAT(misfit({{0, 0}}, 10, true), HasSubstr("episodes that may end early"));
}

}  // namespace
}  // namespace reverie
