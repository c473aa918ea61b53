// The two 16-bit floats and their conversions in plain code, for tables, tails and the reference.
#pragma once

#include <bit>
#include <cstdint>

namespace infercept {

enum class F16 : uint16_t {};   // IEEE binary16: 1 sign, 5 exponent, 10 fraction bits.
enum class BF16 : uint16_t {};  // The upper half of an IEEE binary32.

inline float ToFloat(BF16 value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value) << 16);
}

inline float ToFloat(F16 value) {
  const uint32_t bits = static_cast<uint32_t>(value);
  const uint32_t sign = (bits & 0x8000u) << 16;
  const uint32_t magnitude = bits & 0x7FFFu;
  if (magnitude >= 0x7C00u) {  // infinity, NaN
    return std::bit_cast<float>(sign | 0x7F800000u | (magnitude & 0x3FFu) << 13);
  }
  if (magnitude < 0x0400u) {  // zero, subnormal: multiples of 2^-24
    const float value_of = static_cast<float>(magnitude) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(value_of));
  }
  return std::bit_cast<float>(sign | (magnitude + ((127u - 15u) << 10)) << 13);
}

// Round to nearest, ties to even; NaN stays NaN.
inline BF16 ToBF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<BF16>((bits >> 16) | 0x40u);
  return static_cast<BF16>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

// Round to nearest, ties to even; what is too large becomes infinity, NaN stays NaN.
inline F16 ToF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return static_cast<F16>(sign | 0x7E00u);
  if (magnitude >= 0x477FF000u) return static_cast<F16>(sign | 0x7C00u);  // >= 65520
  // Below 2^-14, adding 0.5 leaves the multiples of 2^-24 in the low bits.
  if (magnitude < 0x38800000u) {
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<F16>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3F000000u));
  }
  const uint32_t rounded = magnitude - ((127u - 15u) << 23) + 0xFFFu + ((magnitude >> 13) & 1u);
  return static_cast<F16>(sign | (rounded >> 13));
}

}  // namespace infercept
