// Environments by name.
//
//   EnvRegistry envs = BuiltinEnvs();
//   envs.Add<MyEnv>("MyEnv-v0", "what it is");
//
// where MyEnv is an Env with a nested `Options` struct (its fields listed by Visit), a constructor from (id, options),
// and `static TaskFunctions MakeTaskFunctions(const Options&)`. What else Add is given, both take after the options:
// one class makes several tasks.
#ifndef REVERIE_ENV_REGISTRY_H_
#define REVERIE_ENV_REGISTRY_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/env/env.h"
#include "reverie/env/task_functions.h"

namespace reverie {

// One environment with one set of options: reads them, then makes as many equal copies as asked.
class EnvMaker {
 public:
  // The options, to be read or written. Borrows from this object.
  std::function<Fields()> options;
  std::function<std::unique_ptr<Env>()> make;  // throws std::invalid_argument where such a one cannot be
  std::function<TaskFunctions()> task_functions;
};

struct EnvEntry {
  std::string id;
  std::string summary;              // one line
  std::function<EnvMaker()> maker;  // with every option at its default
};

class EnvRegistry {
 public:
  // Throws std::logic_error where the id is taken. What it makes is looked at with CheckSpec.
  void Add(EnvEntry entry);

  template <class E, class... Variant>
  void Add(std::string id, std::string summary, Variant... variant) {
    auto maker = [id, variant...] {
      auto options = std::make_shared<typename E::Options>();
      return EnvMaker{.options = [options] { return Fields::Of(*options); },
                      .make = [options, id, variant...]() -> std::unique_ptr<Env> {
                        return std::make_unique<E>(id, *options, variant...);
                      },
                      .task_functions = [options, variant...] { return E::MakeTaskFunctions(*options, variant...); }};
    };
    Add(EnvEntry{std::move(id), std::move(summary), std::move(maker)});
  }

  // Throws std::invalid_argument naming all known ids, and the nearest, where there is none of that name.
  const EnvEntry& Find(const std::string& id) const;
  bool Has(const std::string& id) const;
  std::vector<std::string> Ids() const;
  const std::vector<EnvEntry>& entries() const { return entries_; }

 private:
  std::vector<EnvEntry> entries_;
};

// The id as the name of one file or folder, or a part of one: "dm_control/walker-run" is "dm_control-walker-run".
std::string NameInPaths(const std::string& env_id);

// Every environment that comes with Reverie; the table is in src/env/registry.cc.
EnvRegistry BuiltinEnvs();

}  // namespace reverie

#endif  // REVERIE_ENV_REGISTRY_H_
