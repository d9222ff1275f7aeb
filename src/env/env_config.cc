#include "reverie/env/env_config.h"

#include <stdexcept>

namespace reverie {

void EnvConfig::Visit(Fields& fields) {
  fields.Required("id", id, "the environment; `reverie envs` lists them");
  fields.Check([this]() -> std::string {
    try {
      registry->Find(id);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  });
  fields("max_episode_steps", max_episode_steps,
         "steps after which an episode is truncated; auto: the environment's own limit", AtLeast(1));
  fields.Late(
      "options",
      [this] {
        if (maker_id_ != id) {
          own_ = registry->Find(id).maker();
          maker_id_ = id;
        }
        maker = own_;
        if (max_episode_steps) {
          maker.make = [make = own_.make, steps = *max_episode_steps] {
            std::unique_ptr<Env> env = make();
            env->SetTimeLimit(steps);
            return env;
          };
        }
        return maker.options();
      },
      "constructor options of the environment; `reverie envs ID` lists them");
}

}  // namespace reverie
