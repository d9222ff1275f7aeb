// Wall-clock time by phase.
#ifndef REVERIE_CORE_TIMER_H_
#define REVERIE_CORE_TIMER_H_

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "reverie/core/metrics.h"

namespace reverie {

// Seconds since this object was made or restarted.
class Stopwatch {
 public:
  double Seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }
  void Restart() { start_ = Clock::now(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

// Adds up the time spent in named phases. Phases may nest; an inner one counts in the outer one too. One thread.
class PhaseTimer {
 public:
  // The time from here to the end of the returned object's life counts for that phase.
  class Scope {
   public:
    Scope(PhaseTimer& timer, size_t phase) : timer_(timer), phase_(phase) {}
    ~Scope() { timer_.phases_[phase_].second += watch_.Seconds(); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    PhaseTimer& timer_;
    size_t phase_;
    Stopwatch watch_;
  };

  [[nodiscard]] Scope Measure(std::string_view phase) {
    for (size_t i = 0; i < phases_.size(); ++i) {
      if (phases_[i].first == phase) {
        return {*this, i};
      }
    }
    phases_.emplace_back(phase, 0.0);
    return {*this, phases_.size() - 1};
  }

  // Seconds per phase since the last call, as "time/<phase>_s".
  Metrics Drain() {
    Metrics metrics;
    for (auto& [phase, seconds] : phases_) {
      metrics.Set("time/" + phase + "_s", seconds);
      seconds = 0;
    }
    return metrics;
  }

 private:
  std::vector<std::pair<std::string, double>> phases_;
};

}  // namespace reverie

#endif  // REVERIE_CORE_TIMER_H_
