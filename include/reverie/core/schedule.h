// Schedules over epochs.
#ifndef REVERIE_CORE_SCHEDULE_H_
#define REVERIE_CORE_SCHEDULE_H_

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

namespace reverie {

// Rollout length k(epoch) = floor(clip(x + (epoch - a) / (b - a) (y - x), min(x, y), max(x, y))).
// Source: Janner et al. 2019, appendix C. Constant where x = y; a step at a where a = b.
struct LengthSchedule {
  std::array<double, 4> a_b_x_y{0, 1, 1, 1};

  LengthSchedule() = default;
  LengthSchedule(double a, double b, double x, double y) : a_b_x_y{a, b, x, y} {}

  int64_t At(int64_t epoch) const {
    const auto [a, b, x, y] = a_b_x_y;
    const double e = static_cast<double>(epoch);
    const double fraction = b > a ? std::clamp((e - a) / (b - a), 0.0, 1.0) : (e >= b ? 1.0 : 0.0);
    return static_cast<int64_t>(std::floor(x + fraction * (y - x)));
  }
  int64_t Max() const { return static_cast<int64_t>(std::floor(std::max(a_b_x_y[2], a_b_x_y[3]))); }
};

}  // namespace reverie

#endif  // REVERIE_CORE_SCHEDULE_H_
