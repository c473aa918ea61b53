// What all device code stands on: CUDA's language under nvcc, its emulation in any other compiler.
// The rest of device/ hides what the two do not spell alike.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef __CUDACC__
#include <cuda_runtime.h>
#else
#include "kernels/cuda/emulation/builtins.h"
#endif

namespace infercept::cuda {

inline constexpr uint32_t kWarp = 32;
inline constexpr uint32_t kAllLanes = 0xFFFFFFFFu;

// An object in the block's shared memory, not initialized; the same one for all who name the type.
// REQUIRES: T is a plain struct of this kernel.
template <typename T>
__device__ __forceinline__ T& StaticShared() {
#ifdef __CUDACC__
  __shared__ T object;
  return object;
#else
  static const char key = 0;
  return *static_cast<T*>(emulation::StaticShared(&key, sizeof(T)));
#endif
}

// The shared memory whose size the launch says, aligned to 128 bytes.
__device__ __forceinline__ std::byte* DynamicShared() {
#ifdef __CUDACC__
  extern __shared__ __align__(128) unsigned char dynamic_shared[];
  return reinterpret_cast<std::byte*>(dynamic_shared);
#else
  return static_cast<std::byte*>(emulation::DynamicShared());
#endif
}

}  // namespace infercept::cuda
