#include <iostream>
#include <stdexcept>

#include "commands.h"
#include "experiment.h"

namespace reverie {
namespace {

struct ExportArguments {
  std::string run_dir;
  std::string out;
};

void Export(const ExportArguments& arguments, const EnvRegistry& envs) {
  const std::filesystem::path out = arguments.out;
  if (out.extension() != ".pt") {
    throw std::invalid_argument("--out: expected a file name ending in .pt, got " + arguments.out);
  }
  const TrainedRun run = LoadTrainedRun(arguments.run_dir, envs);
  std::filesystem::path json = out;
  json.replace_extension(".json");
  ExportPolicyOf(*run.algorithm, out, json);
  std::cout << "wrote " << out.string() << " and " << json.string() << "\n";
}

}  // namespace

void AddExportCommand(CLI::App& program, const EnvRegistry& envs) {
  CLI::App* command =
      program.add_subcommand("export", "Write the newest policy of a run as TorchScript, and JSON beside it");
  auto arguments = std::make_shared<ExportArguments>();
  command->add_option("run_dir", arguments->run_dir, "Folder of the run")->required();
  command->add_option("--out", arguments->out, "policy.pt; the JSON file gets the same name")->required();
  command->callback([arguments, &envs] { Export(*arguments, envs); });
}

}  // namespace reverie
