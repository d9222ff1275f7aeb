// The stream that kernels are launched on, by a name that needs no CUDA toolkit.
#ifndef REVERIE_SRC_CORE_CUDA_STREAM_H_
#define REVERIE_SRC_CORE_CUDA_STREAM_H_

#if defined(REVERIE_CUDA_ON_HOST)  // by tests/cuda_on_host.h

namespace reverie {
// A type of its own: kernels compiled for the host link beside those for the GPU.
struct HostStream {};
using CudaStream = HostStream;
}  // namespace reverie

#else

struct CUstream_st;

namespace reverie {
using CudaStream = CUstream_st*;  // cudaStream_t
}  // namespace reverie

#endif

#endif  // REVERIE_SRC_CORE_CUDA_STREAM_H_
