#include <iostream>
#include <optional>

#include "commands.h"
#include "experiment.h"
#include "options.h"
#include "returns.h"

namespace reverie {
namespace {

struct EvalArguments {
  std::string run_dir;
  int64_t episodes = 10;
  int64_t seed = 0;
  bool new_starts = false;
  std::optional<std::string> start_states;
  bool json = false;
};

// "[[0, 1], [2, 3]]": as a config's env.start_states, which looks at them.
Env::States ReadStates(const std::string& text, const EnvMaker& maker) {
  Env::States states;
  Fields fields;
  fields("start_states", states, "states that episodes begin in");
  fields.Check([&states, &maker]() -> std::string {
    return states.empty() ? "expected at least one state" : StartStatesMisfit(states, maker);
  });
  ConfigDocument::FromText("start_states: " + text, "--start-states").ReadInto(fields);
  return states;
}

void Eval(const EvalArguments& arguments, const EnvRegistry& envs) {
  const TrainedRun run = LoadTrainedRun(arguments.run_dir, envs);
  EnvMaker env = run.maker.env().maker;
  if (arguments.new_starts || arguments.start_states) {
    env.make = [make = env.make,
                starts = arguments.start_states ? ReadStates(*arguments.start_states, env) : Env::States()] {
      std::unique_ptr<Env> made = make();
      made->SetStartStates(starts);
      return made;
    };
  }
  const EvalResult result =
      Evaluate(run.algorithm->policy(), env, Rng(static_cast<uint64_t>(arguments.seed)).Split("eval command"),
               arguments.episodes);
  if (arguments.json) {
    nlohmann::ordered_json json{{"env", run.maker.env().id}};
    AddReturns(result, json);
    std::cout << json.dump() << "\n";
    return;
  }
  std::cout << run.maker.env().id << ", " << ReturnsText(result) << "\n";
}

}  // namespace

void AddEvalCommand(CLI::App& program, const EnvRegistry& envs) {
  CLI::App* command = program.add_subcommand("eval", "Evaluate the newest policy of a run with the mean action");
  auto arguments = std::make_shared<EvalArguments>();
  command->add_option("run_dir", arguments->run_dir, "Folder of the run")->required();
  AddOption(*command, "--episodes", arguments->episodes, "Whole episodes", AtLeast(1));
  AddOption(*command, "--seed", arguments->seed, "Seed of the start states", AtLeast(0));
  CLI::Option* new_starts =
      command->add_flag("--new-starts", arguments->new_starts,
                        "From states that resets draw, whatever env.start_states and env.start_draws say");
  command
      ->add_option("--start-states", arguments->start_states,
                   "From these, one after the other, as \"[[0, 1], [2, 3]]\" for a task with a state of two numbers")
      ->excludes(new_starts);
  command->add_flag("--json", arguments->json, "One JSON object on stdout");
  command->callback([arguments, &envs] { Eval(*arguments, envs); });
}

}  // namespace reverie
