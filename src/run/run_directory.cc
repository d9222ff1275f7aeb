#include "reverie/run/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "reverie/core/file.h"
#include "reverie/core/log.h"
#include "reverie/core/version.h"

namespace reverie {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kRecordFile = "run.json";
constexpr const char* kCheckpointFolder = "checkpoints";
constexpr std::string_view kStepPrefix = "step-";
constexpr std::string_view kCheckpointSuffix = ".pt";

std::string UtcNow() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

std::string HostName() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

// What is true of this process rather than of the run.
void DescribeProcess(const RunFacts& facts, RunRecord& record) {
  record.version = Version();
  record.git_revision = GitRevision();
  record.facts = facts;
  record.libraries = LibraryVersions();
  record.hostname = HostName();
  record.status = RunStatus::kRunning;
  record.reason.clear();
}

constexpr std::array<std::pair<RunStatus, const char*>, 4> kStatusNames = {{{RunStatus::kRunning, "running"},
                                                                            {RunStatus::kFinished, "finished"},
                                                                            {RunStatus::kInterrupted, "interrupted"},
                                                                            {RunStatus::kFailed, "failed"}}};

RunStatus ParseStatus(const std::string& text) {
  for (const auto& [status, name] : kStatusNames) {
    if (text == name) {
      return status;
    }
  }
  throw std::invalid_argument("status: " + text + ": expected running, finished, interrupted or failed");
}

// Throws std::invalid_argument where there is none of ours.
RunRecord ReadRecord(const fs::path& path) {
  const fs::path file_path = path / kRecordFile;
  std::ifstream file(file_path);
  if (!file) {
    throw std::invalid_argument(path.string() + " is not the folder of a run: it has no run.json");
  }
  RunRecord record;
  try {
    const Json json = Json::parse(file);
    json.at("version").get_to(record.version);
    json.at("git_revision").get_to(record.git_revision);
    json.at("algorithm").get_to(record.facts.algorithm);
    json.at("env").get_to(record.facts.env);
    json.at("variant").get_to(record.facts.variant);
    json.at("seed").get_to(record.facts.seed);
    json.at("device").get_to(record.facts.device);
    json.at("threads").get_to(record.facts.threads);
    for (const auto& [name, version] : json.at("libraries").items()) {
      record.libraries.emplace_back(name, version.get<std::string>());
    }
    json.at("hostname").get_to(record.hostname);
    json.at("started").get_to(record.started);
    json.at("resumed").get_to(record.resumed);
    record.status = ParseStatus(json.at("status").get<std::string>());
    json.at("reason").get_to(record.reason);
    json.at("env_steps").get_to(record.env_steps);
    json.at("wall_s").get_to(record.wall_s);
  } catch (const Json::exception& error) {
    throw std::invalid_argument(file_path.string() + " does not describe a run: " + error.what());
  }
  return record;
}

bool IsRun(const fs::path& path) {
  try {
    ReadRecord(path);
    return true;
  } catch (const std::invalid_argument&) {
    return false;
  }
}

// A descriptor of the folder, locked against other runs until it is closed. A file system without locks leaves it
// unlocked.
int LockFolder(const fs::path& path) {
  const int folder = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) {
    throw std::runtime_error("cannot open " + path.string());
  }
  if (flock(folder, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    close(folder);
    throw std::invalid_argument(path.string() + " belongs to a run that is still going on");
  }
  return folder;
}

std::string StepName(int64_t env_step) {
  std::array<char, 32> digits{};
  std::snprintf(digits.data(), digits.size(), "%09lld", static_cast<long long>(env_step));
  return std::string(kStepPrefix) + digits.data() + std::string(kCheckpointSuffix);
}

// Checkpoints with their steps, oldest first.
std::vector<std::pair<int64_t, fs::path>> Checkpoints(const fs::path& run) {
  std::vector<std::pair<int64_t, fs::path>> found;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(run / kCheckpointFolder, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kStepPrefix) || !name.ends_with(kCheckpointSuffix)) {
      continue;
    }
    const std::string digits =
        name.substr(kStepPrefix.size(), name.size() - kStepPrefix.size() - kCheckpointSuffix.size());
    if (digits.size() >= 9 && digits.size() <= 18 &&
        std::all_of(digits.begin(), digits.end(), [](unsigned char c) { return std::isdigit(c) != 0; })) {
      found.emplace_back(std::stoll(digits), entry.path());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

void SaveState(const StateTree& state, const fs::path& path) {
  try {
    state.SaveFile(path);
  } catch (...) {
    fs::path partial = path;
    partial += ".partial";
    std::error_code error;
    fs::remove(partial, error);
    throw;
  }
}

}  // namespace

const char* Name(RunStatus status) { return kStatusNames.at(static_cast<size_t>(status)).second; }

fs::path RunDirectory::DefaultPath(const RunFacts& facts) {
  return fs::path("runs") / (facts.algorithm + "-" + facts.env) / ("seed-" + std::to_string(facts.seed));
}

RunDirectory::RunDirectory(fs::path path, RunRecord record, int lock)
    : path_(std::move(path)), record_(std::move(record)), lock_(lock) {}

RunDirectory::RunDirectory(RunDirectory&& other) noexcept
    : path_(std::move(other.path_)), record_(std::move(other.record_)), lock_(std::exchange(other.lock_, -1)) {}

RunDirectory& RunDirectory::operator=(RunDirectory&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(record_, other.record_);
  std::swap(lock_, other.lock_);
  return *this;
}

RunDirectory::~RunDirectory() {
  if (lock_ >= 0) {
    StopLogToFile();
    close(lock_);
  }
}

RunDirectory RunDirectory::Create(const fs::path& path, const std::string& config_yaml, const RunFacts& facts,
                                  bool overwrite) {
  try {
    const bool exists = fs::exists(fs::symlink_status(path));
    if (exists && !overwrite) {
      throw std::invalid_argument(path.string() + " exists already; go on with it by --resume, or replace it with " +
                                  "--overwrite");
    }
    if (exists && !IsRun(path)) {
      throw std::invalid_argument(path.string() + " is not the folder of a run; --overwrite replaces only those");
    }
    fs::create_directories(path);
    RunRecord record;
    DescribeProcess(facts, record);
    record.started = UtcNow();
    RunDirectory directory(path, std::move(record), LockFolder(path));
    if (exists) {
      for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
        fs::remove_all(entry.path());
      }
    }
    directory.WriteRecord();
    WriteFileWhole(directory.config_path(), config_yaml);
    fs::create_directory(path / kCheckpointFolder);
    LogToFile(path / "log.txt");
    return directory;
  } catch (const fs::filesystem_error& error) {
    throw std::runtime_error("cannot create the run directory " + path.string() + ": " + error.code().message());
  }
}

