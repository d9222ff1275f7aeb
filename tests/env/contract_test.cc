// Every registered environment, held against the contract of Env.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "reverie/core/rng.h"
#include "reverie/env/registry.h"

namespace reverie {
namespace {

class EnvContract : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Env> Make() const { return BuiltinEnvs().Find(GetParam()).maker().make(); }

  // A uniform action in the env's bounds.
  static std::vector<double> DrawAction(const EnvSpec& spec, RandomEngine& rng) {
    std::vector<double> action;
    for (size_t i = 0; i < spec.action_low.size(); ++i) {
      action.push_back(std::uniform_real_distribution<double>(spec.action_low[i], spec.action_high[i])(rng));
    }
    return action;
  }

  // Observations and results of `steps` random steps, one number after another.
  static std::vector<double> Roll(Env& env, int steps, RandomEngine& actions) {
    std::vector<double> record;
    std::vector<double> obs(env.spec().obs_low.size());
    for (int i = 0; i < steps; ++i) {
      const StepResult result = env.Step(DrawAction(env.spec(), actions), obs);
      record.insert(record.end(), obs.begin(), obs.end());
      record.insert(record.end(), {result.reward, result.terminated ? 1.0 : 0.0, result.truncated ? 1.0 : 0.0});
    }
    return record;
  }
};

TEST_P(EnvContract, SpecIsConsistent) {
  const auto env = Make();
  const EnvSpec& spec = env->spec();
  EXPECT_EQ(spec.id, GetParam());
  EXPECT_GT(spec.obs_dim(), 0);
  EXPECT_GT(spec.act_dim(), 0);
  EXPECT_EQ(spec.obs_low.size(), spec.obs_high.size());
  EXPECT_EQ(spec.action_low.size(), spec.action_high.size());
  EXPECT_GT(spec.dt, 0);
  EXPECT_GT(spec.time_limit, 0);
  EXPECT_FALSE(spec.state_names.empty());
  for (size_t i = 0; i < spec.action_low.size(); ++i) {
    EXPECT_TRUE(std::isfinite(spec.action_low[i]) && std::isfinite(spec.action_high[i]));
    EXPECT_LT(spec.action_low[i], spec.action_high[i]);
  }
}

// An env that cuts an episode off where it is asked to.
class CutOff final : public Env {
 public:
  explicit CutOff(int64_t time_limit) {
    spec_ = {.id = "CutOff-v0", .obs_low = {0}, .obs_high = {1}, .action_low = {0}, .action_high = {1}};
    spec_.time_limit = time_limit;
  }
  const EnvSpec& spec() const override { return spec_; }

 private:
  void DoReset(RandomEngine&, std::span<double> obs) override { obs[0] = 0; }
  StepResult DoStep(std::span<const double> action, std::span<double> obs) override {
    obs[0] = action[0];
    return {.truncated = action[0] > 0.5};
  }
  void DoSetState(std::span<const double>, std::span<double> obs) override { obs[0] = 0; }
  std::vector<double> DoSnapshot() const override { return {}; }
  void DoRestore(std::span<const double>) override {}

