#include "reverie/env/dm_control/dm_control_env.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mujoco/mujoco.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>

#include "oracle.h"
#include "reverie/config/reader.h"
#include "reverie/core/rng.h"
#include "reverie/env/registry.h"

namespace reverie {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::ThrowsMessage;

EnvMaker MakerOf(const std::string& task, const std::string& options = "{}") {
  EnvMaker maker = BuiltinEnvs().Find("dm_control/" + task).maker();
  ConfigDocument::FromText(options, "options").ReadInto(maker.options());
  return maker;
}

std::vector<double> ObsOf(const Env& env) { return std::vector<double>(env.spec().obs_low.size()); }

TEST(DmControlEnv, NumbersOfObservationsActionsAndSeconds) {
  struct Facts {
    int64_t obs_dim, act_dim;
    double dt;
  };
  // Read off dm_control 1.0.50.
  const std::map<std::string, Facts> expected{{"acrobot-swingup", {6, 1, 0.01}},
                                              {"acrobot-swingup_sparse", {6, 1, 0.01}},
                                              {"ball_in_cup-catch", {8, 2, 0.02}},
                                              {"cartpole-balance", {5, 1, 0.01}},
                                              {"cartpole-balance_sparse", {5, 1, 0.01}},
                                              {"cartpole-swingup", {5, 1, 0.01}},
                                              {"cartpole-swingup_sparse", {5, 1, 0.01}},
                                              {"cheetah-run", {17, 6, 0.01}},
                                              {"finger-spin", {9, 2, 0.02}},
                                              {"finger-turn_easy", {12, 2, 0.02}},
                                              {"finger-turn_hard", {12, 2, 0.02}},
                                              {"fish-swim", {24, 5, 0.04}},
                                              {"hopper-hop", {15, 4, 0.02}},
                                              {"hopper-stand", {15, 4, 0.02}},
                                              {"humanoid-run", {67, 21, 0.025}},
                                              {"humanoid-stand", {67, 21, 0.025}},
                                              {"humanoid-walk", {67, 21, 0.025}},
                                              {"pendulum-swingup", {3, 1, 0.02}},
                                              {"quadruped-run", {78, 12, 0.02}},
                                              {"quadruped-walk", {78, 12, 0.02}},
                                              {"reacher-easy", {6, 2, 0.02}},
                                              {"reacher-hard", {6, 2, 0.02}},
                                              {"walker-run", {24, 6, 0.025}},
                                              {"walker-stand", {24, 6, 0.025}},
                                              {"walker-walk", {24, 6, 0.025}}};
  size_t seen = 0;
  for (const std::string& id : BuiltinEnvs().Ids()) {
    if (!id.starts_with("dm_control/")) {
      continue;
    }
    const std::string task = id.substr(11);
    const EnvSpec spec = MakerOf(task).make()->spec();
    ASSERT_TRUE(expected.contains(task)) << task;
    EXPECT_EQ(spec.obs_dim(), expected.at(task).obs_dim) << task;
    EXPECT_EQ(spec.act_dim(), expected.at(task).act_dim) << task;
    EXPECT_NEAR(spec.dt, expected.at(task).dt, 1e-12) << task;
    EXPECT_EQ(spec.time_limit, 1000) << task;
    ++seen;
  }
  EXPECT_EQ(seen, expected.size());
}

TEST(DmControlEnv, ARepeatedActionIsSoManyStepsWithTheSumOfTheirRewards) {
  for (const std::string task : {"walker-run", "reacher-easy", "acrobot-swingup"}) {
    const auto once = MakerOf(task).make();
    const auto repeated = MakerOf(task, "{action_repeat: 4}").make();
    EXPECT_EQ(repeated->spec().time_limit, 250);
    EXPECT_NEAR(repeated->spec().dt, 4 * once->spec().dt, 1e-12);
    RandomEngine rng_once = Rng(1).Engine();
    RandomEngine rng_repeated = Rng(1).Engine();
    std::vector<double> obs = ObsOf(*once);
    std::vector<double> obs_repeated = obs;
    once->Reset(rng_once, obs);
    repeated->Reset(rng_repeated, obs_repeated);
    for (int step = 1; step <= 250; ++step) {
      const std::vector<double> action(once->spec().action_low.size(), step % 7 / 7.0 - 0.5);
      double reward = 0;
      bool truncated = false;
      for (int i = 0; i < 4; ++i) {
        const StepResult result = once->Step(action, obs);
        reward += result.reward;
        truncated = result.truncated;
      }
      const StepResult result = repeated->Step(action, obs_repeated);
      ASSERT_EQ(obs, obs_repeated);
      ASSERT_EQ(result.reward, reward);
      ASSERT_EQ(result.truncated, step == 250);
      ASSERT_EQ(truncated, step == 250);
    }
  }
}

TEST(DmControlEnv, ARepeatIsADivisorOfAnEpisode) {
  EXPECT_THAT([] { MakerOf("walker-run", "{action_repeat: 3}"); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("expected a divisor of the 1000 control steps")));
  EXPECT_THAT([] { MakerOf("walker-run", "{action_repeat: 0}"); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("action_repeat: expected an integer at least 1")));
}

TEST(DmControlEnv, ARepeatedStepsRewardIsNotKnown) {
  EXPECT_TRUE(MakerOf("pendulum-swingup").task_functions().reward);
  const TaskFunctions repeated = MakerOf("pendulum-swingup", "{action_repeat: 2}").task_functions();
  EXPECT_FALSE(repeated.reward);
  EXPECT_TRUE(repeated.terminated);
}

// Random play seldom earns a reward that is 1 at the goal alone: from there both the environment and what imagined
// rollouts know give it.
TEST(DmControlEnv, KnownRewardsAreTheEnvsAtTheGoal) {
  const std::map<std::string, std::map<std::string, double>> goals{
      {"acrobot-swingup_sparse", {}},
      {"ball_in_cup-catch", {{"qpos:ball_z", 0.35}}},
      {"cartpole-balance_sparse", {}},
      {"cartpole-swingup_sparse", {}},
      {"finger-spin", {{"qvel:hinge", -60}}},
      {"finger-turn_easy", {{"target:x", 0.2}, {"target:z", 0.53}}},
      {"finger-turn_hard", {{"target:x", 0.2}, {"target:z", 0.53}}},
      {"hopper-stand", {}},
      {"humanoid-stand", {}},
      {"pendulum-swingup", {}},
      {"reacher-easy", {{"target:x", 0.24}, {"target:y", 0}}},
      {"reacher-hard", {{"target:x", 0.24}, {"target:y", 0}}}};
  for (const auto& [task, goal] : goals) {
    const EnvMaker maker = MakerOf(task);
    const auto env = maker.make();
    const EnvSpec& spec = env->spec();
    const auto initial = env->mujoco()->initial_qpos();
    std::vector<double> state(initial.begin(), initial.end());
    state.resize(spec.state_names.size());
    for (const auto& [name, value] : goal) {
      const auto at = std::find(spec.state_names.begin(), spec.state_names.end(), name);
      ASSERT_NE(at, spec.state_names.end()) << task << " " << name;
      state[static_cast<size_t>(at - spec.state_names.begin())] = value;
    }
    std::vector<double> next_obs = ObsOf(*env);
    std::vector<double> action(spec.action_low.size(), 0.0);
    env->SetState(state, next_obs);
    const StepResult result = env->Step(action, next_obs);
    EXPECT_GT(result.reward, 0.9) << task;
    for (const auto& [type, tolerance] : {std::pair(torch::kFloat64, 1e-9), std::pair(torch::kFloat32, 1e-5)}) {
      const torch::Tensor seen = torch::tensor(next_obs, type).unsqueeze(0);
      const torch::Tensor acted = torch::tensor(action, type).unsqueeze(0);
      EXPECT_NEAR(maker.task_functions().reward(seen, acted, seen).item<double>(), result.reward, tolerance)
          << task << " " << type;
    }
  }
}

// What a model predicts of a cosine misses [-1, 1] by a little now and then.
TEST(DmControlEnv, AnImaginedCosineOutsideItsRangeIsRewardedAsTheNearestInIt) {
  struct Imagined {
    int64_t cosine;                       // column
    std::map<int64_t, double> others;     // columns that are not 0
    double reward_upright, reward_below;  // at cosines 1 and -1
  };
  const std::map<std::string, Imagined> tasks{{"cartpole-balance", {1, {}, 1, 0}},
                                              {"cartpole-balance_sparse", {1, {}, 1, 0}},
                                              {"cartpole-swingup", {1, {}, 1, 0}},
                                              {"cartpole-swingup_sparse", {1, {}, 1, 0}},
                                              {"fish-swim", {7, {}, 1, 7.0 / 8}},
                                              {"pendulum-swingup", {0, {}, 1, 0}},
                                              {"walker-stand", {0, {{14, 1.3}}, 1, 3.0 / 4}}};
  for (const auto& [task, imagined] : tasks) {
    const EnvMaker maker = MakerOf(task);
    const EnvSpec spec = maker.make()->spec();
    torch::Tensor obs = torch::zeros({4, spec.obs_dim()});
    for (const auto& [column, value] : imagined.others) {
      obs.select(1, column).fill_(value);
    }
    obs.select(1, imagined.cosine).copy_(torch::tensor({1.0F, 1.0F + 1e-3F, -1.0F, -1.0F - 1e-3F}));
    const torch::Tensor reward = maker.task_functions().reward(obs, torch::zeros({4, spec.act_dim()}), obs);
    ASSERT_EQ(reward.scalar_type(), torch::kFloat32) << task;
    EXPECT_FLOAT_EQ(reward[0].item<float>(), static_cast<float>(imagined.reward_upright)) << task;
    EXPECT_FLOAT_EQ(reward[2].item<float>(), static_cast<float>(imagined.reward_below)) << task;
    EXPECT_EQ(reward[1].item<float>(), reward[0].item<float>()) << task;
    EXPECT_EQ(reward[3].item<float>(), reward[2].item<float>()) << task;
    EXPECT_LE(reward.max().item<float>(), 1) << task;
    EXPECT_GE(reward.min().item<float>(), 0) << task;
  }
}

// Each simulation has a target of its own, in its state and in its snapshots.
TEST(DmControlEnv, TargetsArePartOfTheState) {
  for (const auto& [task, names] :
       std::map<std::string, std::vector<std::string>>{{"reacher-easy", {"target:x", "target:y"}},
                                                       {"finger-turn_hard", {"target:x", "target:z"}},
                                                       {"fish-swim", {"target:x", "target:y", "target:z"}}}) {
    const auto one = MakerOf(task).make();
    const auto other = MakerOf(task).make();
    const std::vector<std::string>& state_names = one->spec().state_names;
    EXPECT_TRUE(std::equal(names.rbegin(), names.rend(), state_names.rbegin())) << task;
    RandomEngine rng = Rng(1).Engine();
    std::vector<double> obs = ObsOf(*one);
    std::vector<double> other_obs = obs;
    one->Reset(rng, obs);
    const std::vector<double> state = one->mujoco()->State();
    ASSERT_EQ(state.size(), state_names.size());
    other->Reset(rng, other_obs);
    EXPECT_NE(other->mujoco()->State().back(), state.back()) << task;
    EXPECT_EQ(one->mujoco()->State(), state) << task << ": another simulation changed this one's target";

    const std::vector<double> snapshot = one->Snapshot();
    other->Restore(snapshot);
    EXPECT_EQ(other->mujoco()->State(), state) << task;
    one->SetState(state, obs);
    other->SetState(state, other_obs);
    EXPECT_EQ(obs, other_obs) << task;
    one->Reset(rng, obs);
    EXPECT_NE(one->mujoco()->State().back(), state.back()) << task << ": the target is drawn once an episode";
  }
}

TEST(DmControlEnv, AStateWithoutItsTargetIsRefused) {
  MujocoSimulation simulation(dm_control::LoadModel("reacher.xml"), "reacher.xml", 1, StepOrder::kDerivedIsCurrent);
  const std::vector<double> zeros(2);
  EXPECT_NO_THROW(simulation.SetState(zeros, zeros));
  simulation.AddToState("target:x", simulation.OwnModel().geom_pos[0]);
  EXPECT_THAT([&] { simulation.SetState(zeros, zeros); },
              ThrowsMessage<std::logic_error>("reacher.xml: a state with 0 drawn numbers, expected 1"));
}

TEST(DmControlEnv, WhatNoEpisodeChangesIsSharedByAllSimulations) {
  const auto model = [](const std::string& task, std::unique_ptr<Env>& kept) {
    kept = MakerOf(task).make();
    return &kept->mujoco()->model();
  };
  std::unique_ptr<Env> a;
  std::unique_ptr<Env> b;
  EXPECT_EQ(model("walker-run", a), model("walker-stand", b));
  EXPECT_NE(model("finger-spin", a), model("finger-turn_easy", b));
  EXPECT_NE(model("quadruped-walk", a), model("quadruped-run", b));
  EXPECT_EQ(model("quadruped-run", a), model("quadruped-run", b));
  EXPECT_NE(model("reacher-easy", a), model("reacher-easy", b));
}

TEST(DmControlEnv, AQuadrupedRunsOnAFloorAlone) {
  const auto env = MakerOf("quadruped-run").make();
  const mjModel& model = env->mujoco()->model();
  EXPECT_EQ(model.nq, 23);
  EXPECT_EQ(mj_name2id(&model, mjOBJ_GEOM, "wall_px"), -1);
  EXPECT_EQ(mj_name2id(&model, mjOBJ_GEOM, "terrain"), -1);
  EXPECT_EQ(mj_name2id(&model, mjOBJ_SENSOR, "rf_00"), -1);
  EXPECT_EQ(model.geom_size[3 * mj_name2id(&model, mjOBJ_GEOM, "floor")], 100);
}

// The environment variable for a folder with models, as it was again at the end.
class ModelFolderIs {
 public:
  explicit ModelFolderIs(const std::filesystem::path& folder) {
    if (const char* named = std::getenv("REVERIE_DM_CONTROL_DIR"); named != nullptr) {
      before_ = named;
    }
    setenv("REVERIE_DM_CONTROL_DIR", folder.c_str(), 1);
  }
  ~ModelFolderIs() {
    if (before_.has_value()) {
      setenv("REVERIE_DM_CONTROL_DIR", before_->c_str(), 1);
    } else {
      unsetenv("REVERIE_DM_CONTROL_DIR");
    }
  }
  ModelFolderIs(const ModelFolderIs&) = delete;
  ModelFolderIs& operator=(const ModelFolderIs&) = delete;

