// Sums and maxima over the lanes of a warp and the threads of a block. The order of additions
// depends on the number of threads alone.
#pragma once

#include "kernels/cuda/device/platform.cuh"

namespace infercept::cuda {

struct Add {
  template <typename T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a + b;
  }
};

struct Larger {
  template <typename T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a > b ? a : b;
  }
};

// The value of the lane whose number differs in the bits of `distance`. T: any plain struct of
// whole words.
template <typename T>
__device__ __forceinline__ T ShuffleXor(const T& value, uint32_t distance) {
  static_assert(sizeof(T) % 4 == 0);
  if constexpr (std::is_arithmetic_v<T>) {
    return __shfl_xor_sync(kAllLanes, value, static_cast<int>(distance));
  } else {
    T result;
    const auto* from = reinterpret_cast<const uint32_t*>(&value);
    auto* to = reinterpret_cast<uint32_t*>(&result);
#pragma unroll
    for (uint32_t i = 0; i < sizeof(T) / 4; ++i) {
      to[i] = __shfl_xor_sync(kAllLanes, from[i], static_cast<int>(distance));
    }
    return result;
  }
}

// Over groups of `lanes` neighbouring lanes, a power of two. Every lane gets the result. REQUIRES:
// the whole warp calls.
template <uint32_t lanes = kWarp, typename T, typename Combine>
__device__ __forceinline__ T WarpReduce(T value, Combine combine) {
#pragma unroll
  for (uint32_t distance = lanes / 2; distance > 0; distance /= 2) {
    value = combine(value, ShuffleXor(value, distance));
  }
  return value;
}

template <typename T>
struct WarpResults {
  T of_warp[kWarp];  // [warps of the block]
};

// Over the whole block. Every thread gets the result. REQUIRES: all threads of a one-dimensional
// block of whole warps call.
template <typename T, typename Combine>
__device__ __forceinline__ T BlockReduce(T value, Combine combine) {
  value = WarpReduce(value, combine);
  const uint32_t warps = blockDim.x / kWarp;
  if (warps == 1) return value;
  WarpResults<T>& results = StaticShared<WarpResults<T>>();
  __syncthreads();  // the results of a call before may still be read
  if (threadIdx.x % kWarp == 0) results.of_warp[threadIdx.x / kWarp] = value;
  __syncthreads();
  T total = results.of_warp[0];
  for (uint32_t warp = 1; warp < warps; ++warp) total = combine(total, results.of_warp[warp]);
  return total;
}

}  // namespace infercept::cuda
