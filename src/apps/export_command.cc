#include <iostream>
#include <stdexcept>

#include "commands.h"
#include "experiment.h"
#include "reverie/core/text.h"

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
  std::vector<std::string> written;
  for (const std::filesystem::path& file : run.algorithm->Export(out)) {
    written.push_back(file.string());
  }
  std::cout << "wrote " << Joined(written) << "\n";
}

}  // namespace

void AddExportCommand(CLI::App& program, const EnvRegistry& envs) {
  CLI::App* command = program.add_subcommand(
      "export", "Write the newest policy of a run as TorchScript, and a network's as JSON beside it");
  auto arguments = std::make_shared<ExportArguments>();
  command->add_option("run_dir", arguments->run_dir, "Folder of the run")->required();
  command->add_option("--out", arguments->out, "policy.pt; a JSON file gets the same name")->required();
  command->callback([arguments, &envs] { Export(*arguments, envs); });
}

}  // namespace reverie
