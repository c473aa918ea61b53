// The vocabulary with one lane: plain C++, on every machine. simd_avx2.h and simd_avx512.h spell the same words.
// Each word's meaning is written here.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/half.h"

namespace infercept::cpu::scalar {

inline constexpr uint32_t kLanes = 1;

using F32 = float;          // kLanes floats
using I32 = int32_t;        // kLanes int32
struct Bytes {              // kLanes times 4 bytes
  int8_t at[4];
};

// Added to a weight by Pack so that DotBytes can take it; see DotBytes.
inline constexpr int32_t kWeightBias = 0;

inline F32 Zero() { return 0; }
inline F32 Set(float x) { return x; }  // in all lanes
inline F32 Load(const float* from) { return *from; }
inline F32 Load(const F16* from) { return ToFloat(*from); }
inline F32 Load(const BF16* from) { return ToFloat(*from); }
inline void Store(float* to, F32 x) { *to = x; }
inline void Store(F16* to, F32 x) { *to = ToF16(x); }    // rounds to nearest even
inline void Store(BF16* to, F32 x) { *to = ToBF16(x); }  // rounds to nearest even
inline void Store(int8_t* to, F32 x) { *to = static_cast<int8_t>(x); }  // integral, in int8's range

inline F32 Add(F32 a, F32 b) { return a + b; }
inline F32 Subtract(F32 a, F32 b) { return a - b; }
inline F32 Multiply(F32 a, F32 b) { return a * b; }
inline F32 Divide(F32 a, F32 b) { return a / b; }
inline F32 MultiplyAdd(F32 a, F32 b, F32 c) { return a * b + c; }  // one rounding where the ISA has it
inline F32 Max(F32 a, F32 b) { return a > b ? a : b; }
inline F32 Min(F32 a, F32 b) { return a < b ? a : b; }
inline F32 Abs(F32 a) { return std::fabs(a); }
inline F32 Round(F32 a) { return std::nearbyint(a); }  // to nearest even
// 2^n. REQUIRES: n integral, -126 <= n <= 127.
inline F32 PowerOfTwo(F32 n) {
  return std::bit_cast<float>((static_cast<uint32_t>(static_cast<int32_t>(n) + 127)) << 23);
}
inline F32 ZeroWhereLess(F32 value, F32 a, F32 b) { return a < b ? 0 : value; }
inline float SumLanes(F32 a) { return a; }  // in a fixed order
inline float MaxLane(F32 a) { return a; }
inline float FirstLane(F32 a) { return a; }
inline void Transpose(F32 (&)[kLanes]) {}  // rows become columns

inline I32 SetInt(int32_t x) { return x; }
inline F32 ToFloats(I32 a) { return static_cast<float>(a); }
inline Bytes LoadBytes(const void* from) {
  Bytes bytes;
  std::memcpy(&bytes, from, sizeof(bytes));
  return bytes;
}
// The same 4 bytes in all lanes.
inline Bytes SetBytes(const int8_t* from) { return LoadBytes(from); }
// Per lane: sum + w0 x0 + ... + w3 x3. With kWeightBias = 128 the bytes of `weights` are unsigned; the caller starts the sum
// at -kWeightBias (x0 + x1 + ...), and it ends as if no bias had been added. REQUIRES: -127 <= x <= 127.
inline I32 DotBytes(I32 sum, Bytes weights, Bytes x) {
  for (int i = 0; i < 4; ++i) sum += weights.at[i] * x.at[i];
  return sum;
}

}  // namespace infercept::cpu::scalar
