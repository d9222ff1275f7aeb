#include "reverie/env/registry.h"

#include <algorithm>
#include <stdexcept>

#include "reverie/config/reader.h"
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
#include "reverie/env/toy/linear_quadratic.h"
#include "reverie/env/toy/pendulum.h"

namespace reverie {

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
  return envs;
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
  const std::string nearest = NearestName(id, Ids());
  std::string message = "no environment named " + id;
  if (!nearest.empty()) {
    message += "; did you mean " + nearest + "?";
  }
  message += nearest.empty() ? "; known:" : " Known:";
  for (const std::string& known : Ids()) {
    message += " " + known;
  }
  throw std::invalid_argument(message);
}

}  // namespace reverie
