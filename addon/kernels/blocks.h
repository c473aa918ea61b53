// The blocks of the quantized dtypes, byte for byte as GGUF files have them. A block may begin at
// any address. All numbers are little-endian, so is the machine.
//
// Codes of 32-value blocks, 4 bits each ("halved"): byte i holds value i in its low bits and value
// 16 + i in its high bits.
// Codes of K blocks (256 values) with b bits: runs of 32 values, 8 / b runs share 32 bytes: byte i
// holds value i of each run, the first run in the lowest bits.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/dtype.h"
#include "kernels/half.h"

namespace infercept {

// An F16 at any address.
struct HalfBytes {
  uint8_t bytes[2];

  float Load() const {
    uint16_t bits;
    std::memcpy(&bits, bytes, sizeof(bits));
    return ToFloat(static_cast<F16>(bits));
  }
  void Store(float value) {
    const F16 half = ToF16(value);
    std::memcpy(bytes, &half, sizeof(half));
  }
};

// value = scale * code, code in [-128, 127].
struct Q8_0Block {
  static constexpr DType kDType = DType::kQ8_0;
  HalfBytes scale;
  int8_t codes[32];
};

// value = scale * (code - 8).
struct Q4_0Block {
  static constexpr DType kDType = DType::kQ4_0;
  HalfBytes scale;
  uint8_t codes[16];  // halved
};

// value = scale * code + minimum.
struct Q4_1Block {
  static constexpr DType kDType = DType::kQ4_1;
  HalfBytes scale;
  HalfBytes minimum;
  uint8_t codes[16];  // halved
};

// value = scale * (code - 16).
struct Q5_0Block {
  static constexpr DType kDType = DType::kQ5_0;
  HalfBytes scale;
  uint8_t high[4];    // bit i: bit 4 of code i
  uint8_t codes[16];  // halved, bits 0 to 3
};

// value = scale * code + minimum.
struct Q5_1Block {
  static constexpr DType kDType = DType::kQ5_1;
  HalfBytes scale;
  HalfBytes minimum;
  uint8_t high[4];    // bit i: bit 4 of code i
  uint8_t codes[16];  // halved, bits 0 to 3
};

// value = scale * kIq4Values[code].
struct IQ4_NLBlock {
  static constexpr DType kDType = DType::kIQ4_NL;
  HalfBytes scale;
  uint8_t codes[16];  // halved
};

// value = Mxfp4Scale(exponent) * kMxfp4Values[code].
struct MXFP4Block {
  static constexpr DType kDType = DType::kMXFP4;
  uint8_t exponent;
  uint8_t codes[16];  // halved
};

// value = scale * scales[run] * code - minimum * minimums[run], runs of 16 values.
struct Q2_KBlock {
  static constexpr DType kDType = DType::kQ2_K;
  uint8_t scales[16];  // of run i: low 4 bits scale, high 4 bits minimum
  uint8_t codes[64];   // 2 bits
  HalfBytes scale;
  HalfBytes minimum;
};

// value = scale * (scales[run] - 32) * (code - 4), runs of 16 values.
struct Q3_KBlock {
  static constexpr DType kDType = DType::kQ3_K;
  uint8_t high[32];    // bit r of byte i: bit 2 of the code of value 32 r + i
  uint8_t codes[64];   // bits 0 and 1
  uint8_t scales[12];  // Q3Scale
  HalfBytes scale;
};

// value = scale * scales[run] * code - minimum * minimums[run], runs of 32 values.
struct Q4_KBlock {
  static constexpr DType kDType = DType::kQ4_K;
  HalfBytes scale;
  HalfBytes minimum;
  uint8_t scales[12];  // RunScale, RunMinimum
  uint8_t codes[128];  // 4 bits
};

// As Q4_K with codes of 5 bits.
struct Q5_KBlock {
  static constexpr DType kDType = DType::kQ5_K;
  HalfBytes scale;
  HalfBytes minimum;
  uint8_t scales[12];  // RunScale, RunMinimum
  uint8_t high[32];    // bit r of byte i: bit 4 of the code of value 32 r + i
  uint8_t codes[128];  // bits 0 to 3
};

// value = scale * scales[run] * (code - 32), runs of 16 values.
struct Q6_KBlock {
  static constexpr DType kDType = DType::kQ6_K;
  // Bits 0 to 3. Unlike Q4_K's: of each 128 values, byte i holds value i and value 64 + i.
  uint8_t codes[128];
  uint8_t high[64];  // bits 4 and 5, as 2-bit codes are stored
  int8_t scales[16];
  HalfBytes scale;
};

// value = scale * (scales[run] - 32) * kIq4Values[code], runs of 32 values.
struct IQ4_XSBlock {
  static constexpr DType kDType = DType::kIQ4_XS;
  HalfBytes scale;
  uint8_t scales_high[2];  // bits 4 and 5 of the scale of run i: bits 2i and 2i + 1
  uint8_t scales_low[4];   // bits 0 to 3 of the scale of run i: nibble i
  uint8_t codes[128];      // 16 bytes per run, halved
};

// True if a pointer to bytes may be read as a Block.
template <typename Block>
inline constexpr bool kFitsBytes =
    alignof(Block) == 1 && sizeof(Block) == BlockBytes(Block::kDType);
static_assert(kFitsBytes<Q8_0Block> && kFitsBytes<Q4_0Block> && kFitsBytes<Q4_1Block> &&
              kFitsBytes<Q5_0Block> && kFitsBytes<Q5_1Block> && kFitsBytes<Q2_KBlock> &&
              kFitsBytes<Q3_KBlock> && kFitsBytes<Q4_KBlock> && kFitsBytes<Q5_KBlock> &&
              kFitsBytes<Q6_KBlock> && kFitsBytes<IQ4_NLBlock> && kFitsBytes<IQ4_XSBlock> &&
              kFitsBytes<MXFP4Block>);

// The 16 levels of IQ4: denser near zero, as weights are.
inline constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};

