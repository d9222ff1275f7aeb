#include "reverie/env/observed_env.h"

#include <gtest/gtest.h>

#include "reverie/env/env_config.h"
#include "reverie/env/registry.h"

namespace reverie {
namespace {

std::unique_ptr<Env> Made(const std::string& id) { return BuiltinEnvs().Find(id).maker().make(); }

std::vector<double> Observation(const Env& env) { return std::vector<double>(env.spec().obs_low.size()); }

TEST(ObservedEnv, ShowsTheColumnsOfTheLastFrames) {
  const std::unique_ptr<Env> whole = Made("InvertedDoublePendulum-v5");
  ObservedEnv part(Made("InvertedDoublePendulum-v5"), {.columns = {3, 0}, .frames = 2});
  ASSERT_EQ(part.spec().obs_dim(), 4);
  EXPECT_EQ(part.spec().obs_low[2], whole->spec().obs_low[3]);
  EXPECT_EQ(part.spec().state_names, whole->spec().state_names);
  std::vector<double> seen = Observation(part);
  std::vector<double> all = Observation(*whole);
  RandomEngine engine(1);
  RandomEngine same(1);
  whole->Reset(engine, all);
  part.Reset(same, seen);
  EXPECT_EQ(seen, (std::vector<double>{all[3], all[0], all[3], all[0]}));
  for (int i = 0; i < 5; ++i) {
    const std::vector<double> before = all;
    const StepResult expected = whole->Step(std::vector<double>{0.1}, all);
    const StepResult result = part.Step(std::vector<double>{0.1}, seen);
    EXPECT_EQ(result.reward, expected.reward);
    EXPECT_EQ(seen, (std::vector<double>{before[3], before[0], all[3], all[0]}));
  }
  EXPECT_EQ(part.GetState(), whole->GetState());
  EXPECT_NE(part.mujoco(), nullptr);
  part.SetState(whole->GetState(), seen);
  EXPECT_EQ(seen[0], seen[2]);
  EXPECT_EQ(part.elapsed_steps(), 0);
}

TEST(ObservedEnv, ShowsChanges) {
  ObservedEnv env(Made("Pendulum-v1"), {.columns = {2, 0}, .frames = 3, .differences = true});
  const std::unique_ptr<Env> whole = Made("Pendulum-v1");
  EXPECT_EQ(env.spec().obs_low, (std::vector<double>{-16, -2, -16, -2, -8, -1}));
  std::vector<double> obs = Observation(env);
  std::vector<double> z = Observation(*whole);
  const std::vector<double> start{1.0, 0.5};
  env.SetState(start, obs);
  whole->SetState(start, z);
  EXPECT_EQ(obs, (std::vector<double>{0, 0, 0, 0, z[2], z[0]}));
  const std::vector<double> first = z;
  env.Step(std::vector<double>{1.0}, obs);
  whole->Step(std::vector<double>{1.0}, z);
  const std::vector<double> second = z;
  env.Step(std::vector<double>{-1.0}, obs);
  whole->Step(std::vector<double>{-1.0}, z);
  EXPECT_EQ(obs, (std::vector<double>{second[2] - first[2], second[0] - first[0], z[2] - second[2], z[0] - second[0],
                                      z[2], z[0]}));
}

TEST(ObservedEnv, GoesOnFromASnapshotWithItsFrames) {
  ObservedEnv env(Made("Pendulum-v1"), {.columns = {2}, .frames = 3, .differences = true});
  std::vector<double> obs = Observation(env);
  RandomEngine engine(2);
  env.Reset(engine, obs);
  for (int i = 0; i < 4; ++i) {
    env.Step(std::vector<double>{1.0}, obs);
  }
  const std::vector<double> snapshot = env.Snapshot();
  std::vector<double> expected = obs;
  env.Step(std::vector<double>{0.5}, expected);
  ObservedEnv other(Made("Pendulum-v1"), {.columns = {2}, .frames = 3, .differences = true});
  std::vector<double> again = obs;
  other.Restore(snapshot);
  other.Step(std::vector<double>{0.5}, again);
  EXPECT_EQ(again, expected);
  EXPECT_EQ(other.elapsed_steps(), 5);
  EXPECT_THROW(other.Restore(std::vector<double>(3)), std::runtime_error);
}

TEST(ObservedEnv, KeepsTheTimeLimitAndTheTasksEnd) {
  ObservedEnv env(Made("Pendulum-v1"), {.columns = {}, .frames = 2});
  EXPECT_EQ(env.time_limit(), 200);
  env.SetTimeLimit(3);
  std::vector<double> obs = Observation(env);
  RandomEngine engine(3);
  env.Reset(engine, obs);
  EXPECT_FALSE(env.Step(std::vector<double>{0.0}, obs).truncated);
  EXPECT_FALSE(env.Step(std::vector<double>{0.0}, obs).truncated);
  EXPECT_TRUE(env.Step(std::vector<double>{0.0}, obs).truncated);
  env.SetTimeLimit(300);
  for (int i = 3; i < 299; ++i) {
    EXPECT_FALSE(env.Step(std::vector<double>{0.0}, obs).truncated) << i;  // 200 is no limit any more
  }
  EXPECT_TRUE(env.Step(std::vector<double>{0.0}, obs).truncated);
}

TEST(ObservedEnv, LeavesTheTaskTheFunctionsThatItsObservationsDetermine) {
  const auto functions = [](const std::string& id, const ObserveConfig& config) {
    const EnvMaker maker = BuiltinEnvs().Find(id).maker();
    return ObservedFunctions(maker.task_functions(), config, maker.make()->spec().obs_dim());
  };
  const TaskFunctions frames = functions("Pendulum-v1", {.columns = {}, .frames = 2});
  const torch::Tensor now = torch::tensor({{0.6F, 0.8F, 1.5F}});
  const torch::Tensor older = torch::tensor({{1.0F, 0.0F, -3.0F}});
  const torch::Tensor action = torch::tensor({{0.5F}});
  const torch::Tensor expected = BuiltinEnvs().Find("Pendulum-v1").maker().task_functions().reward(now, action, now);
  const torch::Tensor both = torch::cat({older, now}, 1);
  EXPECT_TRUE(torch::equal(frames.reward(both, action, both), expected));
  EXPECT_FALSE(MayTerminate(frames));

  const TaskFunctions part = functions("Hopper-v5", {.columns = {0, 1}, .frames = 1});
  EXPECT_FALSE(part.reward);
  EXPECT_FALSE(part.terminated);
  EXPECT_TRUE(MayTerminate(part));
  EXPECT_FALSE(MayTerminate(functions("HalfCheetah-v5", {.columns = {0, 1}, .frames = 1})));
}

TEST(ObservedEnv, RefusesColumnsThatAreNotThere) {
  const ObserveConfig beyond{.columns = {0, 3}, .frames = 1};
  EXPECT_EQ(beyond.Misfit(3), "columns: expected numbers from 0 to 2, as an observation has 3, got 3");
  const ObserveConfig twice{.columns = {1, 1}, .frames = 1};
  EXPECT_EQ(twice.Misfit(3), "columns: one is there twice");
  EXPECT_THROW(ObservedEnv(Made("Pendulum-v1"), beyond), std::invalid_argument);
}

}  // namespace
}  // namespace reverie
