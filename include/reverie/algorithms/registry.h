// Algorithms by name.
#ifndef REVERIE_ALGORITHMS_REGISTRY_H_
#define REVERIE_ALGORITHMS_REGISTRY_H_

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "reverie/algorithms/algorithm.h"
#include "reverie/config/fields.h"
#include "reverie/config/reader.h"
#include "reverie/env/env_config.h"
#include "reverie/run/run_config.h"

namespace reverie {

// One algorithm with its whole config: reads it, then makes the algorithm.
struct AlgorithmMaker {
  std::function<Fields()> fields;  // the whole file; borrows from this object
  std::function<RunConfig&()> run;
  std::function<const EnvConfig&()> env;
  std::function<std::unique_ptr<Algorithm>(const torch::Device& device)> make;
};

struct AlgorithmEntry {
  std::string name;
  std::string summary;
  std::function<AlgorithmMaker(const EnvRegistry& envs)> maker;  // with every key at its default
};

// The table is in src/algorithms/registry.cc.
const std::vector<AlgorithmEntry>& Algorithms();

// A config's file. That of a run, which lies beside its run.json, may list keys that are not read, as older versions
// wrote them. Throws std::invalid_argument as ConfigDocument does.
ConfigDocument OpenConfig(const std::filesystem::path& file);

// The algorithm that the document asks for, its config read strictly. `envs` must outlive the result.
// Throws std::invalid_argument as ConfigDocument does; an unknown algorithm is answered with all known ones.
AlgorithmMaker ReadAlgorithm(const ConfigDocument& document, const EnvRegistry& envs);

// The document as a run would write it: every key that is read, with its value. Throws as ReadAlgorithm does.
ConfigDocument Resolved(const ConfigDocument& document, const EnvRegistry& envs);

}  // namespace reverie

#endif  // REVERIE_ALGORITHMS_REGISTRY_H_
