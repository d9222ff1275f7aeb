#include "reverie/core/timer.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <new>
#include <thread>

namespace {

int64_t allocations = 0;

}  // namespace

void* operator new(size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) {
    return memory;
  }
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace reverie {
namespace {

using std::chrono::milliseconds;

TEST(PhaseTimer, ScopesOfAPhaseAddUpUntilTheyAreDrained) {
  PhaseTimer timer;
  for (int i = 0; i < 2; ++i) {
    const auto timing = timer.Measure("sleep");
    std::this_thread::sleep_for(milliseconds(20));
  }
  const double seconds = timer.Drain().Find("time/sleep_s").value();
  EXPECT_GE(seconds, 0.04);
  EXPECT_LT(seconds, 5);
  EXPECT_EQ(timer.Drain().Find("time/sleep_s"), 0);
}

TEST(PhaseTimer, AnInnerPhaseCountsInTheOuterOneToo) {
  PhaseTimer timer;
  {
    const auto outer = timer.Measure("outer");
    const auto inner = timer.Measure("inner");
    std::this_thread::sleep_for(milliseconds(20));
  }
  const Metrics metrics = timer.Drain();
  EXPECT_GE(metrics.Find("time/inner_s").value(), 0.02);
  EXPECT_GE(metrics.Find("time/outer_s").value(), metrics.Find("time/inner_s").value());
}

TEST(PhaseTimer, MemoryOfAPhaseIsWhatItHeldAtItsEnd) {
  constexpr size_t kMib = 64;
  PhaseTimer timer;
  { const auto timing = timer.Measure("before"); }
  std::vector<char> block;
  {
    const auto timing = timer.Measure("fill");
    block.assign(kMib << 20U, 'x');
  }
  const Metrics metrics = timer.Drain();
  EXPECT_GE(metrics.Find("memory/fill_mib").value() - metrics.Find("memory/before_mib").value(), 0.9 * kMib);
}

TEST(PhaseTimer, AKnownPhaseIsMeasuredWithoutAllocation) {
  PhaseTimer timer;
  { const auto timing = timer.Measure("a phase whose name is longer than a short string"); }
  const int64_t before = allocations;
  for (int i = 0; i < 1000; ++i) {
    const auto timing = timer.Measure("a phase whose name is longer than a short string");
  }
  EXPECT_EQ(allocations, before);
}

TEST(DurationText, HasTheLargestUnitThatFits) {
  EXPECT_EQ(DurationText(0.4), "0s");
  EXPECT_EQ(DurationText(59.4), "59s");
  EXPECT_EQ(DurationText(59.6), "1m00s");
  EXPECT_EQ(DurationText(185), "3m05s");
  EXPECT_EQ(DurationText(100 * 3600 + 62), "100h01m02s");
}

}  // namespace
}  // namespace reverie
