#include <iostream>
#include <stdexcept>

#include "commands.h"
#include "experiment.h"
#include "options.h"
#include "reverie/config/writer.h"

namespace reverie {
namespace {

struct ConfigArguments {
  std::string config;
  std::vector<ConfigAssignment> sets;
  bool reference = false;
};

// An environment for the reference, whose options stand for those of every other.
constexpr const char* kReferenceEnv = "Pendulum-v1";

void Config(const ConfigArguments& arguments, const EnvRegistry& envs) {
  if (arguments.reference == !arguments.config.empty() || (arguments.reference && !arguments.sets.empty())) {
    throw std::invalid_argument("config: expected a file, or --reference alone");
  }
  if (!arguments.reference) {
    std::cout << ToYaml(ReadExperiment(arguments.config, arguments.sets, envs).fields());
    return;
  }
  for (const AlgorithmEntry& entry : Algorithms()) {
    AlgorithmMaker maker = entry.maker(envs);
    ConfigDocument::FromText("algorithm: " + entry.name + "\nenv: {id: " + kReferenceEnv + "}\n", "reference")
        .ReadInto(maker.fields());
    std::cout << "# " << entry.name << ": " << entry.summary << "\n\n" << ToReference(maker.fields()) << "\n";
  }
}

}  // namespace

void AddConfigCommand(CLI::App& program, const EnvRegistry& envs) {
  CLI::App* command = program.add_subcommand("config", "Print a config with every key resolved, or explain every key");
  auto arguments = std::make_shared<ConfigArguments>();
  command->add_option("config", arguments->config, "YAML file");
  AddSets(*command, arguments->sets, "Override a key");
  command->add_flag("--reference", arguments->reference, "Every key of every algorithm: type, default, range, meaning");
  command->callback([arguments, &envs] { Config(*arguments, envs); });
}

}  // namespace reverie
