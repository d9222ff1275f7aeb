// The processor cores that this process may use.
#ifndef REVERIE_CORE_CORES_H_
#define REVERIE_CORE_CORES_H_

#include <cstdint>
#include <filesystem>

namespace reverie {

// The cores that the process's affinity mask leaves it (taskset, cpusets), and no more than the CPU quota of its
// control group and of those above it (CoresOfQuota). At least 1. Cost: some small files of /proc and /sys are read.
int64_t UsableCores();

// The CPU time that control groups grant this process, in cores, rounded up; the largest int64_t where no quota is set.
// Reads cpu.max (version 2) and cpu.cfs_quota_us (version 1) of the process's own group and of every group above it
// that is mounted. `root` stands for "/" where files are looked for; a file that is missing or not understood sets no
// quota.
int64_t CoresOfQuota(const std::filesystem::path& root);

}  // namespace reverie

#endif  // REVERIE_CORE_CORES_H_
