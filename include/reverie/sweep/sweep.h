// Many runs out of one file: tasks x variants x seeds.
//
//   base: mbpo/hopper.yaml            # paths are relative to this file
//   out: runs/hopper                  # relative to where the program is started; default runs/<this file's name>
//   overrides: {total_steps: 50000}   # for every run
//   tasks: [Hopper-v5, mbpo/ant.yaml] # env ids, or configs whose keys replace the base's; default: the base's own task
//   seeds: 1..5                       # or [0, 3, 7]; default 0..4
//   variants:                         # default: one, named after the algorithm
//     mbpo: {}
//     penalty: {uncertainty: {use: penalty}}
//     sac: {base: sac/hopper.yaml}    # a variant may have a base of its own
//   grid:                             # every combination, for every variant
//     updates_per_step: [10, 20]
//   runs_per_gpu: 2                   # at once on each GPU of this machine; default 1
//
// What is given later wins: base, overrides, task, variant, grid; each is a layer of ConfigDocument. A variant's own
// base stands for the base alone. What a base says in `env` holds for a task of that id alone. `seed`, `variant` and,
// with tasks, `env.id` are set by the sweep and refused in overrides, variants and grid. The runs land in
// OUT/<task>/<variant>/seed-<n>; an env id has - for a slash there, a grid's names _ for what cannot be in a folder's.
#ifndef REVERIE_SWEEP_SWEEP_H_
#define REVERIE_SWEEP_SWEEP_H_

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/core/file.h"
#include "reverie/env/registry.h"
#include "reverie/run/run_directory.h"

namespace reverie {

struct SweepRun {
  std::string task, variant;
  int64_t seed = 0;
  int64_t total_steps = 0;
  std::optional<int64_t> threads;   // as the config says, if it does
  std::string device;               // as the config says
  std::filesystem::path config;     // OUT/configs/<task>/<variant>.yaml
  std::filesystem::path directory;  // OUT/<task>/<variant>/seed-<n>
  std::filesystem::path output;     // OUT/output/<task>/<variant>/seed-<n>.txt: what the process says

  // "Hopper-v5/penalty/seed-3"
  std::string name() const { return task + "/" + variant + "/seed-" + std::to_string(seed); }
};

// What a run asks of Slurm (slurm_engine.h).
struct SlurmOptions {
  std::string partition, account, time, memory, options;
  int64_t cpus = 1;
  int64_t gpus = 0;
  int64_t at_once = 0;
  bool requeue = true;
  void Visit(Fields& fields);
};

// One resolved config, for every seed.
struct SweepConfig {
  std::filesystem::path path;
  std::string yaml;
};

struct Sweep {
  std::filesystem::path out;
  std::vector<SweepRun> runs;  // tasks, variants, seeds: the first seed of everything before the second of anything
  std::vector<SweepConfig> configs;
  int64_t runs_per_gpu = 1;  // at once, on this machine
  SlurmOptions slurm;
};

// Reads the file and every config that comes of it, all strictly; OUT is `out`, or what the file says where that is
// empty. Writes nothing. Throws std::invalid_argument naming file, line and key for what is wrong.
Sweep ReadSweep(const std::filesystem::path& file, const std::filesystem::path& out, const EnvRegistry& envs);

// To be called before runs are started: throws std::invalid_argument where a run that is there already was made with
// another config, naming the keys that differ, or with another model file.
void RefuseOtherRuns(const Sweep& sweep, const EnvRegistry& envs);

// Makes the folder of the runs and keeps other processes from starting runs of the sweep. Throws std::invalid_argument
// naming the one that does.
FolderLock LockSweep(const Sweep& sweep);

// Writes the configs.
void WriteSweepConfigs(const Sweep& sweep);

// Where a run stands, by what its folder says.
enum class SweepRunState { kMissing, kUnfinished, kFailed, kRunning, kFinished };
const char* Name(SweepRunState state);

struct SweepRunStatus {
  SweepRunState state{SweepRunState::kMissing};
  bool has_checkpoint = false;
  int64_t env_steps = 0;              // of the last row logged
  std::optional<double> last_return;  // of the last evaluation
  std::string reason;                 // of a failure
};
SweepRunStatus StatusOf(const SweepRun& run);

}  // namespace reverie

#endif  // REVERIE_SWEEP_SWEEP_H_
