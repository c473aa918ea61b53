// The floats of kernels/half.h on the device: conversions of those of 16 bits in one instruction
// each.
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

// All round to nearest, ties to even.
template <typename T>
__device__ __forceinline__ T FromFloat(float value) {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, BF16> || std::is_same_v<T, F16> ||
                std::is_same_v<T, E4M3>);
  if constexpr (std::is_same_v<T, float>) {
    return value;
  } else if constexpr (std::is_same_v<T, E4M3>) {
    return ToE4M3(value);
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

// Two BF16 in one word, the first in its low half.
__device__ __forceinline__ uint32_t PackPair(float first, float second) {
#ifdef __CUDACC__
  const __nv_bfloat162 pair = __floats2bfloat162_rn(first, second);
  return *reinterpret_cast<const uint32_t*>(&pair);
#else
  return static_cast<uint32_t>(ToBF16(first)) | static_cast<uint32_t>(ToBF16(second)) << 16;
#endif
}

__device__ __forceinline__ float FirstOf(uint32_t pair) { return __uint_as_float(pair << 16); }
__device__ __forceinline__ float SecondOf(uint32_t pair) {
  return __uint_as_float(pair & 0xFFFF0000u);
}

// Of the F16 in the low half.
__device__ __forceinline__ float HalfAsFloat(uint32_t half) {
  return AsFloat(static_cast<F16>(half & 0xFFFF));
}

// Two values of either kind in one word.
template <typename T>
__device__ __forceinline__ uint32_t PackPairOf(float first, float second) {
  static_assert(std::is_same_v<T, BF16> || std::is_same_v<T, F16>);
  if constexpr (std::is_same_v<T, BF16>) {
    return PackPair(first, second);
  } else {
#ifdef __CUDACC__
    const __half2 pair = __floats2half2_rn(first, second);
    return *reinterpret_cast<const uint32_t*>(&pair);
#else
    return static_cast<uint32_t>(ToF16(first)) | static_cast<uint32_t>(ToF16(second)) << 16;
#endif
  }
}

// Products, and differences, of two F16 each.
__device__ __forceinline__ uint32_t MultiplyHalves(uint32_t a, uint32_t b) {
#ifdef __CUDACC__
  const __half2 product =
      __hmul2(*reinterpret_cast<const __half2*>(&a), *reinterpret_cast<const __half2*>(&b));
  return *reinterpret_cast<const uint32_t*>(&product);
#else
  return PackPairOf<F16>(HalfAsFloat(a) * HalfAsFloat(b),
                         HalfAsFloat(a >> 16) * HalfAsFloat(b >> 16));
#endif
}
__device__ __forceinline__ uint32_t SubtractHalves(uint32_t a, uint32_t b) {
#ifdef __CUDACC__
  const __half2 difference =
      __hsub2(*reinterpret_cast<const __half2*>(&a), *reinterpret_cast<const __half2*>(&b));
  return *reinterpret_cast<const uint32_t*>(&difference);
#else
  return PackPairOf<F16>(HalfAsFloat(a) - HalfAsFloat(b),
                         HalfAsFloat(a >> 16) - HalfAsFloat(b >> 16));
#endif
}

// The two E4M3 in the low half of `bytes` as two F16: exactly.
__device__ __forceinline__ uint32_t HalvesOfE4M3(uint32_t bytes) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
  uint32_t halves;
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(halves) : "h"(static_cast<uint16_t>(bytes)));
  return halves;
#else
  // Exponents have a bias that is less by 8, which the factor makes up for. 0x7F becomes a NaN.
  const uint32_t spread = (bytes & 0xFF) << 8 | (bytes & 0xFF00) << 16;
  const uint32_t magnitude = (spread & 0x7F007F00) >> 1;
  const uint32_t is_nan = (magnitude + 0x00800080) & 0x40004000;
  constexpr uint32_t kTwoToThe8 = 0x5C005C00;
  return MultiplyHalves((spread & 0x80008000) | magnitude | ((is_nan << 1) - (is_nan >> 4)),
                        kTwoToThe8);
#endif
}

// The two int8 in the low half of `bytes` times the two F16 `scales`, rounded to F16.
__device__ __forceinline__ uint32_t HalvesOfCodes(uint32_t bytes, uint32_t scales) {
  // 0x6400 is 1,024, and its low bits count from there.
  const uint32_t biased = (bytes ^ 0x8080) & 0xFFFF;
  const uint32_t codes = 0x64006400 | (biased & 0xFF) | (biased & 0xFF00) << 8;
  constexpr uint32_t kBias = 0x64806480;  // 1,024 + 128
  return MultiplyHalves(SubtractHalves(codes, kBias), scales);
}

// a - b of both halves.
__device__ __forceinline__ uint32_t SubtractPairs(uint32_t a, uint32_t b) {
#ifdef __CUDACC__
  const __nv_bfloat162 difference = __hsub2(*reinterpret_cast<const __nv_bfloat162*>(&a),
                                            *reinterpret_cast<const __nv_bfloat162*>(&b));
  return *reinterpret_cast<const uint32_t*>(&difference);
#else
  return PackPair(FirstOf(a) - FirstOf(b), SecondOf(a) - SecondOf(b));
#endif
}

// 2^x, with two units in the last place of error on a device; of 0 it is 1, of -infinity 0, and
// what is less than the smallest normal number is 0.
__device__ __forceinline__ float PowerOfTwo(float x) {
#ifdef __CUDACC__
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
#else
  const float power = std::exp2(x);
  return power < 0x1p-126f ? 0.0f : power;
#endif
}

// e^x / (e^x + 1) without overflow for any x.
__device__ __forceinline__ float Sigmoid(float x) { return 1.0f / (1.0f + __expf(-x)); }

}  // namespace infercept::cuda
