// The folder that holds everything about one training run.
//
//   config.yaml   the resolved config; training it again repeats the run
//   run.json      what ran, on what, and how it ended (RunRecord)
//   log.txt       every message of the program
//   lock          the process that is at the run, or was last (FolderLock)
//   checkpoints/  CheckpointFolder
//   train.csv, eval.csv, events.out.tfevents.*, policy.pt, policy.json   written by others
#ifndef REVERIE_RUN_RUN_DIRECTORY_H_
#define REVERIE_RUN_RUN_DIRECTORY_H_

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "reverie/core/file.h"

namespace reverie {

enum class RunStatus { kRunning, kFinished, kInterrupted, kFailed };

// As run.json has it: "running", ...
const char* Name(RunStatus status);

// What run.json says beside versions, machine and status.
struct RunFacts {
  std::string algorithm;
  std::string variant;
  std::string env;
  int64_t seed = 0;
  std::string device;  // as chosen: "cpu", "cuda:0"
  int64_t threads = 0;
  std::map<std::string, std::string> files;  // that its config names, by key: the digest of each, and of what it names
};

// run.json. Times are UTC, "2026-01-31T12:00:00Z".
struct RunRecord {
  std::string version;       // of Reverie
  std::string git_revision;  // of the sources it was built from
  RunFacts facts;
  std::vector<std::pair<std::string, std::string>> libraries;
  std::string hostname;
  std::string started;
  std::vector<std::string> resumed;       // when it was taken up again
  RunStatus status{RunStatus::kRunning};  // a process that was killed leaves "running"
  std::string reason;                     // of interrupted and failed
  int64_t env_steps = 0;
  double wall_s = 0;  // training time without evaluation
};

// What becomes of a run that is at a path already.
enum class Existing {
  kRefuse,
  kReplace,
  kReplaceUnbegun  // where it says running and has no checkpoint, as one that was killed before its first
};

class RunDirectory {
 public:
  // runs/<algorithm>-<env>/seed-<n>, env as NameInPaths has it.
  static std::filesystem::path DefaultPath(const std::string& algorithm, const std::string& env, int64_t seed);

  // A new folder with config.yaml, run.json (running) and checkpoints/; from here on the log also goes to its log.txt.
  // Call it when everything else has been checked. Throws std::invalid_argument, before it changes anything, where
  //   there is something at `path`, other than an empty folder, and `existing` is kRefuse,
  //   what is there has no run.json of ours (with one, every file that a run writes is removed; others stay),
  //   `existing` is kReplaceUnbegun and the run there has ended or has a checkpoint,
  //   `path` is a link to nothing,
  //   it belongs to a run that is still going on;
  // std::runtime_error naming what could not be written. Killed at any moment it leaves the run that was there without
  // its checkpoints, or a run that says running and may have no config.yaml yet.
  static RunDirectory Create(const std::filesystem::path& path, const std::string& config_yaml, const RunFacts& facts,
                             Existing existing);

  // An existing run, to look at. Throws std::invalid_argument where there is none.
  static RunDirectory Open(const std::filesystem::path& path);

  // Whether a run is going on there, in this process or another.
  static bool InUse(const std::filesystem::path& path);

  // An existing run, to go on with as that config says; the log also goes to its log.txt. Throws std::invalid_argument
  // where `path` is no run, has no checkpoint, or belongs to a run that is still going on.
  static RunDirectory Resume(const std::filesystem::path& path, const std::string& config_yaml, const RunFacts& facts);

  // After Resume, once the state is loaded: run.json says running again, with this program's version, machine, device
  // and threads, and config.yaml is the new one. Until then both are as they were.
  void GoOn();

  // Ends log.txt, and gives the folder free for other processes.
  ~RunDirectory();
  RunDirectory(RunDirectory&& other) noexcept;
  RunDirectory& operator=(RunDirectory&& other) noexcept;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path config_path() const { return path_ / "config.yaml"; }
  std::filesystem::path checkpoint_path() const { return path_ / "checkpoints"; }
  const RunRecord& record() const { return record_; }

  // Replaces the status in run.json.
  void SetStatus(RunStatus status, const std::string& reason, int64_t env_steps, double wall_s);

 private:
  RunDirectory(std::filesystem::path path, RunRecord record, std::optional<FolderLock> lock);
  void WriteRecord() const;

  std::filesystem::path path_;
  RunRecord record_;
  std::string config_to_be_;        // of a run that is to go on
  std::optional<FolderLock> lock_;  // nothing where it is only looked at
};

}  // namespace reverie

#endif  // REVERIE_RUN_RUN_DIRECTORY_H_
