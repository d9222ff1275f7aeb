// REVERIE_HOST_DEVICE before a function: it compiles for the CPU and, in a CUDA source, for the GPU too.
#ifndef REVERIE_CORE_HOST_DEVICE_H_
#define REVERIE_CORE_HOST_DEVICE_H_

#if defined(__CUDACC__)
#define REVERIE_HOST_DEVICE __host__ __device__
#else
#define REVERIE_HOST_DEVICE
#endif

#endif  // REVERIE_CORE_HOST_DEVICE_H_
