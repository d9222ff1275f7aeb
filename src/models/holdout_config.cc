#include "reverie/models/holdout_config.h"

namespace reverie {

void HoldoutConfig::Visit(Fields& fields, const std::function<void()>& check_ratio) {
  fields("holdout_ratio", ratio, "share of the rows held out in a fit; 0: none, a fit makes max_epochs",
         Between(0, 0.9));
  if (check_ratio) {
    check_ratio();
  }
  fields.When({.key = "model.holdout_ratio", .wanted = "above 0", .holds = [this] { return ratio > 0; }}, [&] {
    fields("max_holdout", most, "most rows held out in a fit", AtLeast(1));
    fields("patience", patience, "epochs in a row without improvement after which a fit goes on; one more ends it",
           AtLeast(0));
  });
  fields("max_epochs", max_epochs, "most epochs of one fit; 0: no limit", AtLeast(0));
  fields.Check([this] { return max_epochs > 0 || ratio > 0; },
               "at least 1, as holdout_ratio 0 leaves nothing else to end a fit");
}

std::string HoldoutConfig::LacksOf(int64_t rows) const {
  return rows < LeastRows() ? "a first fit needs " + std::to_string(LeastRows()) +
                                  " transitions, one of them held out, and gets " + std::to_string(rows) +
                                  ": raise exploration_steps or replay_capacity, or set model.holdout_ratio to 0"
                            : "";
}

}  // namespace reverie
