// Compiles CUDA sources as C++ and runs their kernels on the CPU: one block after another, each thread of a block a
// real one, __syncthreads a barrier, shared memory a static variable. Slow and faithful; a thread that misses a barrier
// hangs, and ThreadSanitizer sees a barrier that is missing.
//
// Included before everything else in the source (tests/CMakeLists.txt); src/core/kernel.cuh launches through RunOnHost.
#ifndef REVERIE_TESTS_CUDA_ON_HOST_H_
#define REVERIE_TESTS_CUDA_ON_HOST_H_

#include <barrier>
#include <functional>
#include <thread>
#include <vector>

#include "core/cuda_stream.h"

#define __global__
#define __device__
#define __shared__ static
#define __grid_constant__

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned columns = 1, unsigned rows = 1, unsigned layers = 1) : x(columns), y(rows), z(layers) {}
};

inline thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;
inline thread_local std::barrier<>* block_barrier = nullptr;
inline thread_local bool has_waited = false;

inline void __syncthreads() {
  block_barrier->arrive_and_wait();
  has_waited = true;
}

namespace reverie {

inline void RunOnHost(HostStream /*stream*/, const dim3& grid, unsigned threads, const std::function<void()>& kernel) {
  std::barrier<> barrier(threads);
  std::vector<std::thread> block;
  for (unsigned thread = 0; thread < threads; ++thread) {
    block.emplace_back([&, thread] {
      block_barrier = &barrier;
      threadIdx = dim3(thread, 0, 0);
      blockDim = dim3(threads);
      gridDim = grid;
      for (unsigned z = 0; z < grid.z; ++z) {
        for (unsigned y = 0; y < grid.y; ++y) {
          for (unsigned x = 0; x < grid.x; ++x) {
            blockIdx = dim3(x, y, z);
            kernel();
            if (has_waited) {  // shared memory is in use, and the next block's is the same
              barrier.arrive_and_wait();
            }
          }
        }
      }
    });
  }
  for (std::thread& thread : block) {
    thread.join();
  }
}

}  // namespace reverie

#endif  // REVERIE_TESTS_CUDA_ON_HOST_H_
