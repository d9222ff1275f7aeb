// Bounds how long the threads of GCC's OpenMP, which LibTorch computes with, look for work before they sleep. Left to
// itself it looks for milliseconds. That gains nothing on an idle machine and on a busy one takes the core from the
// very thread that is waited for.
//
// Include it in one file of a program: the program then starts itself anew, once, with GOMP_SPINCOUNT=10000 (some 30
// us), unless that or OMP_WAIT_POLICY is in its environment. OpenMP reads them while the program is loaded, which is
// too early for main() to set them. Cost: a start before libraries begin their work, some 5 % of what a start takes.
#ifndef REVERIE_SRC_CORE_BOUNDED_SPINNING_H_
#define REVERIE_SRC_CORE_BOUNDED_SPINNING_H_

#include <cstddef>
#include <cstring>
#include <initializer_list>

#include "core/sanitized.h"

// Other C libraries than glibc do not pass arguments to .preinit_array, in which sanitizers begin themselves.
#if defined(__linux__) && defined(__GLIBC__) && !defined(REVERIE_IS_SANITIZED)
#include <sys/auxv.h>
#include <unistd.h>

namespace reverie {

// No library but the C library's memory and system calls is ready when this runs.
inline void StartAgainWithBoundedSpinning(int, char** argv, char** environment) {
  constexpr const char* kBound = "GOMP_SPINCOUNT=10000";
  size_t count = 0;
  for (; environment[count] != nullptr; ++count) {
    for (const char* known : {"GOMP_SPINCOUNT=", "OMP_WAIT_POLICY="}) {
      if (std::strncmp(environment[count], known, std::strlen(known)) == 0) {
        return;
      }
    }
  }
  if (getauxval(AT_BASE) == 0) {
    return;  // the loader was named on the command line: /proc/self/exe is the loader's
  }
  auto** const bounded = static_cast<char**>(__builtin_alloca((count + 2) * sizeof(char*)));
  std::memcpy(bounded, environment, count * sizeof(char*));
  bounded[count] = const_cast<char*>(kBound);
  bounded[count + 1] = nullptr;
  // By the path that the system was given, since the process is named after it. Where both fail the program goes on as
  // it is.
  if (const auto* const path = reinterpret_cast<const char*>(getauxval(AT_EXECFN)); path != nullptr) {
    execve(path, argv, bounded);
  }
  execve("/proc/self/exe", argv, bounded);
}

}  // namespace reverie

[[gnu::section(".preinit_array"),
  gnu::used]] static void (*const reverie_start_again)(int, char**, char**) = reverie::StartAgainWithBoundedSpinning;
#endif

#endif  // REVERIE_SRC_CORE_BOUNDED_SPINNING_H_
