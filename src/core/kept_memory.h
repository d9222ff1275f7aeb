// Has the C library keep memory that is given back, for the next one who asks.
//
// Left to itself glibc returns a few MiB to the system as soon as they are free, and gets them back page by page,
// zeroed: a fifth of the time of a step of gradients whose tensors come and go. Nothing is done where the C library is
// another one, or where its environment variables say what to keep.
#ifndef REVERIE_SRC_CORE_KEPT_MEMORY_H_
#define REVERIE_SRC_CORE_KEPT_MEMORY_H_

#include <cstdlib>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace reverie {

inline void KeepFreedMemory() {
#ifdef __GLIBC__
  constexpr int kMib = 1 << 20;
  for (const char* variable : {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"}) {
    if (std::getenv(variable) != nullptr) {
      return;
    }
  }
  mallopt(M_MMAP_THRESHOLD, 32 * kMib);  // blocks from that size on are the system's own; it allows no more
  mallopt(M_TRIM_THRESHOLD, 256 * kMib);
#endif
}

}  // namespace reverie

#endif  // REVERIE_SRC_CORE_KEPT_MEMORY_H_
