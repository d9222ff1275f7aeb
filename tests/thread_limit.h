// A machine without room for more threads, for a while. A limit on processes would not hold for root: memory for their
// stacks is what they lack. Sanitizers need it themselves: what includes this is left out there.
#ifndef REVERIE_TESTS_THREAD_LIMIT_H_
#define REVERIE_TESTS_THREAD_LIMIT_H_

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define REVERIE_HAS_THREAD_LIMIT 1

#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <future>
#include <system_error>
#include <thread>
#include <vector>

namespace reverie {

// Room for so many bytes more than the process has now.
class AddressSpaceLimit {
 public:
  explicit AddressSpaceLimit(int64_t room) {
    int64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    getrlimit(RLIMIT_AS, &former_);
    rlimit limit = former_;
    limit.rlim_cur = static_cast<rlim_t>(pages * sysconf(_SC_PAGESIZE) + room);
    setrlimit(RLIMIT_AS, &limit);
  }
  ~AddressSpaceLimit() { setrlimit(RLIMIT_AS, &former_); }
  AddressSpaceLimit(const AddressSpaceLimit&) = delete;
  AddressSpaceLimit& operator=(const AddressSpaceLimit&) = delete;

 private:
  rlimit former_{};
};

// No thread can be started: the stacks of threads that have ended, which the C library keeps, are taken too.
class NoMoreThreads {
 public:
  NoMoreThreads() : limit_(int64_t{4} << 20) {
    const std::shared_future<void> end = end_.get_future().share();
    try {
      for (;;) {
        threads_.emplace_back([end] { end.wait(); });
      }
    } catch (const std::system_error&) {
    }
  }
  ~NoMoreThreads() {
    end_.set_value();
    for (std::thread& thread : threads_) {
      thread.join();
    }
  }
  NoMoreThreads(const NoMoreThreads&) = delete;
  NoMoreThreads& operator=(const NoMoreThreads&) = delete;

 private:
  AddressSpaceLimit limit_;
  std::promise<void> end_;
  std::vector<std::thread> threads_;
};

}  // namespace reverie

#endif

#endif  // REVERIE_TESTS_THREAD_LIMIT_H_
