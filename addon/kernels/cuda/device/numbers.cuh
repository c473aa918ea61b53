// The two 16-bit floats on the device: the conversions of kernels/half.h in one instruction each.
#pragma once

#include "kernels/cuda/device/platform.cuh"
#include "kernels/half.h"
#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

namespace infercept::cuda {

__device__ __forceinline__ float AsFloat(float value) { return value; }

__device__ __forceinline__ float AsFloat(BF16 value) {
  return __uint_as_float(static_cast<uint32_t>(value) << 16);
}

__device__ __forceinline__ float AsFloat(F16 value) {
#ifdef __CUDACC__
  return __half2float(__ushort_as_half(static_cast<uint16_t>(value)));
#else
  return ToFloat(value);
#endif
}

// Both round to nearest, ties to even.
template <typename T>
__device__ __forceinline__ T FromFloat(float value) {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, BF16> || std::is_same_v<T, F16>);
  if constexpr (std::is_same_v<T, float>) {
    return value;
  } else if constexpr (std::is_same_v<T, BF16>) {
#ifdef __CUDACC__
    return static_cast<BF16>(__bfloat16_as_ushort(__float2bfloat16_rn(value)));
#else
    return ToBF16(value);
#endif
  } else {
#ifdef __CUDACC__
    return static_cast<F16>(__half_as_ushort(__float2half_rn(value)));
#else
    return ToF16(value);
#endif
  }
}

// e^x / (e^x + 1) without overflow for any x.
__device__ __forceinline__ float Sigmoid(float x) { return 1.0f / (1.0f + __expf(-x)); }

}  // namespace infercept::cuda
