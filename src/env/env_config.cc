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
  fields.Late(
      "options",
      [this] {
        if (maker_id_ != id) {
          maker = registry->Find(id).maker();
          maker_id_ = id;
        }
        return maker.options();
      },
      "constructor options of the environment; `reverie envs ID` lists them");
}

}  // namespace reverie
