// Wall-clock time by phase.
#ifndef REVERIE_CORE_TIMER_H_
#define REVERIE_CORE_TIMER_H_

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "reverie/core/memory.h"
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

// "12s", "3m05s", "1h23m05s": rounded to whole seconds.
std::string DurationText(double seconds);

// Adds up the time spent in named phases. Phases may nest; an inner one counts in the outer one too. Work that was only
// queued on a GPU counts where the host waits for it. One thread.
class PhaseTimer {
 public:
  // The time from here to the end of the returned object's life counts for that phase.
  class Scope {
   public:
    Scope(PhaseTimer& timer, size_t phase) : timer_(timer), phase_(phase) {}
    ~Scope() { timer_.phases_[phase_].Add(watch_.Seconds()); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    PhaseTimer& timer_;
    size_t phase_;
    Stopwatch watch_;
  };

  // Allocates only the first time it hears a name.
  [[nodiscard]] Scope Measure(std::string_view phase) {
    for (size_t i = 0; i < phases_.size(); ++i) {
      if (phases_[i].name == phase) {
        return {*this, i};
      }
    }
    phases_.push_back({.name = std::string(phase)});
    return {*this, phases_.size() - 1};
  }

  // For every phase so far "time/<phase>_s", the seconds since the last call, and "memory/<phase>_mib", the process'
  // resident memory at the end of the phase (looked at once a second at most).
  Metrics Drain() {
    Metrics metrics;
    for (Phase& phase : phases_) {
      metrics.Set("time/" + phase.name + "_s", phase.seconds);
      phase.seconds = 0;
    }
    for (const Phase& phase : phases_) {
      metrics.Set("memory/" + phase.name + "_mib", phase.resident_mib);
    }
    return metrics;
  }

 private:
  struct Phase {
    std::string name;
    double seconds = 0;
    double resident_mib = 0;
    Stopwatch since_look;

    void Add(double spent) {
      seconds += spent;
      if (resident_mib == 0 || since_look.Seconds() >= 1) {
        resident_mib = ResidentMib();
        since_look.Restart();
      }
    }
  };

  std::vector<Phase> phases_;
};

}  // namespace reverie

#endif  // REVERIE_CORE_TIMER_H_
