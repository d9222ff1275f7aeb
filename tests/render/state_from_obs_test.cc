#include "reverie/render/state_from_obs.h"

#include <gtest/gtest.h>
#include <mujoco/mujoco.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "reverie/env/mujoco/simulation.h"
#include "reverie/env/registry.h"

namespace reverie {
namespace {

class EveryMujocoTask : public testing::TestWithParam<std::string> {};

// The observation of a state that was reached by random actions leads back to it, from the state one step before.
TEST_P(EveryMujocoTask, LeadsBackFromAnObservationToItsState) {
  const EnvRegistry envs = BuiltinEnvs();
  const auto make = [&] { return envs.Find(GetParam()).maker().make(); };
  const std::unique_ptr<Env> env = make();
  StateFromObs states(make());
  RandomEngine engine(3);
  const EnvSpec& spec = env->spec();
  std::vector<double> obs(static_cast<size_t>(spec.obs_dim()));
  std::vector<double> action(static_cast<size_t>(spec.act_dim()));
  env->Reset(engine, obs);
  for (int64_t t = 0; t < 5; ++t) {
    const std::vector<double> before = env->mujoco()->State();
    for (size_t i = 0; i < action.size(); ++i) {
      action[i] = std::uniform_real_distribution<double>(0.5 * spec.action_low[i], 0.5 * spec.action_high[i])(engine);
    }
    env->Step(action, obs);
    const std::vector<double> truth = env->mujoco()->State();
    // As it would look at rest in that very state: nothing lags behind it.
    const std::unique_ptr<Env> still = make();
    still->SetState(truth, obs);
    const std::vector<double> found = states.Find(obs, states.Coasted(before));

    std::vector<double> seen(obs.size());
    still->SetState(found, seen);
    for (size_t i = 0; i < obs.size(); ++i) {
      ASSERT_NEAR(seen[i], obs[i], 1e-6 * (1 + std::abs(obs[i]))) << "observation " << i << " after " << t;
    }
    // The pose is the true one; where the body is along the track is not observed and comes of coasting.
    const auto nq = static_cast<size_t>(env->mujoco()->model().nq);
    for (size_t i = 0; i < nq; ++i) {
      ASSERT_NEAR(found[i], truth[i], 0.2) << spec.state_names[i] << " after " << t;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, EveryMujocoTask,
                         testing::Values("HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Ant-v5", "Humanoid-v5",
                                         "HumanoidStandup-v5", "InvertedPendulum-v5", "InvertedDoublePendulum-v5",
                                         "Reacher-v5", "Swimmer-v5", "Pusher-v5", "dm_control/walker-run",
                                         "dm_control/cartpole-swingup", "dm_control/reacher-easy",
                                         "dm_control/fish-swim"),
                         [](const auto& test) {
                           std::string name = test.param.substr(0, test.param.rfind('-'));
                           std::replace(name.begin(), name.end(), '/', '_');
                           return name;
                         });

TEST(StateFromObs, KeepsWhatTheObservationDoesNotHold) {
  const EnvRegistry envs = BuiltinEnvs();
  const std::unique_ptr<Env> env = envs.Find("HalfCheetah-v5").maker().make();
  StateFromObs states(envs.Find("HalfCheetah-v5").maker().make());
  std::vector<double> obs(static_cast<size_t>(env->spec().obs_dim()));
  std::vector<double> state(18, 0.0);
  state[0] = 5;     // x, not observed
  state[9] = 2;     // its velocity
  state[4] = -0.3;  // a joint
  env->SetState(state, obs);
  std::vector<double> guess(18, 0.0);
  guess[0] = 7;
  const std::vector<double> found = states.Find(obs, guess);
  EXPECT_NEAR(found[0], 7, 1e-6);
  EXPECT_NEAR(found[4], -0.3, 1e-6);
  EXPECT_NEAR(states.Coasted(found)[0], 7 + 2 * 0.05, 1e-6);
}

TEST(StateFromObs, NeedsAMujocoTask) {
  const EnvRegistry envs = BuiltinEnvs();
  EXPECT_THROW(StateFromObs(envs.Find("Pendulum-v1").maker().make()), std::invalid_argument);
}

}  // namespace
}  // namespace reverie
