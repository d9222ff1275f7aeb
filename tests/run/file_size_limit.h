// A disk without room, for a while: no file of this process can grow beyond a size.
#ifndef REVERIE_TESTS_RUN_FILE_SIZE_LIMIT_H_
#define REVERIE_TESTS_RUN_FILE_SIZE_LIMIT_H_

#include <sys/resource.h>

#include <csignal>

namespace reverie {

class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : former_handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &former_);
    const rlimit limit{.rlim_cur = bytes, .rlim_max = former_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &former_);
    std::signal(SIGXFSZ, former_handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit former_{};
  void (*former_handler_)(int);
};

}  // namespace reverie

#endif  // REVERIE_TESTS_RUN_FILE_SIZE_LIMIT_H_
