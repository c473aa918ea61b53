// The two 16-bit floats and the one of 8 bits, and their conversions in plain code, for tables,
// tails and the reference.
#pragma once

#include <bit>
#include <cstdint>

namespace infercept {

enum class F16 : uint16_t {};   // IEEE binary16: 1 sign, 5 exponent, 10 fraction bits.
enum class BF16 : uint16_t {};  // The upper half of an IEEE binary32.
// 1 sign, 4 exponent, 3 fraction bits; no infinities, and one NaN of each sign, 0x7F (Micikevicius
// et al. 2022, "FP8 Formats for Deep Learning").
enum class E4M3 : uint8_t {};

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

inline constexpr float kE4M3Max = 448.0f;

inline float ToFloat(E4M3 value) {
  const uint32_t bits = static_cast<uint32_t>(value);
  const uint32_t sign = (bits & 0x80u) << 24;
  const uint32_t magnitude = bits & 0x7Fu;
  if (magnitude == 0x7Fu) return std::bit_cast<float>(sign | 0x7FC00000u);
  if (magnitude < 0x08u) {  // zero, subnormal: multiples of 2^-9
    const float value_of = static_cast<float>(magnitude) * 0x1p-9f;
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(value_of));
  }
  return std::bit_cast<float>(sign | (magnitude + ((127u - 7u) << 3)) << 20);
}

// Round to nearest, ties to even; what is too large becomes the largest number, NaN stays NaN.
// constexpr: devices compute it, too.
constexpr E4M3 ToE4M3(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 24) & 0x80u;
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return static_cast<E4M3>(sign | 0x7Fu);
  if (magnitude >= std::bit_cast<uint32_t>(kE4M3Max)) return static_cast<E4M3>(sign | 0x7Eu);
  // Below 2^-6, adding 2^14 leaves the multiples of 2^-9 in the low bits.
  if (magnitude < 0x3C800000u) {
    const float shifted = std::bit_cast<float>(magnitude) + 0x1p14f;
    return static_cast<E4M3>(sign | (std::bit_cast<uint32_t>(shifted) - 0x46800000u));
  }
  const uint32_t rounded = magnitude - ((127u - 7u) << 23) + 0x7FFFFu + ((magnitude >> 20) & 1u);
  return static_cast<E4M3>(sign | rounded >> 20);
}

}  // namespace infercept
