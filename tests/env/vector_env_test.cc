#include "reverie/env/vector_env.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "reverie/env/registry.h"

namespace reverie {
namespace {

constexpr int64_t kCount = 7;

struct Rows {
  explicit Rows(const EnvSpec& spec)
      : actions(kCount * spec.action_low.size()), obs(kCount * spec.obs_low.size()), results(kCount) {}
  void DrawActions(const EnvSpec& spec, RandomEngine& rng) {
    for (size_t i = 0; i < actions.size(); ++i) {
      const size_t j = i % spec.action_low.size();
      actions[i] = std::uniform_real_distribution<double>(spec.action_low[j], spec.action_high[j])(rng);
    }
  }
  std::vector<double> actions, obs;
  std::vector<StepResult> results;
};

class VectorEnvOf : public testing::TestWithParam<std::string> {};

TEST_P(VectorEnvOf, CopiesDoWhatSingleEnvsDoOnAnyNumberOfThreads) {
  const EnvMaker maker = BuiltinEnvs().Find(GetParam()).maker();
  for (const int64_t threads : {1, 2, 3, 16}) {
    VectorEnv many(maker.make, kCount, threads, Rng(5));
    const EnvSpec& spec = many.spec();
    const size_t obs_dim = spec.obs_low.size();
    const size_t act_dim = spec.action_low.size();
    std::vector<std::unique_ptr<Env>> singles;
    std::vector<RandomEngine> engines;
    std::vector<double> obs(obs_dim);
    Rows rows(spec);
    RandomEngine actions = Rng(6).Engine();

    many.Reset(rows.obs);
    for (int64_t i = 0; i < kCount; ++i) {
      singles.push_back(maker.make());
      engines.push_back(Rng(5).Split(static_cast<uint64_t>(i)).Engine());
      singles.back()->Reset(engines.back(), obs);
      ASSERT_TRUE(std::equal(obs.begin(), obs.end(), rows.obs.begin() + i * static_cast<int64_t>(obs_dim)));
    }
    for (int step = 0; step < 60; ++step) {
      rows.DrawActions(spec, actions);
      many.Step(rows.actions, rows.obs, rows.results);
      for (size_t i = 0; i < kCount; ++i) {
        const StepResult result = singles[i]->Step(std::span(rows.actions).subspan(i * act_dim, act_dim), obs);
        ASSERT_TRUE(std::equal(obs.begin(), obs.end(), rows.obs.begin() + static_cast<int64_t>(i * obs_dim)));
        ASSERT_EQ(result.reward, rows.results[i].reward);
        ASSERT_EQ(result.terminated, rows.results[i].terminated);
        ASSERT_EQ(result.truncated, rows.results[i].truncated);
      }
      if (step == 30) {
        const std::vector<int64_t> chosen{4, 1};
        const std::vector<double> before = rows.obs;
        many.Reset(chosen, rows.obs);
        for (size_t i = 0; i < kCount; ++i) {
          std::copy_n(before.begin() + static_cast<int64_t>(i * obs_dim), obs_dim, obs.begin());
          if (i == 4 || i == 1) {
            singles[i]->Reset(engines[i], obs);
          }
          ASSERT_TRUE(std::equal(obs.begin(), obs.end(), rows.obs.begin() + static_cast<int64_t>(i * obs_dim)));
        }
      }
    }
  }
}

TEST_P(VectorEnvOf, AStateThatIsLoadedGoesOnBitForBit) {
  const EnvMaker maker = BuiltinEnvs().Find(GetParam()).maker();
  VectorEnv one(maker.make, kCount, 2, Rng(5));
  VectorEnv other(maker.make, kCount, 2, Rng(99));
  Rows a(one.spec());
  Rows b(one.spec());
  RandomEngine actions = Rng(6).Engine();
  one.Reset(a.obs);
  for (int step = 0; step < 20; ++step) {
    a.DrawActions(one.spec(), actions);
    one.Step(a.actions, a.obs, a.results);
  }
  StateTree tree = SaveState(one);
  LoadState(tree, other);
  for (int step = 0; step < 20; ++step) {
    a.DrawActions(one.spec(), actions);
    one.Step(a.actions, a.obs, a.results);
    other.Step(a.actions, b.obs, b.results);
    ASSERT_EQ(a.obs, b.obs);
  }
  one.Reset(a.obs);
  other.Reset(b.obs);
  EXPECT_EQ(a.obs, b.obs);
}

INSTANTIATE_TEST_SUITE_P(Some, VectorEnvOf, testing::Values("HalfCheetah-v5", "Ant-v5", "Pendulum-v1"),
                         [](const auto& param) {
                           std::string name = param.param;
                           std::erase(name, '-');
                           return name;
                         });

TEST(VectorEnv, ThrowsTheFirstCopysErrorAfterAllHaveStepped) {
  const EnvMaker maker = BuiltinEnvs().Find("InvertedPendulum-v5").maker();
  VectorEnv many(maker.make, kCount, 3, Rng(5));
  Rows rows(many.spec());
  many.Reset(rows.obs);
  rows.actions[2] = std::nan("");
  rows.actions[5] = std::nan("");
  EXPECT_THROW(many.Step(rows.actions, rows.obs, rows.results), std::runtime_error);
  for (const int64_t i : {0, 1, 3, 4, 6}) {
    EXPECT_EQ(many.env(i).elapsed_steps(), 1) << i;
  }
  rows.actions.assign(rows.actions.size(), 0.0);
  const std::vector<int64_t> broken{2, 5};
  many.Reset(broken, rows.obs);
  EXPECT_NO_THROW(many.Step(rows.actions, rows.obs, rows.results));
}

TEST(VectorEnv, WrongNumbersAreErrors) {
  const EnvMaker maker = BuiltinEnvs().Find("Pendulum-v1").maker();
  EXPECT_THROW(VectorEnv(maker.make, 0, 1, Rng(5)), std::invalid_argument);
  EXPECT_THROW(VectorEnv(maker.make, 1, 0, Rng(5)), std::invalid_argument);
  VectorEnv many(maker.make, kCount, 2, Rng(5));
  Rows rows(many.spec());
  EXPECT_THROW(many.Reset(std::span(rows.obs).first(3)), std::logic_error);
  EXPECT_THROW(many.Reset(std::vector<int64_t>{kCount}, rows.obs), std::logic_error);
  EXPECT_THROW(many.Reset(std::vector<int64_t>{1, 1}, rows.obs), std::logic_error);
  rows.actions.push_back(0);
  EXPECT_THROW(many.Step(rows.actions, rows.obs, rows.results), std::logic_error);
}

}  // namespace
}  // namespace reverie
