// The keys that every config has.
#ifndef REVERIE_RUN_RUN_CONFIG_H_
#define REVERIE_RUN_RUN_CONFIG_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "reverie/config/fields.h"

namespace reverie {

struct RunConfig {
  struct Eval {
    int64_t every_steps = 1000;
    int64_t episodes = 10;
    void Visit(Fields& fields);
  };
  struct Checkpoint {
    int64_t every_steps = 10'000;
    int64_t keep = 2;
    void Visit(Fields& fields);
  };
  struct Log {
    int64_t every_steps = 1000;
    void Visit(Fields& fields);
  };

  bool explores = true;  // by uniform actions at first: false where an algorithm's own controller does

  std::string algorithm;
  std::string variant;
  int64_t seed = 0;
  int64_t total_steps = 100'000;
  int64_t exploration_steps = 5000;
  std::string device = "auto";
  std::optional<int64_t> threads;
  Eval eval;
  Checkpoint checkpoint;
  Log log;

  void Visit(Fields& fields);

  // The threads that the config says; nothing where it leaves them open (auto, or 0).
  std::optional<int64_t> NamedThreads() const { return threads.value_or(0) > 0 ? threads : std::nullopt; }

  // Whether a key says how a run is computed and not what.
  static bool SaysHow(std::string_view key) { return key == "device" || key == "threads"; }
};

}  // namespace reverie

#endif  // REVERIE_RUN_RUN_CONFIG_H_
