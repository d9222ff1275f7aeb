#include "reverie/algorithms/registry.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "reverie/algorithms/constrained_control.h"
#include "reverie/algorithms/dagger.h"
#include "reverie/algorithms/dhmbpo.h"
#include "reverie/algorithms/gps.h"
#include "reverie/algorithms/ilqr.h"
#include "reverie/algorithms/local_models.h"
#include "reverie/algorithms/mbpo.h"
#include "reverie/algorithms/pets.h"
#include "reverie/algorithms/plato.h"
#include "reverie/algorithms/sac.h"
#include "reverie/algorithms/svg.h"
#include "reverie/config/writer.h"
#include "reverie/core/text.h"
#include "reverie/run/run_directory.h"

namespace reverie {
namespace {

// Room: a class with a nested Config (constructed from the known environments, with members `run` and `env`) and a
// constructor from (config, device).
template <class Room>
AlgorithmEntry EntryOf(std::string name, std::string summary) {
  return {std::move(name), std::move(summary), [](const EnvRegistry& envs) {
            auto config = std::make_shared<typename Room::Config>(envs);
            return AlgorithmMaker{.fields = [config] { return Fields::Of(*config); },
                                  .run = [config]() -> RunConfig& { return config->run; },
                                  .env = [config]() -> const EnvConfig& { return config->env; },
                                  .make = [config](const torch::Device& device) -> std::unique_ptr<Algorithm> {
                                    return std::make_unique<Room>(*config, device);
                                  }};
          }};
}

}  // namespace

const std::vector<AlgorithmEntry>& Algorithms() {
  static const std::vector<AlgorithmEntry> kTable{
      EntryOf<ConstrainedControl>("constrained_control",
                                  "trajectories that a network can follow (Mordatch and Todorov 2014)"),
      EntryOf<Dagger>("dagger", "imitation of a controller on the imitator's own states (Ross et al. 2011)"),
      EntryOf<Dhmbpo>("dhmbpo", "double-horizon model-based policy optimisation (Kubo et al. 2025)"),
      EntryOf<Gps>("gps", "a network guided by local controllers (Montgomery and Levine 2016)"),
      EntryOf<IlqrControl>("ilqr", "optimal control of a learned model (iLQR: Li and Todorov 2004)"),
      EntryOf<LocalModels>("local_models",
                           "linear-Gaussian controllers through locally fitted dynamics (Levine and Abbeel 2014)"),
      EntryOf<Mbpo>("mbpo", "model-based policy optimisation (Janner et al. 2019)"),
      EntryOf<Pets>("pets", "planning through a learned model (PETS: Chua et al. 2018)"),
      EntryOf<Plato>("plato", "imitation of a controller that adapts to the imitator (PLATO: Kahn et al. 2017)"),
      EntryOf<Sac>("sac", "soft actor-critic (Haarnoja et al. 2018)"),
      EntryOf<Svg>("svg", "stochastic value gradients (Heess et al. 2015), with an entropy (Amos et al. 2021)"),
  };
  return kTable;
}

ConfigDocument OpenConfig(const std::filesystem::path& file) {
  ConfigDocument document = ConfigDocument::FromFile(file);
  if (std::filesystem::exists(file.parent_path() / "run.json")) {
    const RunRecord record = RunDirectory::Open(file.parent_path()).record();
    document.WrittenBy("Reverie " + record.version + " (git " + record.git_revision + ")");
  }
  return document;
}

ConfigDocument Resolved(const ConfigDocument& document, const EnvRegistry& envs) {
  return ConfigDocument::FromText(ToYaml(ReadAlgorithm(document, envs).fields()), "the resolved config");
}

AlgorithmMaker ReadAlgorithm(const ConfigDocument& document, const EnvRegistry& envs) {
  if (const std::vector<std::string> keys = document.Keys();
      document.TextAt("algorithm").empty() && std::find(keys.begin(), keys.end(), "base") != keys.end()) {
    throw std::invalid_argument(document.Where("base") +
                                ": base: is a key of a sweep's file; a config has an algorithm");
  }
  const std::string name = document.RequiredString("algorithm");
  for (const AlgorithmEntry& entry : Algorithms()) {
    if (entry.name == name) {
      AlgorithmMaker maker = entry.maker(envs);
      document.ReadInto(maker.fields());
      return maker;
    }
  }
  std::vector<std::string> known;
  for (const AlgorithmEntry& entry : Algorithms()) {
    known.push_back(entry.name);
  }
  throw std::invalid_argument(document.Where("algorithm") + ": algorithm: expected one of " + Joined(known) + ", got " +
                              name);
}

}  // namespace reverie
