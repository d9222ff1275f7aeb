#include "reverie/run/run_directory.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "reverie/core/file.h"
#include "reverie/core/host.h"
#include "reverie/core/log.h"
#include "reverie/core/version.h"
#include "reverie/env/registry.h"
#include "reverie/run/checkpoint_folder.h"

namespace reverie {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kRecordFile = "run.json";
constexpr const char* kCheckpoints = "checkpoints";
// Everything that a run writes beside them into its folder is in checkpoints/.
constexpr std::array<std::string_view, 7> kFiles = {"config.yaml", kRecordFile, "log.txt",    "train.csv",
                                                    "eval.csv",    "policy.pt", "policy.json"};
constexpr std::string_view kEventFiles = "events.out.tfevents.";
constexpr std::string_view kPartial = ".partial";

std::string UtcNow() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
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
    if (const auto files = json.find("files"); files != json.end()) {  // older versions wrote none
      files->get_to(record.facts.files);
    }
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

bool IsRunFile(std::string_view name) {
  if (name.ends_with(kPartial)) {
    name.remove_suffix(kPartial.size());
  }
  return name.starts_with(kEventFiles) || std::find(kFiles.begin(), kFiles.end(), name) != kFiles.end();
}

// A folder that holds nothing, or what a process left that was killed as it began.
bool IsBlank(const fs::path& path) {
  return std::all_of(fs::directory_iterator(path), fs::directory_iterator(), [](const fs::directory_entry& entry) {
    const fs::path name = entry.path().filename();
    return name == "run.json.partial" || name == FolderLock::kFile;
  });
}

void RefuseWhatIsThere(const fs::path& path, Existing existing) {
  if (!fs::exists(path)) {
    if (fs::is_symlink(path)) {
      throw std::invalid_argument(path.string() + " is a link to " + fs::read_symlink(path).string() +
                                  ", which is not there");
    }
    return;
  }
  if (!fs::is_directory(path)) {
    throw std::invalid_argument(path.string() + " is not a folder; name the run's with --run-dir");
  }
  if (IsBlank(path)) {
    return;
  }
  if (!IsRun(path)) {
    throw std::invalid_argument(path.string() +
                                " is not the folder of a run, and what is in it is left alone; name another folder " +
                                "with --run-dir");
  }
  if (existing == Existing::kRefuse) {
    throw std::invalid_argument(path.string() + " exists already; " +
                                (CheckpointFolder::HasAny(path / kCheckpoints) ? "go on with it by --resume, " : "") +
                                "replace it with --overwrite, or name another folder with --run-dir");
  }
  if (existing == Existing::kReplaceUnbegun &&
      (ReadRecord(path).status != RunStatus::kRunning || CheckpointFolder::HasAny(path / kCheckpoints))) {
    throw std::invalid_argument(path.string() + " has gone on in another process meanwhile; nothing was changed");
  }
}

FolderLock LockRun(const fs::path& path) {
  std::optional<FolderLock> lock = FolderLock::Take(path);
  if (!lock) {
    throw std::invalid_argument(path.string() + " belongs to a run that is still going on (" +
                                FolderLock::Holder(path) + ")");
  }
  return std::move(*lock);
}

}  // namespace

const char* Name(RunStatus status) { return kStatusNames.at(static_cast<size_t>(status)).second; }

fs::path RunDirectory::DefaultPath(const std::string& algorithm, const std::string& env, int64_t seed) {
  return fs::path("runs") / (algorithm + "-" + NameInPaths(env)) / ("seed-" + std::to_string(seed));
}

RunDirectory::RunDirectory(fs::path path, RunRecord record, std::optional<FolderLock> lock)
    : path_(std::move(path)), record_(std::move(record)), lock_(std::move(lock)) {}

RunDirectory::RunDirectory(RunDirectory&& other) noexcept
    : path_(std::move(other.path_)),
      record_(std::move(other.record_)),
      config_to_be_(std::move(other.config_to_be_)),
      lock_(std::exchange(other.lock_, {})) {}

RunDirectory& RunDirectory::operator=(RunDirectory&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(record_, other.record_);
  std::swap(config_to_be_, other.config_to_be_);
  std::swap(lock_, other.lock_);
  return *this;
}

RunDirectory::~RunDirectory() {
  if (lock_) {
    StopLogToFile();
  }
}

RunDirectory RunDirectory::Create(const fs::path& path, const std::string& config_yaml, const RunFacts& facts,
                                  Existing existing) {
  try {
    RefuseWhatIsThere(path, existing);
    MakeFolder(path);
    FolderLock lock = LockRun(path);
    RefuseWhatIsThere(path, existing);  // by another process, since
    RunRecord record;
    DescribeProcess(facts, record);
    record.started = UtcNow();
    RunDirectory directory(path, std::move(record), std::move(lock));
    CheckpointFolder::RemoveAll(directory.checkpoint_path());
    directory.WriteRecord();  // by being replaced: what is killed in here is still the folder of a run
    for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
      const std::string name = entry.path().filename().string();
      if (IsRunFile(name) && name != kRecordFile) {
        fs::remove(entry.path());
      }
    }
    MakeFolder(directory.checkpoint_path());
    LogToFile(path / "log.txt");
    WriteFileWhole(directory.config_path(), config_yaml);
    return directory;
  } catch (const fs::filesystem_error& error) {
    throw std::runtime_error("cannot create the run directory " + path.string() + ": " + error.code().message());
  }
}

RunDirectory RunDirectory::Open(const fs::path& path) { return {path, ReadRecord(path), std::nullopt}; }

bool RunDirectory::InUse(const fs::path& path) { return FolderLock::IsTaken(path); }

RunDirectory RunDirectory::Resume(const fs::path& path, const std::string& config_yaml, const RunFacts& facts) {
  RunDirectory directory = Open(path);
  directory.lock_ = LockRun(path);
  CheckpointFolder::RequireOne(directory.checkpoint_path());
  directory.record_ = ReadRecord(path);  // another process may have gone on with it, since
  DescribeProcess(facts, directory.record_);
  directory.record_.resumed.push_back(UtcNow());
  directory.config_to_be_ = config_yaml;
  LogToFile(path / "log.txt");
  return directory;
}

void RunDirectory::GoOn() {
  WriteFileWhole(config_path(), config_to_be_);
  WriteRecord();
}

void RunDirectory::SetStatus(RunStatus status, const std::string& reason, int64_t env_steps, double wall_s) {
  record_.status = status;
  record_.reason = reason;
  record_.env_steps = env_steps;
  record_.wall_s = wall_s;
  WriteRecord();
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
                     {"files", record_.facts.files},
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
