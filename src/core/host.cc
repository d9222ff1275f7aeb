#include "reverie/core/host.h"

#include <unistd.h>

#include <array>

namespace reverie {

std::string HostName() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

}  // namespace reverie
