// The folder that holds everything of one run.
//
//   config.yaml        resolved; training it again repeats the run
//   run.json           what ran, where, with which versions, and how it stands
//   train.csv eval.csv log.txt   TensorBoard's event files
//   checkpoints/step-<env step>.pt
//   policy.pt policy.json
#ifndef REVERIE_RUN_RUN_DIRECTORY_H_
#define REVERIE_RUN_RUN_DIRECTORY_H_

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "reverie/core/state.h"

namespace reverie {

enum class RunStatus { kRunning, kFinished, kInterrupted, kFailed };

// What run.json says beside versions and machine.
struct RunFacts {
  std::string algorithm;
  std::string variant;
  std::string env;
  int64_t seed = 0;
  std::string device;
  int64_t threads = 0;
};

class RunDirectory {
 public:
  // A new folder with config.yaml and run.json. An existing one is refused with std::invalid_argument unless
  // `overwrite`, which replaces a run's folder and refuses any other.
  static RunDirectory Create(const std::filesystem::path& path, const std::string& config_yaml, const RunFacts& facts,
                             bool overwrite);

  // An existing run. Throws std::invalid_argument where there is none.
  static RunDirectory Open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path config_path() const { return path_ / "config.yaml"; }

  // Replaces the status in run.json.
  void SetStatus(RunStatus status, const std::string& reason, int64_t env_steps, double wall_s) const;

  // Writes a checkpoint and removes all but the newest `keep`.
  void SaveCheckpoint(const StateTree& state, int64_t env_steps, int64_t keep) const;

  // The newest checkpoint's file.
  std::optional<std::filesystem::path> NewestCheckpoint() const;

 private:
  explicit RunDirectory(std::filesystem::path path) : path_(std::move(path)) {}
  std::vector<std::filesystem::path> Checkpoints() const;  // oldest first

  std::filesystem::path path_;
};

}  // namespace reverie

#endif  // REVERIE_RUN_RUN_DIRECTORY_H_
