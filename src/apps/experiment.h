// A config and the algorithm it describes: what train, eval and export have in common.
#ifndef REVERIE_SRC_APPS_EXPERIMENT_H_
#define REVERIE_SRC_APPS_EXPERIMENT_H_

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "reverie/algorithms/registry.h"
#include "reverie/run/run_directory.h"

namespace reverie {

// Reads a config strictly, with `sets` as one layer on it. `envs` must outlive the result. Throws
// std::invalid_argument.
AlgorithmMaker ReadExperiment(const std::filesystem::path& file, const std::vector<ConfigAssignment>& sets,
                              const EnvRegistry& envs);

// The algorithm of a run with the state of its newest checkpoint, on the CPU with the threads that it was trained with,
// or as many as this process has cores: to act with, or `with_rows` with its real transitions too.
// Warns of files that have changed since it was begun. Throws std::invalid_argument where the folder is no run or has
// no checkpoint.
struct TrainedRun {
  AlgorithmMaker maker;
  std::unique_ptr<Algorithm> algorithm;
};
TrainedRun LoadTrainedRun(const std::filesystem::path& run_directory, const EnvRegistry& envs, bool with_rows = false);

// The environment that a command line names, with its --set env.options.NAME=VALUE and the like, which may set `more`
// too: what else the command reads. Throws std::invalid_argument.
EnvConfig ReadEnv(const std::string& env_id, const std::vector<ConfigAssignment>& sets, const EnvRegistry& envs,
                  const Fields& more = {});

// What an exception says to a user: one of LibTorch's without its stack, one of lack of memory with what may be
// lowered.
std::string WhatHappened(const std::exception& error);

}  // namespace reverie

#endif  // REVERIE_SRC_APPS_EXPERIMENT_H_
