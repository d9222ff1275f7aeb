// Options, spaces, times and start states of every task that Gymnasium has, against Gymnasium itself.
#include <gtest/gtest.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "reverie/config/writer.h"
#include "reverie/core/rng.h"
#include "reverie/env/registry.h"

namespace reverie {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

json ScalarToJson(const YAML::Node& node) {
  const std::string& text = node.Scalar();
  if (node.Tag() == "!") {  // quoted
    return text;
  }
  if (text == "true" || text == "false") {
    return text == "true";
  }
  double number = 0;
  std::istringstream in(text);
  return in >> number && in.eof() ? json(number) : json(text);
}

json OptionsToJson(const EnvMaker& maker) {
  json options = json::object();
  for (const auto& pair : YAML::Load(ToYaml(maker.options()))) {
    json& value = options[pair.first.Scalar()];
    if (pair.second.IsSequence()) {
      for (const YAML::Node& element : pair.second) {
        value.push_back(ScalarToJson(element));
      }
    } else {
      value = ScalarToJson(pair.second);
    }
  }
  return options;
}

// The simulation's state right after a reset: a snapshot of MuJoCo begins with the time.
void WriteResets(const EnvMaker& maker, const fs::path& path) {
  const std::unique_ptr<Env> env = maker.make();
  const size_t state_size = env->spec().state_names.size();
  const size_t begin = env->spec().id == "Pendulum-v1" ? 0 : 1;
  std::vector<double> obs(env->spec().obs_low.size());
  RandomEngine rng = Rng(31).Engine();
  std::ofstream file(path);
  file.precision(17);
  for (int i = 0; i < 3000; ++i) {
    env->Reset(rng, obs);
    const std::vector<double> snapshot = env->Snapshot();
    for (size_t j = 0; j < state_size; ++j) {
      file << (j > 0 ? "," : "") << snapshot[begin + j];
    }
    file << "\n";
  }
}

TEST(GymnasiumFacts, OptionsSpacesTimesAndResetsAreGymnasiums) {
  const fs::path folder = fs::temp_directory_path() / ("reverie-facts-" + std::to_string(getpid()));
  fs::create_directories(folder);
  json facts = json::object();
  const EnvRegistry envs = BuiltinEnvs();
  for (const EnvEntry& entry : envs.entries()) {
    if (entry.id.ends_with("-v0") || entry.id.starts_with("dm_control/")) {  // none of Gymnasium's
      continue;
    }
    const EnvMaker maker = entry.maker();
    const EnvSpec spec = maker.make()->spec();
    facts[entry.id] = {{"options", OptionsToJson(maker)},
                       {"action_low", spec.action_low},
                       {"action_high", spec.action_high},
                       {"obs_dim", spec.obs_dim()},
                       {"dt", spec.dt},
                       {"time_limit", spec.time_limit}};
    WriteResets(maker, folder / (entry.id + ".csv"));
  }
  EXPECT_EQ(facts.size(), 12);
  std::ofstream(folder / "facts.json") << facts.dump();
  const std::string command = "cd " + folder.string() + " && " + REVERIE_TEST_PYTHON + " " + REVERIE_SOURCE_DIR +
                              "/tests/env/gymnasium_facts.py . > out.txt 2>&1";
  const int status = std::system(command.c_str());
  std::stringstream out;
  out << std::ifstream(folder / "out.txt").rdbuf();
  EXPECT_EQ(status, 0) << out.str();
  fs::remove_all(folder);
}

}  // namespace
}  // namespace reverie
