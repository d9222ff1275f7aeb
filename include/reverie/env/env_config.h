// The `env` section of a config: an id and the options of that environment.
#ifndef REVERIE_ENV_ENV_CONFIG_H_
#define REVERIE_ENV_ENV_CONFIG_H_

#include <memory>
#include <optional>
#include <string>

#include "reverie/config/fields.h"
#include "reverie/env/observed_env.h"
#include "reverie/env/registry.h"

namespace reverie {

struct EnvConfig {
  // Borrows the registry, which must outlive this.
  explicit EnvConfig(const EnvRegistry& known) : registry(&known) {}

  const EnvRegistry* registry;
  std::string id;
  // As in gymnasium.make: steps after which an episode is truncated, instead of the environment's own limit.
  std::optional<int64_t> max_episode_steps;
  // States that episodes begin in, as Env::SetState takes them, or how many of them are drawn as resets draw them, once
  // and the same whatever the run's seed is. Neither: every reset draws its own.
  Env::States start_states;
  int64_t start_draws = 0;
  ObserveConfig observe;
  EnvMaker maker;  // of the environment `id` with all that was read

  // A file that an option names has to fit the environment, which is made to see that.
  void Visit(Fields& fields);

  // How observations and actions differ in number from what they are with the environment's own files, as a sentence;
  // "" where they do not, or no option names another file.
  std::string UnlikeItsOwn() const;

 private:
  bool NamesAFileOfTheUsers() const;
  Env::States DrawnStates() const;
  // Lets what `maker` makes be observed as `observe` says; returns why it cannot be, or "".
  std::string UseObserve();
  // Gives the states to what `maker` makes; returns what is wrong with them, or "".
  std::string UseStartStates(const Env::States& states);

  std::string maker_id_;
  EnvMaker own_;  // of `maker_id_`, without the limit, what is observed and the states
  // Of what `maker` makes, that of copies too: of them all the last that was read says.
  std::shared_ptr<Env::States> starts_ = std::make_shared<Env::States>();
  std::shared_ptr<ObserveConfig> observed_ = std::make_shared<ObserveConfig>();
};

// Why episodes of that environment cannot begin in those states, or "".
std::string StartStatesMisfit(const Env::States& states, const EnvMaker& maker);

}  // namespace reverie

#endif  // REVERIE_ENV_ENV_CONFIG_H_
