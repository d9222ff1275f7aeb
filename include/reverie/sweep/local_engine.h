// A sweep on this machine: one process a run, several at once.
#ifndef REVERIE_SWEEP_LOCAL_ENGINE_H_
#define REVERIE_SWEEP_LOCAL_ENGINE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "reverie/run/progress.h"
#include "reverie/sweep/sweep.h"

namespace reverie {

struct SweepResult {
  int64_t finished = 0;  // also those that were finished before
  int64_t failed = 0;
  int signal = 0;  // that ended the sweep, or 0
};

// What a sweep may use of a machine.
struct Machine {
  int64_t cores = 1;
  std::vector<std::string> gpus;  // as CUDA_VISIBLE_DEVICES names them: an index or an identifier each
};

// The cores that this process may use and the GPUs that it sees, none of which it touches.
Machine ThisMachine();

// The names of that many GPUs, where CUDA_VISIBLE_DEVICES has that value, or none.
std::vector<std::string> GpuNames(int64_t count, const std::optional<std::string>& visible);

// A GPU, or the cores of the machine, and how many runs may be there at once.
struct SweepPlace {
  std::string gpu;  // empty: the cores
  int64_t most = 0;
};

// How runs are dealt to a machine.
struct SweepPlan {
  std::vector<SweepPlace> places;  // the GPUs in their order, then the cores
  int64_t jobs = 1;                // runs at once, of all places together
  int64_t threads = 1;             // of a run whose config says none

  // Where a run with that device may be: the places from `begin` on and before `end`. One that asks for a GPU which is
  // not there goes to the cores, to say so itself.
  struct Range {
    size_t begin, end;
  };
  Range PlacesOf(const std::string& device) const;
};

// For runs with those devices. Each GPU takes `runs_per_gpu` runs, the cores one each but those that runs on GPUs keep
// busy, or as many as `jobs` says. No more than `jobs` runs are at work at once; 0: no such bound.
SweepPlan PlanSweep(const Machine& machine, const std::vector<std::string>& devices, int64_t jobs,
                    int64_t runs_per_gpu);

// Runs what is missing or unfinished, as PlanSweep deals it. A run on a GPU sees that one alone (CUDA_VISIBLE_DEVICES),
// unless its config names one by index. Each has its fair share of the cores as threads unless its config says how
// many. A run with a checkpoint goes on from it, with the threads it was begun with; one
// that was killed before its first begins anew; one that ended without one is reported, and stays as it is; one that
// another process is at is waited for. A run that fails is reported, and the rest go on.
//
// A signal to stop (StopSignals) ends the sweep: every run is told to stop, writes its checkpoint, and is waited for.
// Where this process is killed its runs are told to stop by the system.
//
// On a terminal a table of the runs that are at work is redrawn in place; elsewhere a line is written when a run begins
// or ends. Throws std::invalid_argument where another process is at this sweep already, std::runtime_error where a
// process cannot be started.
SweepResult RunSweepHere(const Sweep& sweep, int64_t jobs, ProgressOutput output,
                         const Machine& machine = ThisMachine());

}  // namespace reverie

#endif  // REVERIE_SWEEP_LOCAL_ENGINE_H_
