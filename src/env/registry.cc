#include "reverie/env/registry.h"

#include <stdexcept>

#include "reverie/config/reader.h"
#include "reverie/env/mujoco/half_cheetah.h"
#include "reverie/env/mujoco/hopper.h"
#include "reverie/env/mujoco/inverted_pendulum.h"

namespace reverie {

EnvRegistry BuiltinEnvs() {
  EnvRegistry envs;
  envs.Add<HalfCheetahEnv>("HalfCheetah-v5", "planar runner, earns forward speed");
  envs.Add<HopperEnv>("Hopper-v5", "planar one-legged hopper, earns forward speed while it stands");
  envs.Add<InvertedPendulumEnv>("InvertedPendulum-v5", "pole to be balanced on a cart");
  return envs;
}

void EnvRegistry::Add(EnvEntry entry) {
  if (Has(entry.id)) {
    throw std::logic_error("an environment named " + entry.id + " is registered already");
  }
  entries_.push_back(std::move(entry));
}

bool EnvRegistry::Has(const std::string& id) const {
  for (const EnvEntry& entry : entries_) {
    if (entry.id == id) {
      return true;
    }
  }
  return false;
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
  message += " Known:";
  for (const std::string& known : Ids()) {
    message += " " + known;
  }
  throw std::invalid_argument(message);
}

}  // namespace reverie
