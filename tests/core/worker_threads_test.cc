#include "reverie/core/worker_threads.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <stdexcept>
#include <vector>

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
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
int64_t PagesInUse() {
  std::ifstream file("/proc/self/statm");
  int64_t pages = 0;
  file >> pages;
  return pages;
}

TEST(WorkerThreads, ThreadsThatCannotBeStartedAreAnErrorAndTheOthersEnd) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_AS, &before), 0);
  // Room for some stacks and no more; a limit on processes would not hold for root.
  rlimit low = before;
  low.rlim_cur = static_cast<rlim_t>(PagesInUse() * sysconf(_SC_PAGESIZE) + (int64_t{100} << 20));
  ASSERT_EQ(setrlimit(RLIMIT_AS, &low), 0);
  EXPECT_THAT([] { WorkerThreads(1000); }, ThrowsMessage<std::runtime_error>(AllOf(
                                               HasSubstr("only "), HasSubstr(" of 1000 threads could be started: "))));
  ASSERT_EQ(setrlimit(RLIMIT_AS, &before), 0);
  WorkerThreads workers(3);
  std::atomic<int> done = 0;
  workers.Run(10, [&](int64_t, int64_t) { ++done; });
  EXPECT_EQ(done, 10);
}
#endif

}  // namespace
}  // namespace reverie
