// Whether a config is that of a run which is there already, wherever the files that it names lie now.
#ifndef REVERIE_SRC_ALGORITHMS_EXISTING_RUN_H_
#define REVERIE_SRC_ALGORITHMS_EXISTING_RUN_H_

#include <functional>
#include <map>
#include <string>

#include "reverie/algorithms/registry.h"
#include "reverie/config/reader.h"
#include "reverie/run/run_directory.h"

namespace reverie {

// MujocoModelDigest of every file that the config names, by key. Throws std::runtime_error where one cannot be read.
std::map<std::string, std::string> FileDigests(const AlgorithmMaker& maker);

// "KEY: FILE is not what it was when RUN was begun" for every file of a run that is not; nothing to say is "".
std::string ChangedFiles(const RunDirectory& run, const AlgorithmMaker& maker);

// What the config says otherwise than the one that the run was begun with, as a sentence; "" where nothing, or only
// what `may_change` lets pass. Files come first, as ChangedFiles says it; those whose digests the run does not have are
// compared by their places. A copy of the task's own file is the task's own. Throws std::invalid_argument where the
// run's own config cannot be read.
std::string DifferenceFrom(const RunDirectory& run, const AlgorithmMaker& maker, const EnvRegistry& envs,
                           const std::function<bool(const ConfigDifference&)>& may_change);

}  // namespace reverie

#endif  // REVERIE_SRC_ALGORITHMS_EXISTING_RUN_H_