 private:
  std::optional<std::string> before_;
};

TEST(DmControlEnv, ModelsAreLookedForWhereTheVariableSays) {
  {
    const ModelFolderIs somewhere("/somewhere");
    EXPECT_EQ(dm_control::ModelPath("walker.xml"), "/somewhere/walker.xml");
  }
  EXPECT_TRUE(std::filesystem::exists(dm_control::ModelPath("walker.xml")));
}

TEST(DmControlEnv, ATaskWithoutItsModelSaysWhatItNeeds) {
  const std::string needs =
      "dm_control/acrobot-swingup needs acrobot.xml of dm_control's suite, which is not in /somewhere; install "
      "dm-control 1.0.50 or name its suite folder in REVERIE_DM_CONTROL_DIR";
  const ModelFolderIs somewhere("/somewhere");
  EXPECT_THAT([] { MakerOf("acrobot-swingup").make(); }, ThrowsMessage<std::invalid_argument>(needs));
  EXPECT_THAT([] { MakerOf("acrobot-swingup").task_functions(); }, ThrowsMessage<std::invalid_argument>(needs));
  EXPECT_THAT([] { dm_control::RequireModel("dm_control/walker-run", "walker.xml", ""); },
              ThrowsMessage<std::invalid_argument>(
                  "dm_control/walker-run needs walker.xml of dm_control's suite, which was not there when Reverie was "
                  "built; install dm-control 1.0.50 and name its suite folder in REVERIE_DM_CONTROL_DIR"));
}

TEST(DmControlEnv, ModelsAreTheSuites) {
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "pendulum.xml") << R"(<mujoco><worldbody>
      <body name="pole"><joint name="hinge"/><joint name="slide" type="slide"/><geom size="0.1"/></body></worldbody>
      <actuator><motor joint="hinge" ctrlrange="-1 1"/></actuator></mujoco>)";
  std::ofstream(folder.path() / "finger.xml") << "<mujoco model=\"empty\"/>";
  std::ofstream(folder.path() / "walker.xml") << "<mujoco><include file=\"common/skybox.xml\"/></mujoco>";
  const ModelFolderIs here(folder.path());
  EXPECT_THAT(
      [] { MakerOf("pendulum-swingup").make(); },
      ThrowsMessage<std::invalid_argument>("pendulum.xml has 2 positions, 2 velocities and 1 controls; expected "
                                           "1, 1 and 1, as dm_control 1.0.50 has it"));
  EXPECT_THAT([] { MakerOf("finger-spin").make(); },
              ThrowsMessage<std::invalid_argument>("empty: the model has no joint named hinge"));
  EXPECT_THAT([] { MakerOf("walker-run").make(); },
              ThrowsMessage<std::invalid_argument>(
                  AllOf(HasSubstr("walker.xml: "), HasSubstr("skybox.xml"), Not(HasSubstr("xml_file")))));
}

