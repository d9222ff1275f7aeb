#include "reverie/core/timer.h"

#include <array>
#include <cmath>
#include <cstdio>

namespace reverie {

std::string DurationText(double seconds) {
  const auto s = std::llround(seconds);
  std::array<char, 64> text{};
  if (s >= 3600) {
    std::snprintf(text.data(), text.size(), "%lldh%02lldm%02llds", s / 3600, s / 60 % 60, s % 60);
  } else if (s >= 60) {
    std::snprintf(text.data(), text.size(), "%lldm%02llds", s / 60, s % 60);
  } else {
    std::snprintf(text.data(), text.size(), "%llds", s);
  }
  return text.data();
}

}  // namespace reverie
