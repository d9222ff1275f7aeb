// REVERIE_IS_SANITIZED: a sanitizer is built in that interposes the C library. Clang names them otherwise than GCC.
#ifndef REVERIE_SRC_CORE_SANITIZED_H_
#define REVERIE_SRC_CORE_SANITIZED_H_

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define REVERIE_IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define REVERIE_IS_SANITIZED 1
#endif
#endif

#endif  // REVERIE_SRC_CORE_SANITIZED_H_
