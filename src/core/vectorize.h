// For loops that the compiler vectorises.
#ifndef REVERIE_SRC_CORE_VECTORIZE_H_
#define REVERIE_SRC_CORE_VECTORIZE_H_

#include "core/sanitized.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

// Before a function: it is compiled once for each of these processors, and the right one is chosen as the program is
// loaded. Clang 14 chooses by single features alone: its second one has AVX2 without fused products. Sanitizers cannot
// stand the choosing.
#if !defined(__x86_64__) || defined(REVERIE_IS_SANITIZED)
#define REVERIE_CLONES
#elif !defined(__clang__)
#define REVERIE_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#elif !__has_attribute(target_clones)
#define REVERIE_CLONES
#else
#define REVERIE_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
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

#endif  // REVERIE_SRC_CORE_VECTORIZE_H_
