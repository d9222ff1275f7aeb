// For loops that the compiler vectorises.
#ifndef REVERIE_SRC_NN_VECTORIZE_H_
#define REVERIE_SRC_NN_VECTORIZE_H_

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

// Before a function: it is compiled once for each of these processors, and the right one is chosen as the program is
// loaded. Sanitizers cannot stand the choosing.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define REVERIE_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define REVERIE_CLONES
#endif

namespace reverie {

// While it lives, this thread takes numbers too small to be normal as zero, where the processor can. Each would cost a
// hundred cycles, and Adam's moments are full of them: those of a dead unit halve until they are that small and then
// stay.
class FlushSubnormals {
 public:
#if defined(__x86_64__)
  FlushSubnormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | kFlushToZero | kDenormalsAreZero); }
  ~FlushSubnormals() { _mm_setcsr(before_); }
#else
  FlushSubnormals() {}
  ~FlushSubnormals() {}
#endif
  FlushSubnormals(const FlushSubnormals&) = delete;
  FlushSubnormals& operator=(const FlushSubnormals&) = delete;

 private:
#if defined(__x86_64__)
  static constexpr unsigned kFlushToZero = 0x8000;
  static constexpr unsigned kDenormalsAreZero = 0x0040;
  unsigned before_;
#endif
};

}  // namespace reverie

#endif  // REVERIE_SRC_NN_VECTORIZE_H_
