// Where a command's episodes begin.
#ifndef REVERIE_SRC_APPS_START_OPTIONS_H_
#define REVERIE_SRC_APPS_START_OPTIONS_H_

#include <memory>
#include <optional>
#include <string>

#include "options.h"
#include "reverie/config/reader.h"
#include "reverie/env/env_config.h"

namespace reverie {

struct StartOptions {
  bool new_starts = false;
  std::optional<std::string> states;

  // Adds --new-starts and --start-states.
  void AddTo(CLI::App& command) {
    CLI::Option* fresh = command.add_flag(
        "--new-starts", new_starts, "From states that resets draw, whatever env.start_states and env.start_draws say");
    command
        .add_option("--start-states", states,
                    "From these, one after the other, as \"[[0, 1], [2, 3]]\" for a task with a state of two numbers")
        ->excludes(fresh);
  }

  // An environment of the run's whose episodes begin there.
  EnvMaker Of(const EnvMaker& maker) const {
    EnvMaker from = maker;
    if (new_starts || states) {
      from.make = [make = maker.make, starts = states ? Read(*states, maker) : Env::States()] {
        std::unique_ptr<Env> made = make();
        made->SetStartStates(starts);
        return made;
      };
    }
    return from;
  }

 private:
  // As a config's env.start_states, which looks at them.
  static Env::States Read(const std::string& text, const EnvMaker& maker) {
    Env::States read;
    Fields fields;
    fields("start_states", read, "states that episodes begin in");
    fields.Check([&read, &maker]() -> std::string {
      return read.empty() ? "expected at least one state" : StartStatesMisfit(read, maker);
    });
    ConfigDocument::FromText("start_states: " + text, "--start-states").ReadInto(fields);
    return read;
  }
};

}  // namespace reverie

#endif  // REVERIE_SRC_APPS_START_OPTIONS_H_
