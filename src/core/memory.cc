#include "reverie/core/memory.h"

#include <unistd.h>

#include <cstdint>
#include <fstream>

namespace reverie {

double ResidentMib() {
  std::ifstream file("/proc/self/statm");
  int64_t total_pages = 0;
  int64_t resident_pages = 0;
  file >> total_pages >> resident_pages;
  return static_cast<double>(resident_pages) * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1024.0 * 1024.0);
}

}  // namespace reverie