RunDirectory RunDirectory::Open(const fs::path& path) { return {path, ReadRecord(path), -1}; }

bool RunDirectory::InUse(const fs::path& path) {
  const int folder = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) {
    return false;
  }
  const bool in_use = flock(folder, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  close(folder);
  return in_use;
}

RunDirectory RunDirectory::Resume(const fs::path& path, const RunFacts& facts) {
  RunDirectory directory = Open(path);
  if (!directory.NewestCheckpoint()) {
    throw std::invalid_argument(path.string() + " has no checkpoint to go on from; --overwrite begins it anew");
  }
  directory.lock_ = LockFolder(path);
  DescribeProcess(facts, directory.record_);
  directory.record_.resumed.push_back(UtcNow());
  directory.WriteRecord();
  LogToFile(path / "log.txt");
  return directory;
}

void RunDirectory::SetStatus(RunStatus status, const std::string& reason, int64_t env_steps, double wall_s) {
  record_.status = status;
  record_.reason = reason;
  record_.env_steps = env_steps;
  record_.wall_s = wall_s;
  WriteRecord();
}

void RunDirectory::SaveCheckpoint(const StateTree& state, int64_t env_steps, int64_t keep) const {
  SaveState(state, path_ / kCheckpointFolder / StepName(env_steps));
  const auto checkpoints = Checkpoints(path_);
  for (size_t i = 0; i + static_cast<size_t>(keep) < checkpoints.size(); ++i) {
    std::error_code error;
    fs::remove(checkpoints[i].second, error);
    if (error) {
      LogWarning("cannot remove the old checkpoint " + checkpoints[i].second.string() + ": " + error.message());
    }
  }
}

void RunDirectory::SaveFailedState(const StateTree& state, int64_t env_steps) const {
  SaveState(state, path_ / kCheckpointFolder / ("failed-" + StepName(env_steps)));
}

std::optional<fs::path> RunDirectory::NewestCheckpoint() const {
  const auto checkpoints = Checkpoints(path_);
  return checkpoints.empty() ? std::nullopt : std::optional(checkpoints.back().second);
}

void RunDirectory::WriteRecord() const {
  Json libraries = Json::object();
  for (const auto& [name, version] : record_.libraries) {
    libraries[name] = version;
  }
  const Json json = {{"version", record_.version},
                     {"git_revision", record_.git_revision},
                     {"algorithm", record_.facts.algorithm},
                     {"env", record_.facts.env},
                     {"variant", record_.facts.variant},
                     {"seed", record_.facts.seed},
                     {"device", record_.facts.device},
                     {"threads", record_.facts.threads},
                     {"libraries", libraries},
                     {"hostname", record_.hostname},
                     {"started", record_.started},
                     {"resumed", record_.resumed},
                     {"status", Name(record_.status)},
                     {"reason", record_.reason},
                     {"env_steps", record_.env_steps},
                     {"wall_s", record_.wall_s}};
  WriteFileWhole(path_ / kRecordFile, json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace reverie