// The 16 values of a 4-bit float with one fraction bit (OCP Microscaling 1.0, E2M1), doubled so
// that they are whole.
inline constexpr int8_t kMxfp4Values[16] = {0, 1,  2,  3,  4,  6,  8,  12,
                                            0, -1, -2, -3, -4, -6, -8, -12};

// Half of 2^(exponent - 127), because the values above are doubled. The two smallest are subnormal.
inline float Mxfp4Scale(uint8_t exponent) {
  const uint32_t bits =
      exponent < 2 ? 0x00200000u << exponent : (static_cast<uint32_t>(exponent) - 1) << 23;
  return std::bit_cast<float>(bits);
}

// The eight 6-bit scales and minimums of Q4_K and Q5_K in 12 bytes. Runs 0 to 3: bytes 0 to 3 and
// 4 to 7, low 6 bits. Runs 4 to 7: low 4 bits in bytes 8 to 11 (scale low, minimum high), the other
// two in the high bits of the bytes of run - 4.
constexpr uint32_t RunScale(const uint8_t scales[12], uint32_t run) {
  if (run < 4) return scales[run] & 63u;
  return (scales[run + 4] & 15u) | (scales[run - 4] >> 6u) << 4;
}
constexpr uint32_t RunMinimum(const uint8_t scales[12], uint32_t run) {
  if (run < 4) return scales[run + 4] & 63u;
  return static_cast<uint32_t>(scales[run + 4] >> 4) | (scales[run] >> 6u) << 4;
}

// The sixteen 6-bit scales of Q3_K in 12 bytes: bits 0 to 3 of scale i in nibble i / 8 of byte
// i % 8, bits 4 and 5 in bit pair i / 4 of byte 8 + i % 4.
constexpr int32_t Q3Scale(const uint8_t scales[12], uint32_t run) {
  const uint32_t low = (scales[run % 8] >> (run / 8 * 4)) & 15u;
  const uint32_t high = (scales[8 + run % 4] >> (run / 4 * 2)) & 3u;
  return static_cast<int32_t>(low | high << 4) - 32;
}

constexpr int32_t Iq4XsScale(const IQ4_XSBlock& block, uint32_t run) {
  const uint32_t low = (block.scales_low[run / 2] >> (run % 2 * 4)) & 15u;
  const uint32_t high = (block.scales_high[run / 4] >> (run % 4 * 2)) & 3u;
  return static_cast<int32_t>(low | high << 4) - 32;
}

}  // namespace infercept
