// For loops that the compiler vectorises.
#ifndef REVERIE_SRC_NN_VECTORIZE_H_
#define REVERIE_SRC_NN_VECTORIZE_H_

// Before a function: it is compiled once for each of these processors, and the right one is chosen as the program is
// loaded. Sanitizers cannot stand the choosing.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define REVERIE_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define REVERIE_CLONES
#endif

#endif  // REVERIE_SRC_NN_VECTORIZE_H_
