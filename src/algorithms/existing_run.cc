#include "existing_run.h"

#include <filesystem>
#include <vector>

#include "reverie/config/writer.h"
#include "reverie/core/file.h"
#include "reverie/core/text.h"
#include "reverie/env/mujoco/simulation.h"

namespace reverie {
namespace {

// MujocoModelDigest of what a bare name means that no file of the user's has: one of Gymnasium's; "" where it has none
// either.
std::string DigestOfTasksOwn(const std::string& bare) {
  const std::filesystem::path file = MujocoModelPath(bare);
  std::error_code error;
  return std::filesystem::is_regular_file(file, error) ? MujocoModelDigest(file) : "";
}

}  // namespace

std::map<std::string, std::string> FileDigests(const AlgorithmMaker& maker) {
  std::map<std::string, std::string> digests;
  for (const auto& [key, file] : NamedFiles(maker.fields())) {
    digests.emplace(key, MujocoModelDigest(file));
  }
  return digests;
}

std::string ChangedFiles(const RunDirectory& run, const AlgorithmMaker& maker) {
  const std::map<std::string, std::string>& known = run.record().facts.files;
  std::vector<std::string> changed;
  for (const auto& [key, file] : NamedFiles(maker.fields())) {
    if (const auto before = known.find(key); before != known.end() && before->second != MujocoModelDigest(file)) {
      changed.push_back(key + ": " + file.string() + " is not what it was when " + run.path().string() + " was begun");
    }
  }
  return Joined(changed);
}

std::string DifferenceFrom(const RunDirectory& run, const AlgorithmMaker& maker, const EnvRegistry& envs,
                           const std::function<bool(const ConfigDifference&)>& may_change) {
  if (std::string changed = ChangedFiles(run, maker); !changed.empty()) {
    return changed;
  }
  ConfigDocument before = OpenConfig(run.config_path());
  const ConfigDocument now = ConfigDocument::FromText(ToYaml(maker.fields()), "this config");
  const std::map<std::string, std::filesystem::path> files = NamedFiles(maker.fields());
  std::vector<ConfigDifference> differences;
  for (const auto& [key, file] : files) {
    const std::string there = before.TextAt(key);
    if (there.empty()) {
      continue;
    }
    const std::filesystem::path place = WithHome(there);  // a bare name is another's, whatever lies here
    const bool is_it = run.record().facts.files.contains(key) ||
                       (place.has_parent_path() ? std::filesystem::absolute(place).lexically_normal() == file
                                                : DigestOfTasksOwn(there) == MujocoModelDigest(file));
    if (!is_it) {
      differences.push_back({.key = key, .there = there, .here = file.string()});
    }
    before.Set(key + "=" + YamlText(file.string()));  // the old one need not be there
  }
  for (const auto& [key, digest] : run.record().facts.files) {
    if (const std::string bare = now.TextAt(key); !files.contains(key) && !bare.empty()) {  // one of the task's own
      if (DigestOfTasksOwn(bare) != digest) {
        differences.push_back({.key = key, .there = before.TextAt(key), .here = bare});
      }
      before.Set(key + "=" + YamlText(bare), run.config_path().string());
    }
  }
  for (const ConfigDifference& one : ConfigDifferences(Resolved(before, envs), now)) {
    if (!may_change(one)) {
      differences.push_back(one);
    }
  }
  return differences.empty() ? ""
                             : run.path().string() + " was begun with another config: " + DifferencesText(differences);
}

}  // namespace reverie
