#include "reverie/env/registry.h"

#include <algorithm>
#include <stdexcept>

#include "reverie/config/reader.h"
#include "reverie/env/dm_control/acrobot.h"
#include "reverie/env/dm_control/ball_in_cup.h"
#include "reverie/env/dm_control/cartpole.h"
#include "reverie/env/dm_control/cheetah.h"
#include "reverie/env/dm_control/finger.h"
#include "reverie/env/dm_control/fish.h"
#include "reverie/env/dm_control/hopper.h"
#include "reverie/env/dm_control/humanoid.h"
#include "reverie/env/dm_control/pendulum.h"
#include "reverie/env/dm_control/quadruped.h"
#include "reverie/env/dm_control/reacher.h"
#include "reverie/env/dm_control/walker.h"
#include "reverie/env/mujoco/ant.h"
#include "reverie/env/mujoco/half_cheetah.h"
#include "reverie/env/mujoco/hopper.h"
#include "reverie/env/mujoco/humanoid.h"
#include "reverie/env/mujoco/humanoid_standup.h"
#include "reverie/env/mujoco/inverted_double_pendulum.h"
#include "reverie/env/mujoco/inverted_pendulum.h"
#include "reverie/env/mujoco/pusher.h"
#include "reverie/env/mujoco/reacher.h"
#include "reverie/env/mujoco/swimmer.h"
#include "reverie/env/mujoco/walker2d.h"
#include "reverie/env/toy/cart_pole_swing_up.h"
#include "reverie/env/toy/fork.h"
#include "reverie/env/toy/linear_quadratic.h"
#include "reverie/env/toy/pendulum.h"

