// Several neighbouring values in one access: what a warp loads in one instruction should be 512
// bytes in a row, 16 per lane.
#pragma once

#include "kernels/cuda/device/platform.cuh"

namespace infercept::cuda {

// `count` values, aligned to their size (at most 16 bytes).
template <typename T, uint32_t count>
struct alignas(sizeof(T) * count <= 16 ? sizeof(T) * count : 16) Vector {
  T values[count];

  __device__ __forceinline__ T& operator[](uint32_t i) { return values[i]; }
  __device__ __forceinline__ const T& operator[](uint32_t i) const { return values[i]; }
};

// REQUIRES: the address is a multiple of the vector's alignment.
template <typename V, typename T>
__device__ __forceinline__ V LoadVector(const T* address) {
#ifndef __CUDACC__
  emulation::CheckAligned(address, alignof(V), emulation::Site::current());
#endif
  return *reinterpret_cast<const V*>(address);
}

template <typename V, typename T>
__device__ __forceinline__ void StoreVector(T* address, const V& vector) {
#ifndef __CUDACC__
  emulation::CheckAligned(address, alignof(V), emulation::Site::current());
#endif
  *reinterpret_cast<V*>(address) = vector;
}

// 16 bytes of whatever they are.
using Words = Vector<uint32_t, 4>;

// Read once by one block, as weights are: such lines are the first that caches give up.
__device__ __forceinline__ Words LoadStreaming(const std::byte* address) {
#ifdef __CUDACC__
  const uint4 words = __ldcs(reinterpret_cast<const uint4*>(address));
  return {words.x, words.y, words.z, words.w};
#else
  return LoadVector<Words>(address);
#endif
}

}  // namespace infercept::cuda
