#include "reverie/run/run_directory.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "reverie/core/version.h"

namespace reverie {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

const char* Name(RunStatus status) {
  switch (status) {
    case RunStatus::kRunning:
      return "running";
    case RunStatus::kFinished:
      return "finished";
    case RunStatus::kInterrupted:
      return "interrupted";
    case RunStatus::kFailed:
      return "failed";
  }
  return "unknown";
}

void WriteWhole(const fs::path& path, const std::string& text) {
  fs::path temporary = path;
  temporary += ".partial";
  {
    std::ofstream file(temporary, std::ios::trunc);
    file << text << std::flush;
    if (!file) {
      throw std::runtime_error("cannot write " + temporary.string());
    }
  }
  fs::rename(temporary, path);
}

std::string Now() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text.data();
}

std::string HostName() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

}  // namespace

RunDirectory RunDirectory::Create(const fs::path& path, const std::string& config_yaml, const RunFacts& facts,
                                  bool overwrite) {
  if (fs::exists(path)) {
    if (!overwrite) {
      throw std::invalid_argument(path.string() + " exists already; go on with it by --resume, or replace it with " +
                                  "--overwrite");
    }
    if (!fs::exists(path / "run.json")) {
      throw std::invalid_argument(path.string() + " is not the folder of a run; --overwrite replaces only those");
    }
    fs::remove_all(path);
  }
  std::error_code error;
  fs::create_directories(path / "checkpoints", error);
  if (error) {
    throw std::runtime_error("cannot create the run directory " + path.string() + ": " + error.message());
  }
  WriteWhole(path / "config.yaml", config_yaml);
  Json json{{"version", Version()},
            {"git_revision", GitRevision()},
            {"algorithm", facts.algorithm},
            {"variant", facts.variant},
            {"env", facts.env},
            {"seed", facts.seed},
            {"device", facts.device},
            {"threads", facts.threads},
            {"host", HostName()},
            {"started", Now()}};
  for (const auto& [library, version] : LibraryVersions()) {
    json["libraries"][library] = version;
  }
  WriteWhole(path / "run.json", json.dump(2) + "\n");
  RunDirectory directory(path);
  directory.SetStatus(RunStatus::kRunning, "", 0, 0);
  return directory;
}

RunDirectory RunDirectory::Open(const fs::path& path) {
  if (!fs::exists(path / "run.json") || !fs::exists(path / "config.yaml")) {
    throw std::invalid_argument(path.string() + " is not the folder of a run: it has no run.json and config.yaml");
  }
  return RunDirectory(path);
}

void RunDirectory::SetStatus(RunStatus status, const std::string& reason, int64_t env_steps, double wall_s) const {
  std::ifstream file(path_ / "run.json");
  Json json = Json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    throw std::runtime_error((path_ / "run.json").string() + " cannot be read");
  }
  json["status"] = Name(status);
  json["reason"] = reason;
  json["env_steps"] = env_steps;
  json["wall_s"] = wall_s;
  json["updated"] = Now();
  WriteWhole(path_ / "run.json", json.dump(2) + "\n");
}

void RunDirectory::SaveCheckpoint(const StateTree& state, int64_t env_steps, int64_t keep) const {
  const std::string digits = std::to_string(env_steps);
  const std::string name = "step-" + std::string(12 - std::min<size_t>(12, digits.size()), '0') + digits + ".pt";
  state.SaveFile(path_ / "checkpoints" / name);
  const std::vector<fs::path> all = Checkpoints();
  for (size_t i = 0; i + static_cast<size_t>(keep) < all.size(); ++i) {
    fs::remove(all[i]);
  }
}

std::vector<fs::path> RunDirectory::Checkpoints() const {
  std::vector<fs::path> all;
  if (fs::exists(path_ / "checkpoints")) {
    for (const auto& entry : fs::directory_iterator(path_ / "checkpoints")) {
      if (entry.path().extension() == ".pt") {
        all.push_back(entry.path());
      }
    }
  }
  std::sort(all.begin(), all.end());
  return all;
}

std::optional<fs::path> RunDirectory::NewestCheckpoint() const {
  const std::vector<fs::path> all = Checkpoints();
  return all.empty() ? std::nullopt : std::optional(all.back());
}

}  // namespace reverie
