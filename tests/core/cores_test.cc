#include "reverie/core/cores.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <string>

#include "oracle.h"

namespace reverie {
namespace {

constexpr int64_t kNoQuota = std::numeric_limits<int64_t>::max();

// What CoresOfQuota makes of these files, by their paths.
int64_t Quota(const std::map<std::string, std::string>& files) {
  const TemporaryFolder root;
  for (const auto& [path, text] : files) {
    const std::filesystem::path file = root.path() / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text << "\n";
  }
  return CoresOfQuota(root.path());
}

// The unified hierarchy as it is mounted on a machine with nothing but version 2.
const std::string kVersion2 =
    "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
    "31 22 0:27 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";

TEST(Cores, TheQuotaIsThatOfTheOwnGroupOrOfOneAboveIt) {
  const std::string own = "0::/user.slice/session";
  const std::string group = "sys/fs/cgroup/user.slice/session/cpu.max";
  const std::string above = "sys/fs/cgroup/user.slice/cpu.max";
  const std::map<std::string, std::string> base{{"proc/self/mountinfo", kVersion2}, {"proc/self/cgroup", own}};
  const auto with = [&](std::map<std::string, std::string> more) {
    more.insert(base.begin(), base.end());
    return Quota(more);
  };
  EXPECT_EQ(with({}), kNoQuota);
  EXPECT_EQ(with({{group, "max 100000"}}), kNoQuota);
  EXPECT_EQ(with({{group, "400000 100000"}}), 4);
  EXPECT_EQ(with({{group, "max 100000"}, {above, "300000 100000"}}), 3);
  EXPECT_EQ(with({{group, "400000 100000"}, {above, "200000 100000"}}), 2);
  EXPECT_EQ(with({{group, "100000 100000"}, {above, "200000 100000"}}), 1);
  EXPECT_EQ(with({{"sys/fs/cgroup/other.slice/cpu.max", "100000 100000"}}), kNoQuota);
}

TEST(Cores, APartOfACoreIsOneMore) {
  const auto of = [](const std::string& max) {
    return Quota({{"proc/self/mountinfo", kVersion2}, {"proc/self/cgroup", "0::/"}, {"sys/fs/cgroup/cpu.max", max}});
  };
  EXPECT_EQ(of("50000 100000"), 1);
  EXPECT_EQ(of("150000 100000"), 2);
  EXPECT_EQ(of("200000 100000"), 2);
}

TEST(Cores, WhatIsNotUnderstoodSetsNoQuota) {
  for (const char* max : {"", "many", "100000", "0 100000", "-1 100000", "100000 0", "100000 max"}) {
    EXPECT_EQ(Quota({{"proc/self/mountinfo", kVersion2}, {"proc/self/cgroup", "0::/"}, {"sys/fs/cgroup/cpu.max", max}}),
              kNoQuota)
        << max;
  }
  EXPECT_EQ(Quota({}), kNoQuota);
  EXPECT_EQ(Quota({{"proc/self/mountinfo", "garbage\n31 22 - cgroup2"}, {"proc/self/cgroup", "garbage"}}), kNoQuota);
}

// In a container the folders of the host that lead to its group are not there.
TEST(Cores, AContainerSeesItsOwnGroupAtTheTop) {
  const std::string max = "sys/fs/cgroup/cpu.max";
  const std::string mounted = "31 22 0:27 /docker/0123 /sys/fs/cgroup ro - cgroup2 cgroup rw";
  for (const char* group : {"0::/docker/0123", "0::/", "0::/../0123", "0::/docker/01234"}) {
    EXPECT_EQ(Quota({{"proc/self/mountinfo", mounted}, {"proc/self/cgroup", group}, {max, "250000 100000"}}), 3)
        << group;
  }
  EXPECT_EQ(Quota({{"proc/self/mountinfo", mounted},
                   {"proc/self/cgroup", "0::/docker/0123/inner"},
                   {max, "250000 100000"},
                   {"sys/fs/cgroup/inner/cpu.max", "100000 100000"}}),
            1);
}

// Beside a unified hierarchy that has no controllers, as many machines have it.
TEST(Cores, Version1HasItsOwnFiles) {
  const std::string mounts =
      "31 22 0:28 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
      "32 22 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
      "33 22 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
  const std::string groups = "5:cpuset:/other\n4:cpu,cpuacct:/job/7\n0::/unified";
  const std::string folder = "sys/fs/cgroup/cpu,cpuacct/job/";
  const std::map<std::string, std::string> base{{"proc/self/mountinfo", mounts}, {"proc/self/cgroup", groups}};
  const auto with = [&](std::map<std::string, std::string> more) {
    more.insert(base.begin(), base.end());
    return Quota(more);
  };
  EXPECT_EQ(with({{folder + "7/cpu.cfs_quota_us", "-1"}, {folder + "7/cpu.cfs_period_us", "100000"}}), kNoQuota);
  EXPECT_EQ(with({{folder + "7/cpu.cfs_quota_us", "150000"}, {folder + "7/cpu.cfs_period_us", "50000"}}), 3);
  EXPECT_EQ(with({{folder + "cpu.cfs_quota_us", "100000"}, {folder + "cpu.cfs_period_us", "50000"}}), 2);
  EXPECT_EQ(with({{folder + "7/cpu.cfs_quota_us", "100000"}}), kNoQuota);
}

TEST(Cores, TheMaskOfTheProcessCounts) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  const int64_t all = UsableCores();
  EXPECT_GE(all, 1);
  EXPECT_LE(all, CPU_COUNT(&before));
  int core = 0;
  while (!CPU_ISSET(core, &before)) {
    ++core;
  }
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(core, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  EXPECT_EQ(UsableCores(), 1);
  ASSERT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
  EXPECT_EQ(UsableCores(), all);
}

}  // namespace
}  // namespace reverie