namespace reverie {
namespace {

// As EnvRegistry::Add, but the task functions are given the id too.
template <class E>
void AddTask(EnvRegistry& envs, const std::string& task, std::string summary, const typename E::Variant& variant) {
  const std::string id = "dm_control/" + task;
  auto maker = [id, variant] {
    auto options = std::make_shared<typename E::Options>();
    return EnvMaker{.options = [options] { return Fields::Of(*options); },
                    .make = [=]() -> std::unique_ptr<Env> { return std::make_unique<E>(id, *options, variant); },
                    .task_functions = [=] { return E::MakeTaskFunctions(id, *options, variant); }};
  };
  envs.Add(EnvEntry{id, std::move(summary), std::move(maker)});
}

// dm_control's, by domain and task.
void AddControlSuite(EnvRegistry& envs) {
  using dm_control::Acrobot;
  using dm_control::Cartpole;
  using dm_control::Finger;
  using dm_control::Quadruped;
  AddTask<DmControlAcrobot>(envs, "acrobot-swingup", "two links driven at the elbow, to be held on high",
                            Acrobot::Variant{});
  AddTask<DmControlAcrobot>(envs, "acrobot-swingup_sparse", "the same, rewarded at the target alone",
                            Acrobot::Variant{.sparse = true});
  AddTask<DmControlBallInCup>(envs, "ball_in_cup-catch", "cup that is to catch a ball on a string",
                              dm_control::BallInCup::Variant{});
  AddTask<DmControlCartpole>(envs, "cartpole-balance", "pole to be kept upright on a cart", Cartpole::Variant{});
  AddTask<DmControlCartpole>(envs, "cartpole-balance_sparse", "the same, rewarded upright in the middle alone",
                             Cartpole::Variant{.sparse = true});
  AddTask<DmControlCartpole>(envs, "cartpole-swingup", "pole hanging from a cart, to be swung up and balanced",
                             Cartpole::Variant{.swing_up = true});
  AddTask<DmControlCartpole>(envs, "cartpole-swingup_sparse", "the same, rewarded upright in the middle alone",
                             Cartpole::Variant{.swing_up = true, .sparse = true});
  AddTask<DmControlCheetah>(envs, "cheetah-run", "planar runner, to run at 10 m/s", dm_control::Cheetah::Variant{});
  AddTask<DmControlFinger>(envs, "finger-spin", "finger that is to keep a body spinning", Finger::Variant{});
  AddTask<DmControlFinger>(envs, "finger-turn_easy", "finger that is to turn a body to a target of 7 cm",
                           Finger::Variant{.target_radius = 0.07});
  AddTask<DmControlFinger>(envs, "finger-turn_hard", "the same with a target of 3 cm",
                           Finger::Variant{.target_radius = 0.03});
  AddTask<DmControlFish>(envs, "fish-swim", "fish that is to swim to a target", dm_control::Fish::Variant{});
  AddTask<DmControlHopper>(envs, "hopper-stand", "planar one-legged hopper, to stand", dm_control::Hopper::Variant{});
  AddTask<DmControlHopper>(envs, "hopper-hop", "planar one-legged hopper, to hop at 2 m/s",
                           dm_control::Hopper::Variant{.hop = true});
  AddTask<DmControlHumanoid>(envs, "humanoid-stand", "biped, to stand still", dm_control::Humanoid::Variant{});
  AddTask<DmControlHumanoid>(envs, "humanoid-walk", "biped, to walk at 1 m/s",
                             dm_control::Humanoid::Variant{.speed = 1});
  AddTask<DmControlHumanoid>(envs, "humanoid-run", "biped, to run at 10 m/s",
                             dm_control::Humanoid::Variant{.speed = 10});
  AddTask<DmControlPendulum>(envs, "pendulum-swingup", "rod to be swung up by a weak torque, rewarded upright alone",
                             dm_control::Pendulum::Variant{});
  AddTask<DmControlQuadruped>(envs, "quadruped-walk", "four-legged body, to walk at 0.5 m/s",
                              Quadruped::Variant{.speed = 0.5});
  AddTask<DmControlQuadruped>(envs, "quadruped-run", "four-legged body, to run at 5 m/s",
                              Quadruped::Variant{.speed = 5});
  AddTask<DmControlReacher>(envs, "reacher-easy", "planar two-joint arm that reaches for a target of 5 cm",
                            dm_control::Reacher::Variant{.target_radius = 0.05});
  AddTask<DmControlReacher>(envs, "reacher-hard", "the same with a target of 1.5 cm",
                            dm_control::Reacher::Variant{.target_radius = 0.015});
  AddTask<DmControlWalker>(envs, "walker-stand", "planar two-legged walker, to stand", dm_control::Walker::Variant{});
  AddTask<DmControlWalker>(envs, "walker-walk", "planar two-legged walker, to walk at 1 m/s",
                           dm_control::Walker::Variant{.speed = 1});
  AddTask<DmControlWalker>(envs, "walker-run", "planar two-legged walker, to run at 8 m/s",
                           dm_control::Walker::Variant{.speed = 8});
}

}  // namespace

EnvRegistry BuiltinEnvs() {
  EnvRegistry envs;
  envs.Add<AntEnv>("Ant-v5", "four-legged body, earns forward speed while it stands");
  envs.Add<HalfCheetahEnv>("HalfCheetah-v5", "planar runner, earns forward speed");
  envs.Add<HopperEnv>("Hopper-v5", "planar one-legged hopper, earns forward speed while it stands");
  envs.Add<HumanoidEnv>("Humanoid-v5", "biped, earns forward speed while it stands");
  envs.Add<HumanoidStandupEnv>("HumanoidStandup-v5", "biped on its back, to get up");
  envs.Add<InvertedDoublePendulumEnv>("InvertedDoublePendulum-v5",
                                      "two poles, one upon the other, to be balanced on a cart");
  envs.Add<InvertedPendulumEnv>("InvertedPendulum-v5", "pole to be balanced on a cart");
  envs.Add<PusherEnv>("Pusher-v5", "seven-joint arm that pushes a cylinder to a goal");
  envs.Add<ReacherEnv>("Reacher-v5", "planar two-joint arm that reaches for a target");
  envs.Add<SwimmerEnv>("Swimmer-v5", "three-link swimmer, earns forward speed");
  envs.Add<Walker2dEnv>("Walker2d-v5", "planar two-legged walker, earns forward speed while it stands");
  envs.Add<Pendulum>("Pendulum-v1", "rod to be swung up by a weak torque");
  envs.Add<CartPoleSwingUp>("CartPoleSwingUp-v0", "pole hanging from a cart, to be swung up and balanced");
  envs.Add<LinearQuadratic>("LinearQuadratic-v0", "two coupled masses to be brought to rest; its optimum is known");
  envs.Add<Fork>("Fork-v0", "point thrown to one of two sides, with a pit between them; its distribution is known");
  AddControlSuite(envs);
  return envs;
}

std::string NameInPaths(const std::string& env_id) {
  std::string name = env_id;
  std::replace(name.begin(), name.end(), '/', '-');
  return name;
}

void EnvRegistry::Add(EnvEntry entry) {
  if (Has(entry.id)) {
    throw std::logic_error("an environment named " + entry.id + " is registered already");
  }
  entry.maker = [maker = std::move(entry.maker)] {
    EnvMaker checked = maker();
    checked.make = [make = std::move(checked.make)] {
      std::unique_ptr<Env> env = make();
      CheckSpec(env->spec());
      return env;
    };
    return checked;
  };
  entries_.push_back(std::move(entry));
}

bool EnvRegistry::Has(const std::string& id) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const EnvEntry& entry) { return entry.id == id; });
}

std::vector<std::string> EnvRegistry::Ids() const {
  std::vector<std::string> ids;
  for (const EnvEntry& entry : entries_) {
    ids.push_back(entry.id);
  }
  return ids;
}

const EnvEntry& EnvRegistry::Find(const std::string& id) const {
  for (const EnvEntry& entry : entries_) {
    if (entry.id == id) {
      return entry;
    }
  }
  const std::vector<std::string> ids = Ids();
  const auto whole = std::find_if(ids.begin(), ids.end(), [&](const std::string& known) {
    return known.ends_with("/" + id);  // dm_control/walker-run for walker-run
  });
  const std::string nearest = whole != ids.end() ? *whole : NearestName(id, ids);
  std::string message = "no environment named " + id;
  if (!nearest.empty()) {
    message += "; did you mean " + nearest + "?";
  }
  message += nearest.empty() ? "; known:" : " Known:";
  for (const std::string& known : ids) {
    message += " " + known;
  }
  throw std::invalid_argument(message);
}

}  // namespace reverie
