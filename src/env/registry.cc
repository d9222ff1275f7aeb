#include "reverie/env/registry.h"

#include <stdexcept>

#include "reverie/config/reader.h"

namespace reverie {

EnvRegistry BuiltinEnvs() {
  EnvRegistry envs;
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
