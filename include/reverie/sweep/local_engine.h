// A sweep on this machine: one process a run, several at once.
#ifndef REVERIE_SWEEP_LOCAL_ENGINE_H_
#define REVERIE_SWEEP_LOCAL_ENGINE_H_

#include <cstdint>

#include "reverie/run/progress.h"
#include "reverie/sweep/sweep.h"

namespace reverie {

struct SweepResult {
  int64_t finished = 0;  // also those that were finished before
  int64_t failed = 0;
  int signal = 0;  // that ended the sweep, or 0
};

// Runs what is missing or unfinished, at most `jobs` at once (0: one a core), each with its fair share of the cores as
// threads unless its config says how many. A run with a checkpoint goes on from it, with the threads it was begun with;
// one that was killed before its first begins anew; one that ended without one is reported, and stays as it is; one
// that another process is at is waited for. A run that fails is reported, and the rest go on.
//
// A signal to stop (StopSignals) ends the sweep: every run is told to stop, writes its checkpoint, and is waited for.
// Where this process is killed its runs are told to stop by the system.
//
// On a terminal a table of the runs that are at work is redrawn in place; elsewhere a line is written when a run begins
// or ends. Throws std::invalid_argument where another process is at this sweep already, std::runtime_error where a
// process cannot be started.
SweepResult RunSweepHere(const Sweep& sweep, int64_t jobs, ProgressOutput output);

}  // namespace reverie

#endif  // REVERIE_SWEEP_LOCAL_ENGINE_H_
