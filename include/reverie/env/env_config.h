// The `env` section of a config: an id and the options of that environment.
#ifndef REVERIE_ENV_ENV_CONFIG_H_
#define REVERIE_ENV_ENV_CONFIG_H_

#include <string>

#include "reverie/config/fields.h"
#include "reverie/env/registry.h"

namespace reverie {

struct EnvConfig {
  // Borrows the registry, which must outlive this.
  explicit EnvConfig(const EnvRegistry& known) : registry(&known) {}

  const EnvRegistry* registry;
  std::string id;
  EnvMaker maker;  // of the environment `id` with the options read

  void Visit(Fields& fields);

 private:
  std::string maker_id_;
};

}  // namespace reverie

#endif  // REVERIE_ENV_ENV_CONFIG_H_