  EnvSpec spec_;
};

TEST(Env, IsTruncatedByItselfOrByTheTimeLimit) {
  RandomEngine rng = Rng(1).Engine();
  std::vector<double> obs(1);
  for (const int64_t time_limit : {0, 3}) {
    CutOff env(time_limit);
    env.Reset(rng, obs);
    std::vector<bool> truncated;
    for (const double action : {0.0, 1.0, 0.0}) {
      truncated.push_back(env.Step(std::vector<double>{action}, obs).truncated);
    }
    EXPECT_EQ(truncated, (std::vector<bool>{false, true, time_limit == 3}));
  }
}

TEST_P(EnvContract, SameSeedSameTrajectoryAndAnotherSeedAnother) {
  std::vector<std::vector<double>> records;
  for (const uint64_t seed : {1, 1, 2}) {
    const auto env = Make();
    RandomEngine rng = Rng(seed).Engine();
    RandomEngine actions = Rng(7).Engine();
    std::vector<double> record(env->spec().obs_low.size());
    env->Reset(rng, record);
    const std::vector<double> steps = Roll(*env, 30, actions);
    record.insert(record.end(), steps.begin(), steps.end());
    records.push_back(record);
  }
  EXPECT_EQ(records[0], records[1]);
  EXPECT_NE(records[0], records[2]);
}

TEST_P(EnvContract, AnUsedEnvResetsLikeAFreshOne) {
  const auto used = Make();
  const auto fresh = Make();
  std::vector<double> used_obs(used->spec().obs_low.size());
  std::vector<double> fresh_obs(used_obs.size());
  RandomEngine rng = Rng(3).Engine();
  RandomEngine actions = Rng(4).Engine();
  used->Reset(rng, used_obs);
  Roll(*used, 40, actions);
  RandomEngine rng_used = Rng(5).Engine();
  RandomEngine rng_fresh = Rng(5).Engine();
  used->Reset(rng_used, used_obs);
  fresh->Reset(rng_fresh, fresh_obs);
  EXPECT_EQ(used_obs, fresh_obs);
  RandomEngine actions_used = Rng(6).Engine();
  RandomEngine actions_fresh = Rng(6).Engine();
  EXPECT_EQ(Roll(*used, 20, actions_used), Roll(*fresh, 20, actions_fresh));
}

TEST_P(EnvContract, ARestoredSnapshotContinuesBitForBit) {
  const auto env = Make();
  std::vector<double> obs(env->spec().obs_low.size());
  RandomEngine rng = Rng(8).Engine();
  RandomEngine actions = Rng(9).Engine();
  env->Reset(rng, obs);
  for (const int before : {0, 1, 60}) {
    Roll(*env, before, actions);
    const std::vector<double> snapshot = env->Snapshot();
    RandomEngine same_actions = actions;
    const int64_t elapsed = env->elapsed_steps();
    const std::vector<double> expected = Roll(*env, 60, actions);

    const auto other = Make();
    other->Restore(snapshot);
    EXPECT_EQ(other->elapsed_steps(), elapsed);
    RandomEngine again = same_actions;
    EXPECT_EQ(Roll(*other, 60, again), expected) << "into a fresh env after " << before << " steps";
    other->Restore(snapshot);
    EXPECT_EQ(Roll(*other, 60, same_actions), expected) << "into a used env after " << before << " steps";
  }
}

TEST_P(EnvContract, ASeedOfItsOwnChangesWhatIsRandomAlone) {
  const auto env = Make();
  std::vector<double> obs(env->spec().obs_low.size());
  RandomEngine rng = Rng(16).Engine();
  env->Reset(rng, obs);
  const std::vector<double> snapshot = env->Snapshot();
  std::vector<std::vector<double>> records;
  for (const uint64_t seed : {1, 2}) {
    env->Restore(snapshot);
    env->Reseed(seed);
    RandomEngine actions = Rng(17).Engine();
    records.push_back(Roll(*env, 5, actions));
  }
  EXPECT_EQ(records[0] != records[1], env->spec().random_steps);
}

TEST_P(EnvContract, ASnapshotOfAnotherSizeIsRefused) {
  const auto env = Make();
  std::vector<double> snapshot = env->Snapshot();
  snapshot.push_back(0);
  EXPECT_THROW(env->Restore(snapshot), std::runtime_error);
}

TEST_P(EnvContract, TheTimeLimitTruncatesAndResetStartsAnew) {
  const auto env = Make();
  const int64_t limit = env->spec().time_limit;
  std::vector<double> obs(env->spec().obs_low.size());
  const std::vector<double> still(env->spec().action_low.size(), 0.0);
  RandomEngine rng = Rng(10).Engine();
  env->Reset(rng, obs);
  for (int64_t i = 1; i <= limit + 1; ++i) {
    EXPECT_EQ(env->Step(still, obs).truncated, i >= limit) << i;
  }
  env->Reset(rng, obs);
  EXPECT_EQ(env->elapsed_steps(), 0);
  EXPECT_FALSE(env->Step(still, obs).truncated);
}

TEST_P(EnvContract, SetStateAndReseedDecideTheFuture) {
  const auto a = Make();
  const auto b = Make();
  std::vector<double> obs_a(a->spec().obs_low.size());
  std::vector<double> obs_b(obs_a.size());
  RandomEngine rng = Rng(11).Engine();
  RandomEngine actions = Rng(12).Engine();
  std::vector<double> state(a->spec().state_names.size(), 0.05);
  a->Reset(rng, obs_a);
  Roll(*a, 30, actions);
  a->SetState(state, obs_a);
  b->SetState(state, obs_b);
  EXPECT_EQ(obs_a, obs_b);
  a->Reseed(3);
  b->Reseed(3);
  RandomEngine same = actions;
  EXPECT_EQ(Roll(*a, 30, actions), Roll(*b, 30, same));
  state = a->GetState();
  b->SetState(state, obs_b);
  EXPECT_EQ(b->GetState(), state);
  state.push_back(0);
  EXPECT_THROW(a->SetState(state, obs_a), std::invalid_argument);
}

TEST_P(EnvContract, ANonFiniteActionIsAnErrorThatNamesEnvAndStep) {
  const auto env = Make();
  std::vector<double> obs(env->spec().obs_low.size());
  RandomEngine rng = Rng(13).Engine();
  RandomEngine actions = Rng(14).Engine();
  env->Reset(rng, obs);
  Roll(*env, 2, actions);
  const std::vector<double> broken(env->spec().action_low.size(), std::nan(""));
  try {
    env->Step(broken, obs);
    FAIL() << "no error";
  } catch (const std::runtime_error& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find(GetParam()), std::string::npos) << message;
    EXPECT_NE(message.find("step 3"), std::string::npos) << message;
  }
  env->Reset(rng, obs);
  EXPECT_NO_THROW(Roll(*env, 2, actions));
}

TEST_P(EnvContract, WrongSizesAreErrors) {
  const auto env = Make();
  std::vector<double> obs(env->spec().obs_low.size());
  RandomEngine rng = Rng(15).Engine();
  env->Reset(rng, obs);
  std::vector<double> action(env->spec().action_low.size() + 1);
  EXPECT_THROW(env->Step(action, obs), std::logic_error);
  action.pop_back();
  obs.push_back(0);
  EXPECT_THROW(env->Step(action, obs), std::logic_error);
  EXPECT_THROW(env->Reset(rng, obs), std::logic_error);
  EXPECT_THROW(env->SetState(std::vector<double>(env->spec().state_names.size(), 0.0), obs), std::logic_error);
}

INSTANTIATE_TEST_SUITE_P(Builtin, EnvContract, testing::ValuesIn(BuiltinEnvs().Ids()), [](const auto& param) {
  std::string name = param.param;
  std::erase_if(name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; });
  return name;
});

}  // namespace
}  // namespace reverie
