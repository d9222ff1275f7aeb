#include "reverie/core/worker_threads.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

#include "thread_limit.h"

namespace reverie {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(WorkerThreads, EveryJobIsDoneOnceByOneOfThem) {
  for (const int64_t threads : {1, 2, 5}) {
    WorkerThreads workers(threads);
    EXPECT_EQ(workers.size(), threads);
    for (const int64_t count : {0, 1, 3, 100}) {
      std::vector<std::atomic<int>> done(static_cast<size_t>(count));
      workers.Run(count, [&](int64_t i, int64_t worker) {
        EXPECT_GE(worker, 0);
        EXPECT_LT(worker, threads);
        ++done[static_cast<size_t>(i)];
      });
      for (const std::atomic<int>& times : done) {
        EXPECT_EQ(times, 1);
      }
    }
  }
}

TEST(WorkerThreads, TheFirstExceptionIsThrownOnceAllIsDone) {
  WorkerThreads workers(3);
  std::atomic<int> done = 0;
  EXPECT_THAT(
      [&] {
        workers.Run(20, [&](int64_t i, int64_t) {
          ++done;
          if (i % 7 == 5) {
            throw std::runtime_error("job " + std::to_string(i));
          }
        });
      },
      ThrowsMessage<std::runtime_error>("job 5"));
  EXPECT_EQ(done, 20);
}

// A sanitizer's own memory does not fit below such a limit.
#if REVERIE_HAS_THREAD_LIMIT
TEST(WorkerThreads, ThreadsThatCannotBeStartedAreAnErrorAndTheOthersEnd) {
  {
    const AddressSpaceLimit some_stacks(int64_t{100} << 20);
    EXPECT_THAT(
        [] { WorkerThreads(1000); },
        ThrowsMessage<std::runtime_error>(AllOf(HasSubstr("only "), HasSubstr(" of 1000 threads could be started: "))));
  }
  WorkerThreads workers(3);
  std::atomic<int> done = 0;
  workers.Run(10, [&](int64_t, int64_t) { ++done; });
  EXPECT_EQ(done, 10);
}
#endif

}  // namespace
}  // namespace reverie