// Of the suite's size, but the ball always touches the floor.
TEST(DmControlEnv, WhatFailsInTheSimulationIsSaidWithTheTask) {
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "ball_in_cup.xml") << R"(<mujoco><worldbody>
      <geom type="plane" size="1 1 1" pos="0 0 9"/>
      <body name="cup"><joint name="a" type="slide" axis="1 0 0"/><joint name="b" type="slide" axis="0 0 1"/>
        <geom size="0.1" contype="0" conaffinity="0"/><site name="target" size="0.1 0.1 0.1"/></body>
      <body name="ball"><joint type="slide" axis="1 0 0"/><joint type="slide" axis="0 0 1"/>
        <geom name="ball" size="0.05"/></body></worldbody>
      <actuator><motor joint="a" ctrlrange="-1 1"/><motor joint="b" ctrlrange="-1 1"/></actuator></mujoco>)";
  const ModelFolderIs here(folder.path());
  const auto env = MakerOf("ball_in_cup-catch").make();
  RandomEngine rng = Rng(1).Engine();
  std::vector<double> obs = ObsOf(*env);
  EXPECT_THAT([&] { env->Reset(rng, obs); },
              ThrowsMessage<std::runtime_error>("dm_control/ball_in_cup-catch: reset: ball_in_cup.xml: no start "
                                                "state without contacts in 1000 attempts"));
}

TEST(DmControlEnv, AnIdIsOneNameInPaths) {
  EXPECT_EQ(NameInPaths("dm_control/walker-run"), "dm_control-walker-run");
  EXPECT_EQ(NameInPaths("Hopper-v5"), "Hopper-v5");
}

TEST(DmControlEnv, AnIdWithoutItsFirstPartIsUnderstood) {
  for (const std::string& id : BuiltinEnvs().Ids()) {
    if (id.starts_with("dm_control/")) {
      EXPECT_THAT([&] { BuiltinEnvs().Find(id.substr(11)); },
                  ThrowsMessage<std::invalid_argument>(
                      HasSubstr("no environment named " + id.substr(11) + "; did you mean " + id + "? Known: ")));
    }
  }
}

}  // namespace
}  // namespace reverie
