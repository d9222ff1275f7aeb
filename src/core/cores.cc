#include "reverie/core/cores.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "reverie/core/text.h"

namespace reverie {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> WordsOf(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> words;
  for (std::string word; in >> word;) {
    words.push_back(word);
  }
  return words;
}

// The words of a file's first line; none where it cannot be read.
std::vector<std::string> FirstWords(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return WordsOf(line);
}

std::optional<double> Share(const std::string& quota, const std::string& period) {
  const std::optional<double> allowed = ParseNumber<double>(quota);  // "max" and -1: no quota
  const std::optional<double> of = ParseNumber<double>(period);
  return allowed && of && *allowed > 0 && *of > 0 ? std::optional(*allowed / *of) : std::nullopt;
}

// The quota of one group, in cores.
std::optional<double> QuotaOf(const fs::path& group) {
  if (const std::vector<std::string> max = FirstWords(group / "cpu.max"); max.size() == 2) {
    return Share(max[0], max[1]);
  }
  const std::vector<std::string> quota = FirstWords(group / "cpu.cfs_quota_us");
  const std::vector<std::string> period = FirstWords(group / "cpu.cfs_period_us");
  return quota.size() == 1 && period.size() == 1 ? Share(quota[0], period[0]) : std::nullopt;
}

// Whether a list such as "cpu,cpuacct" has that name.
bool Lists(const std::string& list, std::string_view name) {
  std::istringstream in(list);
  for (std::string one; std::getline(in, one, ',');) {
    if (one == name) {
      return true;
    }
  }
  return false;
}

// The process's group in a hierarchy: the unified one, or that of version 1 which has the cpu controller.
std::optional<std::string> GroupPath(const fs::path& root, bool unified) {
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {  // NUMBER:CONTROLLERS:PATH
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) {
      continue;
    }
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (unified ? line.starts_with("0::") : Lists(controllers, "cpu")) {
      return line.substr(second + 1);
    }
  }
  return std::nullopt;
}

// The least quota of a group and those above it. `top` is where the group `top_path` of the hierarchy is mounted: a
// container sees the hierarchy from its own group on, or from the host's root without the folders in between.
std::optional<double> LeastQuota(const fs::path& top, const std::string& top_path, const std::string& path) {
  const bool below = (top_path == "/" || path == top_path || path.starts_with(top_path + "/")) &&
                     path.find("/..") == std::string::npos;
  const std::string inside = below ? path.substr(top_path == "/" ? 0 : top_path.size()) : "";
  std::optional<double> least = QuotaOf(top);
  fs::path group = top;
  for (const fs::path& part : fs::path(inside).relative_path()) {
    group /= part;
    if (const std::optional<double> quota = QuotaOf(group)) {
      least = std::min(*quota, least.value_or(*quota));
    }
  }
  return least;
}

}  // namespace

int64_t CoresOfQuota(const fs::path& root) {
  double least = std::numeric_limits<double>::infinity();
  std::ifstream mounts(root / "proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    // ID PARENT DEVICE PATH_INSIDE MOUNT_POINT OPTIONS ... - TYPE SOURCE SUPER_OPTIONS
    const std::vector<std::string> words = WordsOf(line);
    const auto dash = std::find(words.begin(), words.end(), "-");
    if (words.size() < 5 || words.end() - dash < 4) {
      continue;
    }
    const bool unified = dash[1] == "cgroup2";
    if (!unified && !(dash[1] == "cgroup" && Lists(dash[3], "cpu"))) {
      continue;
    }
    if (const std::optional<std::string> path = GroupPath(root, unified)) {
      const fs::path top = root / fs::path(words[4]).relative_path();
      least = std::min(least, LeastQuota(top, words[3], *path).value_or(least));
    }
  }
  return std::isinf(least) ? std::numeric_limits<int64_t>::max() : static_cast<int64_t>(std::ceil(least));
}

int64_t UsableCores() {
  // A mask that is too small for the machine's number of cores is refused, so that it grows until it is not.
  int64_t cores = std::thread::hardware_concurrency();
  for (int most = 1024; most <= 1 << 20; most *= 2) {
    cpu_set_t* const mask = CPU_ALLOC(most);
    const size_t size = CPU_ALLOC_SIZE(most);
    const bool known = mask != nullptr && sched_getaffinity(0, size, mask) == 0;
    if (known) {
      cores = CPU_COUNT_S(size, mask);
    }
    CPU_FREE(mask);
    if (known) {
      break;
    }
  }
  return std::max<int64_t>(1, std::min(cores, CoresOfQuota("/")));
}

}  // namespace reverie
