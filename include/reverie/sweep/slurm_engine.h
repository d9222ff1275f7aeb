// A sweep on a cluster: one Slurm job array, a task of it for each run.
//
//   slurm:
//     partition: gpu
//     time: "12:00:00"
//     cpus: 4
//     memory: 8G
//     gpus: 1
//     at_once: 20
//
// Everything is Slurm's: sbatch submits, squeue knows, scancel ends. The script it is given is OUT/slurm/job.sh,
// readable and complete; it needs the program and OUT to be at the same path on every node.
#ifndef REVERIE_SWEEP_SLURM_ENGINE_H_
#define REVERIE_SWEEP_SLURM_ENGINE_H_

#include <map>
#include <optional>
#include <string>

#include "reverie/sweep/sweep.h"

namespace reverie {

// Submits what is missing or unfinished; returns the job's id. A task goes on from the run's newest checkpoint where
// there is one. Before a preemption and before the time limit the run is told to stop and writes its checkpoint; after
// a preemption Slurm puts the task back into the queue, at the time limit the task does so itself (slurm.requeue).
//
// Throws std::invalid_argument where every run is finished or a job of this sweep is still in the queue;
// std::runtime_error with what Slurm said where it refuses.
std::string SubmitToSlurm(const Sweep& sweep);

// What Slurm says of the runs of the job submitted last, by SweepRun::name(): "PENDING (Resources)", "RUNNING". Runs
// that have left the queue are not in it. Empty where none was submitted. Throws std::runtime_error as above.
std::map<std::string, std::string> SlurmStates(const Sweep& sweep);

// Cancels the job submitted last; its id, or nothing where none is in the queue. Runs that are going on write their
// checkpoints. Throws std::runtime_error as above.
std::optional<std::string> CancelOnSlurm(const Sweep& sweep);

}  // namespace reverie

#endif  // REVERIE_SWEEP_SLURM_ENGINE_H_
