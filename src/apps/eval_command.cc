#include <algorithm>
#include <iostream>

#include "commands.h"
#include "experiment.h"
#include "options.h"
#include "returns.h"
#include "start_options.h"

namespace reverie {
namespace {

struct EvalArguments {
  std::string run_dir;
  int64_t episodes = 10;
  int64_t seed = 0;
  StartOptions starts;
  bool json = false;
};

void Eval(const EvalArguments& arguments, const EnvRegistry& envs) {
  const TrainedRun run = LoadTrainedRun(arguments.run_dir, envs);
  const EnvMaker env = arguments.starts.Of(run.maker.env().maker);
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
  if (const size_t starts = env.make()->start_states().size(); starts > 0) {
    std::cout << "from " << std::min(starts, static_cast<size_t>(arguments.episodes)) << " of " << starts
              << " start states, one after the other (--new-starts: from states that resets draw)\n";
  }
}

}  // namespace

void AddEvalCommand(CLI::App& program, const EnvRegistry& envs) {
  CLI::App* command = program.add_subcommand("eval", "Evaluate the newest policy of a run with the mean action");
  auto arguments = std::make_shared<EvalArguments>();
  command->add_option("run_dir", arguments->run_dir, "Folder of the run")->required();
  AddOption(*command, "--episodes", arguments->episodes, "Whole episodes", AtLeast(1));
  AddOption(*command, "--seed", arguments->seed, "Seed of the resets", AtLeast(0));
  arguments->starts.AddTo(*command);
  command->add_flag("--json", arguments->json, "One JSON object on stdout");
  command->callback([arguments, &envs] { Eval(*arguments, envs); });
}

}  // namespace reverie
