// CUDA's own names for host C++, over the emulator: what kernels use of the language, no more.
// Device headers include it through device/platform.cuh.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/cuda/emulation/emulator.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__

// Vectors with the alignment that the device wants of them.
struct alignas(8) uint2 {
  uint32_t x, y;
};
struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
using dim3 = infercept::emulation::Extent;

inline uint2 make_uint2(uint32_t x, uint32_t y) { return {x, y}; }
inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

#define threadIdx (::infercept::emulation::ThreadIndex())
#define blockIdx (::infercept::emulation::BlockIndex())
#define blockDim (::infercept::emulation::BlockExtent())
#define gridDim (::infercept::emulation::GridExtent())

inline void __syncthreads(
    const infercept::emulation::Site& site = infercept::emulation::Site::current()) {
  infercept::emulation::Barrier(0, 0, site);
}

namespace infercept::emulation {

struct Vote {
  static void Ballot(uint32_t mask, const void* const* inputs, void* const* outputs) {
    uint32_t ballot = 0;
    for (uint32_t lane = 0; lane < 32; ++lane) {
      if ((mask >> lane & 1u) != 0 && *static_cast<const bool*>(inputs[lane])) ballot |= 1u << lane;
    }
    for (uint32_t lane = 0; lane < 32; ++lane) {
      if ((mask >> lane & 1u) != 0) *static_cast<uint32_t*>(outputs[lane]) = ballot;
    }
  }
};

inline uint32_t Ballot(uint32_t mask, bool predicate, const Site& site) {
  uint32_t ballot = 0;
  Exchange(mask, &Vote::Ballot, &predicate, &ballot, site);
  return ballot;
}

// What a lane offers, and whose offer it takes.
template <typename T>
struct Offer {
  T value;
  uint32_t source;

  static void Deliver(uint32_t mask, const void* const* inputs, void* const* outputs) {
    for (uint32_t lane = 0; lane < 32; ++lane) {
      if ((mask >> lane & 1u) == 0) continue;
      const uint32_t source = static_cast<const Offer*>(inputs[lane])->source;
      if ((mask >> source & 1u) == 0) {
        Fail("a lane takes the value of one outside the mask", Site::current());
      }
      *static_cast<T*>(outputs[lane]) = static_cast<const Offer*>(inputs[source])->value;
    }
  }
};

template <typename T>
T Shuffle(uint32_t mask, T value, uint32_t source, const Site& site) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "what the hardware shuffles");
  const Offer<T> offer{value, source};
  T result{};
  Exchange(mask, &Offer<T>::Deliver, &offer, &result, site);
  return result;
}

inline uint32_t OwnLane() {
  const Extent index = ThreadIndex();
  const Extent block = BlockExtent();
  return (index.x + block.x * (index.y + block.y * index.z)) % 32;
}

}  // namespace infercept::emulation

template <typename T>
T __shfl_sync(uint32_t mask, T value, int source, int width = 32,
              const infercept::emulation::Site& site = infercept::emulation::Site::current()) {
  const uint32_t lane = infercept::emulation::OwnLane();
  const auto lanes = static_cast<uint32_t>(width);
  const uint32_t from = lane / lanes * lanes + static_cast<uint32_t>(source) % lanes;
  return infercept::emulation::Shuffle(mask, value, from, site);
}

template <typename T>
T __shfl_xor_sync(uint32_t mask, T value, int lane_mask, int width = 32,
                  const infercept::emulation::Site& site = infercept::emulation::Site::current()) {
  const uint32_t lane = infercept::emulation::OwnLane();
  const auto lanes = static_cast<uint32_t>(width);
  const uint32_t from = lane ^ static_cast<uint32_t>(lane_mask);
  const bool inside = from / lanes <= lane / lanes;
  return infercept::emulation::Shuffle(mask, value, inside ? from : lane, site);
}

