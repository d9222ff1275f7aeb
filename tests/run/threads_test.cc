#include "reverie/run/threads.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <thread>
#include <vector>

#include "thread_limit.h"

namespace reverie {
namespace {

using testing::HasSubstr;

// A machine on which a piece of work takes known seconds on each number of threads, times what `noise` says of a
// measurement by its number.
struct Machine {
  std::map<int64_t, double> seconds;
  std::function<double(int measurement, int64_t threads)> noise = [](int, int64_t) { return 1.0; };

  int measurements = 0;
  double spent = 0;
  std::map<int64_t, int> times_tried;
  ThreadChoice choice;

  explicit Machine(std::map<int64_t, double> known) : seconds(std::move(known)) {}

  int64_t Choose() {
    choice = ChooseThreads(seconds.rbegin()->first, [this](int64_t threads, double at_least) {
      const double piece = seconds.at(threads) * noise(measurements++, threads);
      spent += std::max(piece, at_least);
      ++times_tried[threads];
      return piece;
    });
    return choice.threads;
  }
};

TEST(Threads, TheFastestNumberIsTaken) {
  EXPECT_EQ(Machine({{1, 0.010}, {2, 0.006}}).Choose(), 2);
  EXPECT_EQ(Machine({{1, 0.010}, {2, 0.030}}).Choose(), 1);
  EXPECT_EQ(Machine({{1, 0.010}, {2, 0.006}, {4, 0.004}, {8, 0.005}, {12, 0.009}}).Choose(), 4);
  EXPECT_EQ(Machine({{1, 9}, {2, 5}, {3, 3.5}}).Choose(), 3);
  std::map<int64_t, double> in_proportion;
  for (const int64_t threads : {1, 2, 4, 8, 16, 32, 64}) {
    in_proportion[threads] = 0.1 / static_cast<double>(threads);
  }
  EXPECT_EQ(Machine(in_proportion).Choose(), 64);
}

TEST(Threads, FewerAreTakenWhereMoreGainNextToNothing) {
  EXPECT_EQ(Machine({{1, 0.0102}, {2, 0.0100}}).Choose(), 1);
  EXPECT_EQ(Machine({{1, 0.0105}, {2, 0.0100}}).Choose(), 2);
  EXPECT_EQ(Machine({{1, 0.02}, {2, 0.0101}, {4, 0.0099}}).Choose(), 2);
}

TEST(Threads, ANeighbourThatTakesTheMachineForSomeRoundsChangesNothing) {
  for (int from = 2; from < 12; ++from) {
    Machine machine({{1, 0.010}, {2, 0.006}});
    machine.noise = [from](int measurement, int64_t) { return measurement >= from && measurement < from + 4 ? 20 : 1; };
    EXPECT_EQ(machine.Choose(), 2) << from;
    // It takes the second core alone: two threads wait for each other.
    machine = Machine({{1, 0.010}, {2, 0.006}});
    machine.noise = [from](int measurement, int64_t threads) {
      return threads == 2 && measurement >= from && measurement < from + 4 ? 20 : 1;
    };
    EXPECT_EQ(machine.Choose(), 2) << from;
  }
}

TEST(Threads, AMachineThatSlowsDownIsNoReasonForFewer) {
  Machine machine({{1, 0.010}, {2, 0.009}});
  machine.noise = [](int measurement, int64_t) { return 1 + 0.5 * (measurement / 2); };
  EXPECT_EQ(machine.Choose(), 2);
}

TEST(Threads, ANeighbourThatStaysIsCountedWith) {
  Machine machine({{1, 0.010}, {2, 0.006}});
  machine.noise = [](int measurement, int64_t threads) { return threads == 2 && measurement % 4 != 1 ? 8.0 : 2.0; };
  EXPECT_EQ(machine.Choose(), 1);
}

TEST(Threads, AllOfItTakesAboutASecond) {
  std::map<int64_t, double> seconds;
  for (const int64_t threads : {1, 2, 4, 8, 16, 32, 64}) {
    seconds[threads] = 1e-3;
  }
  Machine machine(seconds);
  machine.Choose();
  EXPECT_NEAR(machine.spent, 1, 0.05);
  // What is far too slow is not tried to the end.
  seconds[64] = 0.5;
  machine = Machine(seconds);
  machine.Choose();
  EXPECT_LE(machine.times_tried[64], 4);
  EXPECT_EQ(machine.times_tried[32], machine.times_tried[1]);
}

TEST(Threads, PiecesThatTakeLongAreTriedLessOften) {
  Machine machine({{1, 2.0}, {2, 1.1}, {4, 0.7}});
  EXPECT_EQ(machine.Choose(), 4);
  EXPECT_EQ(machine.times_tried[1], 1 + 3);
  EXPECT_EQ(machine.times_tried[4], 1 + 3);
}

TEST(Threads, ThreadsThatCannotBeStartedAreNotCountedOn) {
  EXPECT_EQ(StartableThreads(1), 1);
  EXPECT_EQ(StartableThreads(4), 4);
#if REVERIE_HAS_THREAD_LIMIT
  testing::internal::CaptureStderr();
  const int64_t startable = [] {
    const AddressSpaceLimit some_stacks(int64_t{100} << 20);
    return StartableThreads(1000);
  }();
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr(" of 1000 threads could be started"));
  EXPECT_GE(startable, 1);
  EXPECT_LT(startable, 100);
#endif
}

TEST(Threads, WhatWasMeasuredIsSaid) {
  Machine machine({{1, 0.010}, {2, 0.006}, {4, 0.5}});
  machine.Choose();
  EXPECT_THAT(machine.choice.reason,
              HasSubstr("took 2 of 4, as a piece of the work takes 10.00 ms on 1, 6.00 ms on 2, 500.00 ms on 4"));
}

TEST(Threads, OneCoreIsNotMeasured) {
  const ThreadChoice choice = ChooseThreads(1, [](int64_t, double) -> double { throw std::logic_error("measured"); });
  EXPECT_EQ(choice.threads, 1);
  EXPECT_THAT(choice.reason, HasSubstr("may use one core"));
}

// Work that tells by LibTorch's number of threads how long it is to take.
TEST(Threads, TheClockDecidesWithLibTorchsThreads) {
  std::vector<int> seen;
  const ThreadChoice choice = ChooseThreads(4, [&] {
    const int threads = at::get_num_threads();
    seen.push_back(threads);
    std::this_thread::sleep_for(std::chrono::milliseconds(threads == 2 ? 2 : 8));
  });
  EXPECT_EQ(choice.threads, 2);
  for (const int threads : {1, 2, 4}) {
    EXPECT_EQ(std::count(seen.begin(), seen.begin() + 6, threads), 2);  // a piece first, which is not counted
  }
}

}  // namespace
}  // namespace reverie
