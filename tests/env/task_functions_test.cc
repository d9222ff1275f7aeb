// The batched task functions against the rewards and ends that the environments themselves give.
#include "reverie/env/task_functions.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <random>

#include "reverie/config/reader.h"
#include "reverie/core/rng.h"
#include "reverie/env/registry.h"

namespace reverie {
namespace {

struct Case {
  std::string id;
  std::string options;              // YAML
  bool has_reward = false;          // the observation determines it
  bool ends = false;                // random play terminates
  double reward_tolerance = 1e-9;   // relative above 1
  double undecided_tip_height = 0;  // no verdict where the double pendulum's tip is that near to its limit
  std::string name() const {
    std::string text = id + options;
    std::erase_if(text, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; });
    return text;
  }
};

struct Transitions {
  torch::Tensor obs, action, next_obs, reward, terminated;  // float64
};

EnvMaker MakerOf(const Case& test_case) {
  EnvMaker maker = BuiltinEnvs().Find(test_case.id).maker();
  ConfigDocument::FromText(test_case.options, "options").ReadInto(maker.options());
  return maker;
}

// Ten episodes of random play, on past every end; played once per case.
Transitions Play(const Case& test_case) {
  static std::map<std::string, Transitions> played;
  if (const auto known = played.find(test_case.name()); known != played.end()) {
    return known->second;
  }
  constexpr int64_t kEpisodes = 10;
  constexpr int64_t kSteps = 80;
  const std::unique_ptr<Env> env = MakerOf(test_case).make();
  const EnvSpec& spec = env->spec();
  const auto f64 = torch::TensorOptions().dtype(torch::kFloat64);
  Transitions t{torch::empty({kEpisodes * kSteps, spec.obs_dim()}, f64),
                torch::empty({kEpisodes * kSteps, spec.act_dim()}, f64),
                torch::empty({kEpisodes * kSteps, spec.obs_dim()}, f64), torch::empty({kEpisodes * kSteps}, f64),
                torch::empty({kEpisodes * kSteps}, f64)};
  RandomEngine rng = Rng(21).Engine();
  std::vector<double> obs(spec.obs_low.size());
  std::vector<double> next_obs(obs.size());
  std::vector<double> action(spec.action_low.size());
  const auto row = [](torch::Tensor& to, int64_t at, const std::vector<double>& from) {
    std::copy(from.begin(), from.end(), to.data_ptr<double>() + at * static_cast<int64_t>(from.size()));
  };
  for (int64_t i = 0; i < kEpisodes * kSteps; ++i) {
    if (i % kSteps == 0) {
      env->Reset(rng, obs);
    }
    for (size_t j = 0; j < action.size(); ++j) {
      action[j] = std::uniform_real_distribution<double>(spec.action_low[j], spec.action_high[j])(rng);
    }
    const StepResult result = env->Step(action, next_obs);
    row(t.obs, i, obs);
    row(t.action, i, action);
    row(t.next_obs, i, next_obs);
    t.reward.data_ptr<double>()[i] = result.reward;
    t.terminated.data_ptr<double>()[i] = result.terminated ? 1 : 0;
    obs = next_obs;
  }
  played.emplace(test_case.name(), t);
  return t;
}

class TaskFunctionsContract : public testing::TestWithParam<Case> {};

TEST_P(TaskFunctionsContract, TerminatedIsTheEnvs) {
  const Transitions t = Play(GetParam());
  const TaskFunctions functions = MakerOf(GetParam()).task_functions();
  ASSERT_TRUE(functions.terminated);
  const torch::Tensor ours = functions.terminated(t.obs, t.action, t.next_obs);
  ASSERT_EQ(ours.scalar_type(), torch::kBool);
  ASSERT_EQ(ours.sizes(), t.reward.sizes());
  torch::Tensor differs = ours.logical_xor(t.terminated.to(torch::kBool));
  if (GetParam().undecided_tip_height > 0) {
    const auto column = [&](int64_t i) { return t.next_obs.select(1, i); };
    const torch::Tensor both = torch::atan2(column(1), column(3)) + torch::atan2(column(2), column(4));
    const torch::Tensor tip = 0.6 * column(3) + 0.6 * both.cos();
    differs = differs.logical_and((tip - 1.0).abs() > GetParam().undecided_tip_height);
  }
  EXPECT_EQ(differs.sum().item<int64_t>(), 0);
  const int64_t ended = t.terminated.sum().to(torch::kLong).item<int64_t>();
  EXPECT_EQ(ended > 0, GetParam().ends);
  EXPECT_LT(ended, t.terminated.size(0));
}

TEST_P(TaskFunctionsContract, RewardIsTheEnvs) {
  const TaskFunctions functions = MakerOf(GetParam()).task_functions();
  ASSERT_EQ(functions.reward != nullptr, GetParam().has_reward);
  if (!GetParam().has_reward) {
    return;
  }
  const Transitions t = Play(GetParam());
  const torch::Tensor ours = functions.reward(t.obs, t.action, t.next_obs);
  ASSERT_EQ(ours.sizes(), t.reward.sizes());
  const torch::Tensor error = (ours - t.reward).abs() / t.reward.abs().clamp_min(1.0);
  EXPECT_LE(error.max().item<double>(), GetParam().reward_tolerance);
}

TEST_P(TaskFunctionsContract, SinglePrecisionGivesTheSameToItsRounding) {
  const Transitions t = Play(GetParam());
  const TaskFunctions functions = MakerOf(GetParam()).task_functions();
  const auto f = [](const torch::Tensor& x) { return x.to(torch::kFloat32); };
  // A height within its rounding of a limit may fall on the other side.
  const torch::Tensor single = functions.terminated(f(t.obs), f(t.action), f(t.next_obs));
  const torch::Tensor twice = functions.terminated(t.obs, t.action, t.next_obs);
  EXPECT_LE(single.logical_xor(twice).sum().item<int64_t>(), 1);
  if (functions.reward) {
    const torch::Tensor reward = functions.reward(f(t.obs), f(t.action), f(t.next_obs));
    EXPECT_EQ(reward.scalar_type(), torch::kFloat32);
    const torch::Tensor expected = functions.reward(t.obs, t.action, t.next_obs);
    EXPECT_LE(((reward - expected).abs() / expected.abs().clamp_min(1.0)).max().item<double>(), 1e-3);
  }
}

TEST_P(TaskFunctionsContract, ARowThatIsNotFiniteNeverTerminates) {
  const Transitions t = Play(GetParam());
  const TaskFunctions functions = MakerOf(GetParam()).task_functions();
  for (const double value : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    const torch::Tensor broken = torch::full_like(t.next_obs, value);
    EXPECT_FALSE(functions.terminated(t.obs, t.action, broken).any().item<bool>());
  }
}

INSTANTIATE_TEST_SUITE_P(
    Builtin, TaskFunctionsContract,
    testing::Values(
        Case{"HalfCheetah-v5", "{}"},
        Case{"HalfCheetah-v5",
             "{exclude_current_positions_from_observation: false, forward_reward_weight: 2.5, ctrl_cost_weight: 0.7, "
             "frame_skip: 3}",
             true},
        Case{"Hopper-v5", "{}", false, true},
        Case{"Hopper-v5",
             "{exclude_current_positions_from_observation: false, healthy_z_range: [1.0, 1.3], "
             "healthy_angle_range: [-0.05, 0.1], healthy_reward: 0.25, ctrl_cost_weight: 0.1}",
             true, true},
        Case{"Hopper-v5", "{healthy_state_range: [-2, 3], healthy_z_range: [0, 9]}", false, true},
        Case{"Hopper-v5", "{terminate_when_unhealthy: false}"}, Case{"Walker2d-v5", "{}", false, true},
        Case{"Walker2d-v5",
             "{exclude_current_positions_from_observation: false, healthy_z_range: [1.1, 1.3], healthy_reward: 2, "
             "healthy_angle_range: [-0.1, 0.2], xml_file: walker2d.xml}",
             true, true},
        Case{"Walker2d-v5", "{terminate_when_unhealthy: false}"},
        Case{"Ant-v5", "{healthy_z_range: [0.4, 0.8]}", false, true},
        Case{"Ant-v5", "{exclude_current_positions_from_observation: false, healthy_z_range: [0.5, 0.7]}", false, true},
        Case{"Ant-v5",
             "{include_cfrc_ext_in_observation: false, healthy_z_range: [0.5, 0.7], "
             "terminate_when_unhealthy: false}"},
        Case{"Humanoid-v5", "{}", false, true},
        Case{"Humanoid-v5",
             "{exclude_current_positions_from_observation: false, healthy_z_range: [1.2, 1.39], "
             "include_cinert_in_observation: false}",
             false, true},
        Case{"Humanoid-v5", "{terminate_when_unhealthy: false}"}, Case{"HumanoidStandup-v5", "{}", true},
        Case{"HumanoidStandup-v5",
             "{exclude_current_positions_from_observation: false, impact_cost_weight: 1e-4, impact_cost_range: [0.5, "
             "2], ctrl_cost_weight: 0.3}",
             true},
        Case{"HumanoidStandup-v5",
             "{include_cfrc_ext_in_observation: false, impact_cost_weight: 0, impact_cost_range: [0.5, 2]}", true},
        Case{"HumanoidStandup-v5", "{include_cfrc_ext_in_observation: false}"},
        Case{"InvertedPendulum-v5", "{}", true, true}, Case{"InvertedDoublePendulum-v5", "{}", false, true, 0, 5e-3},
        Case{"Reacher-v5", "{}", true}, Case{"Reacher-v5", "{reward_dist_weight: 3, reward_control_weight: 0.1}", true},
        Case{"Swimmer-v5", "{}"},
        Case{"Swimmer-v5",
             "{exclude_current_positions_from_observation: false, forward_reward_weight: 2, ctrl_cost_weight: 0.1}",
             true},
        Case{"Pusher-v5", "{}", true},
        Case{"Pusher-v5", "{reward_near_weight: 2, reward_dist_weight: 0.3, reward_control_weight: 0.7}", true},
        // The observation is rounded to float32.
        Case{"Pendulum-v1", "{}", true, false, 2e-6}, Case{"CartPoleSwingUp-v0", "{}", true},
        Case{"LinearQuadratic-v0", "{}", true}, Case{"Fork-v0", "{}", true},
        Case{"Fork-v0", "{dimensions: 2, distance: 0.1}", true}, Case{"dm_control/acrobot-swingup", "{}", true},
        Case{"dm_control/acrobot-swingup_sparse", "{}", true}, Case{"dm_control/ball_in_cup-catch", "{}", true},
        Case{"dm_control/cartpole-balance", "{}", true}, Case{"dm_control/cartpole-balance_sparse", "{}", true},
        Case{"dm_control/cartpole-swingup", "{}", true}, Case{"dm_control/cartpole-swingup_sparse", "{}", true},
        Case{"dm_control/cheetah-run", "{}"}, Case{"dm_control/finger-spin", "{}", true},
        Case{"dm_control/finger-turn_easy", "{}", true}, Case{"dm_control/finger-turn_hard", "{}", true},
        Case{"dm_control/fish-swim", "{}", true}, Case{"dm_control/hopper-hop", "{}"},
        Case{"dm_control/hopper-stand", "{}", true}, Case{"dm_control/humanoid-run", "{}", true},
        Case{"dm_control/humanoid-stand", "{}", true}, Case{"dm_control/humanoid-walk", "{}", true},
        Case{"dm_control/pendulum-swingup", "{}", true}, Case{"dm_control/quadruped-run", "{}", true},
        Case{"dm_control/quadruped-walk", "{}", true}, Case{"dm_control/reacher-easy", "{}", true},
        Case{"dm_control/reacher-hard", "{}", true}, Case{"dm_control/walker-run", "{}"},
        Case{"dm_control/walker-stand", "{}", true}, Case{"dm_control/walker-walk", "{}"},
        Case{"dm_control/fish-swim", "{action_repeat: 2}"}),
    [](const auto& param) { return std::to_string(param.index) + param.param.name().substr(0, 60); });

TEST(TaskFunctionsContract, EveryEnvIsCovered) {
  // A new environment must be added to the list above.
  EXPECT_EQ(BuiltinEnvs().Ids().size(), 40);
}

TEST(TaskFunctionsContract, HoppersUnseenVelocityIsTheNamedException) {
  // A joint at 150 rad/s is unhealthy by the default range of 100, and observed as 10.
  const auto env = BuiltinEnvs().Find("Hopper-v5").maker().make();
  std::vector<double> state(env->spec().state_names.size(), 0.0);
  state[1] = 1.25;
  state.back() = 150.0;
  std::vector<double> obs(env->spec().obs_low.size());
  env->SetState(state, obs);
  const std::vector<double> action(3, 0.0);
  std::vector<double> next_obs(obs.size());
  const StepResult result = env->Step(action, next_obs);
  ASSERT_EQ(next_obs.back(), 10.0);
  ASSERT_TRUE(result.terminated);
  const torch::Tensor seen = torch::tensor(next_obs, torch::kFloat64).unsqueeze(0);
  const TaskFunctions functions = BuiltinEnvs().Find("Hopper-v5").maker().task_functions();
  EXPECT_FALSE(functions.terminated(seen, seen, seen).item<bool>());
}

}  // namespace
}  // namespace reverie
