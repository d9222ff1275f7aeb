// What the CUDA sources share: launches, and sums over a block in a fixed order.
#ifndef REVERIE_SRC_CORE_KERNEL_CUH_
#define REVERIE_SRC_CORE_KERNEL_CUH_

#include <cstdint>
#include <stdexcept>
#include <string>

#include "core/cuda_stream.h"

namespace reverie {

// Threads of every block, in one dimension.
constexpr unsigned kBlock = 256;
// The most blocks on a side of the grid.
constexpr int64_t kMaxGridX = 2147483647;
constexpr int64_t kMaxGridY = 65535;

// Starts kernel(args...) on grid blocks; nothing where a side of the grid is 0. Throws std::runtime_error where the
// launch is refused.
template <class... Parameters, class... Arguments>
void Launch(const char* name, void (*kernel)(Parameters...), const dim3& grid, CudaStream stream,
            const Arguments&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) {
    return;
  }
#if defined(REVERIE_CUDA_ON_HOST)
  RunOnHost(stream, grid, kBlock, [&] { kernel(arguments...); });
  static_cast<void>(name);
#else
  kernel<<<grid, kBlock, 0, stream>>>(arguments...);
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess) {
    throw std::runtime_error(std::string("CUDA kernel ") + name + " was not launched: " + cudaGetErrorString(error));
  }
#endif
}

// Blocks that give each of `count` items one of `per_block` places; no more than at_most.
inline unsigned BlocksFor(int64_t count, int64_t per_block, int64_t at_most = kMaxGridX) {
  const int64_t blocks = (count + per_block - 1) / per_block;
  return static_cast<unsigned>(blocks < at_most ? blocks : at_most);
}

// The sum of x over all threads of the block whose index is the same modulo kWidth: the same additions in the same
// order every time. All threads of the block must call it; kWidth is a power of two.
template <unsigned kWidth, class T>
__device__ T BlockSum(T x) {
  __shared__ T sums[kBlock];
  const unsigned thread = threadIdx.x;
  __syncthreads();  // the last call's sums have been read
  sums[thread] = x;
  for (unsigned half = kBlock / 2; half >= kWidth; half /= 2) {
    __syncthreads();
    if (thread < half) {
      sums[thread] += sums[thread + half];
    }
  }
  __syncthreads();
  return sums[thread % kWidth];
}

}  // namespace reverie

#endif  // REVERIE_SRC_CORE_KERNEL_CUH_
