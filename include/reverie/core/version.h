// What this build is made of, for `reverie --version` and a run's run.json.
#ifndef REVERIE_CORE_VERSION_H_
#define REVERIE_CORE_VERSION_H_

#include <string>
#include <utility>
#include <vector>

namespace reverie {

// Semantic version: "0.1.0".
std::string Version();

// The abbreviated commit the library was built from, with "-dirty" where its sources differed from that commit;
// "unknown" where it was not built in a git checkout of its own.
std::string GitRevision();

// Name and version of each library in use, always in the same order: LibTorch, CUDA ("yes (13.0)" or "no": whether this
// build can use a GPU, not whether the machine has one), MuJoCo, yaml-cpp, spdlog. Starts no device.
std::vector<std::pair<std::string, std::string>> LibraryVersions();

}  // namespace reverie

#endif  // REVERIE_CORE_VERSION_H_