template <typename T>
T __shfl_up_sync(uint32_t mask, T value, uint32_t delta, int width = 32,
                 const infercept::emulation::Site& site = infercept::emulation::Site::current()) {
  const uint32_t lane = infercept::emulation::OwnLane();
  const uint32_t place = lane % static_cast<uint32_t>(width);
  return infercept::emulation::Shuffle(mask, value, place < delta ? lane : lane - delta, site);
}

template <typename T>
T __shfl_down_sync(uint32_t mask, T value, uint32_t delta, int width = 32,
                   const infercept::emulation::Site& site = infercept::emulation::Site::current()) {
  const uint32_t lane = infercept::emulation::OwnLane();
  const auto lanes = static_cast<uint32_t>(width);
  const bool inside = lane % lanes + delta < lanes;
  return infercept::emulation::Shuffle(mask, value, inside ? lane + delta : lane, site);
}

inline uint32_t __ballot_sync(
    uint32_t mask, bool predicate,
    const infercept::emulation::Site& site = infercept::emulation::Site::current()) {
  return infercept::emulation::Ballot(mask, predicate, site);
}

inline bool __any_sync(
    uint32_t mask, bool predicate,
    const infercept::emulation::Site& site = infercept::emulation::Site::current()) {
  return infercept::emulation::Ballot(mask, predicate, site) != 0;
}

inline bool __all_sync(
    uint32_t mask, bool predicate,
    const infercept::emulation::Site& site = infercept::emulation::Site::current()) {
  return infercept::emulation::Ballot(mask, predicate, site) == mask;
}

inline void __syncwarp(uint32_t mask = 0xFFFFFFFFu, const infercept::emulation::Site& site =
                                                        infercept::emulation::Site::current()) {
  infercept::emulation::Ballot(mask, true, site);
}

inline void __threadfence() {}

// Threads of all blocks take turns on one thread of the host: plain code is atomic.
template <typename T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  const T old = *address;
  *address = static_cast<T>(old + value);
  return old;
}

template <typename T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  const T old = *address;
  *address = std::max(old, value);
  return old;
}

template <typename T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  const T old = *address;
  *address = std::min(old, value);
  return old;
}

template <typename T>
T atomicExch(T* address, std::type_identity_t<T> value) {
  const T old = *address;
  *address = value;
  return old;
}

template <typename T>
T atomicCAS(T* address, std::type_identity_t<T> compare, std::type_identity_t<T> value) {
  const T old = *address;
  if (old == compare) *address = value;
  return old;
}

inline float __uint_as_float(uint32_t bits) { return std::bit_cast<float>(bits); }
inline uint32_t __float_as_uint(float value) { return std::bit_cast<uint32_t>(value); }
inline int __popc(uint32_t bits) { return std::popcount(bits); }
inline int __clz(uint32_t bits) { return std::countl_zero(bits); }
inline int __ffs(uint32_t bits) { return bits == 0 ? 0 : std::countr_zero(bits) + 1; }
// The hardware's has about two units in the last place of error.
inline float rsqrtf(float value) { return 1.0f / std::sqrt(value); }
inline float __expf(float value) { return std::exp(value); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline uint32_t __umulhi(uint32_t a, uint32_t b) {
  return static_cast<uint32_t>(uint64_t{a} * b >> 32);
}

// Byte i of the result is byte `selector nibble i` of the eight bytes of a, then b.
inline uint32_t __byte_perm(uint32_t a, uint32_t b, uint32_t selector) {
  const uint64_t bytes = uint64_t{b} << 32 | a;
  uint32_t result = 0;
  for (uint32_t i = 0; i < 4; ++i) {
    const uint32_t from = selector >> (4 * i) & 7u;
    result |= static_cast<uint32_t>(bytes >> (8 * from) & 0xFFu) << (8 * i);
  }
  return result;
}

// Sum of the products of four signed bytes each.
inline int __dp4a(int a, int b, int sum) {
  for (int i = 0; i < 4; ++i) {
    const auto byte = [i](int word) {
      return static_cast<int8_t>(static_cast<uint32_t>(word) >> (8 * i));
    };
    sum += byte(a) * byte(b);
  }
  return sum;
}
