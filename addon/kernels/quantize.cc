#include "kernels/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/quantize_fitted.h"

namespace infercept {
namespace {

struct Range {
  float lowest;
  float highest;
};

Range RangeOf(const float* x) {
  Range range = {x[0], x[0]};
  for (uint32_t i = 1; i < 32; ++i) {
    range.lowest = std::min(range.lowest, x[i]);
    range.highest = std::max(range.highest, x[i]);
  }
  return range;
}

// The first value of the largest magnitude, with its sign.
float PeakOf(const float* x) {
  float peak = x[0];
  for (uint32_t i = 1; i < 32; ++i) {
    if (std::abs(x[i]) > std::abs(peak)) peak = x[i];
  }
  return peak;
}

// Eight lanes, so that the compiler can use vectors.
float MagnitudeOf(const float* x) {
  float lanes[8] = {};
  for (uint32_t i = 0; i < 32; i += 8) {
    for (uint32_t lane = 0; lane < 8; ++lane) {
      lanes[lane] = std::max(lanes[lane], std::abs(x[i + lane]));
    }
  }
  return *std::max_element(lanes, lanes + 8);
}

float Inverse(float scale) { return scale == 0 ? 0.0f : 1 / scale; }

// Towards zero, into [0, highest]; NaN becomes 0.
uint8_t Code(float value, float highest) {
  const float positive = value > 0 ? value : 0.0f;
  return static_cast<uint8_t>(positive < highest ? positive : highest);
}

// Half away from zero, into [-127, 127]; NaN becomes 127.
int8_t Rounded(float value) {
  const float magnitude = std::abs(value) < 127 ? std::abs(value) : 127.0f;
  const auto whole = static_cast<int32_t>(magnitude);
  const int32_t rounded = whole + (magnitude - static_cast<float>(whole) >= 0.5f ? 1 : 0);
  return static_cast<int8_t>(value < 0 ? -rounded : rounded);
}

void PackHalved(const uint8_t* codes, uint8_t* out) {
  for (uint32_t i = 0; i < 16; ++i) {
    out[i] = static_cast<uint8_t>((codes[i] & 15) | codes[16 + i] << 4);
  }
}

void PackFifthBits(const uint8_t* codes, uint8_t* high) {
  std::memset(high, 0, 4);
  for (uint32_t i = 0; i < 32; ++i) {
    high[i / 8] = static_cast<uint8_t>(high[i / 8] | codes[i] >> 4 << (i % 8));
  }
}

void QuantizeBlock(const float* x, Q8_0Block& block) {
  const float scale = MagnitudeOf(x) / 127;
  const float inverse = Inverse(scale);
  block.scale.Store(scale);
  for (uint32_t i = 0; i < 32; ++i) block.codes[i] = Rounded(x[i] * inverse);
}

// Codes from 0 to 2 * middle - 1; the peak gets code 0, so that its sign decides that of the scale.
template <typename Block>
void QuantizeCentred(const float* x, float middle, uint8_t codes[32], Block& block) {
  const float scale = PeakOf(x) / -middle;
  const float inverse = Inverse(scale);
  block.scale.Store(scale);
  for (uint32_t i = 0; i < 32; ++i) {
    codes[i] = Code(x[i] * inverse + (middle + 0.5f), 2 * middle - 1);
  }
}

template <typename Block>
void QuantizeRange(const float* x, float highest_code, uint8_t codes[32], Block& block) {
  const Range range = RangeOf(x);
  const float scale = (range.highest - range.lowest) / highest_code;
  const float inverse = Inverse(scale);
  block.scale.Store(scale);
  block.minimum.Store(range.lowest);
  for (uint32_t i = 0; i < 32; ++i) {
    codes[i] = Code((x[i] - range.lowest) * inverse + 0.5f, highest_code);
  }
}

void QuantizeBlock(const float* x, Q4_0Block& block) {
  uint8_t codes[32];
  QuantizeCentred(x, 8, codes, block);
  PackHalved(codes, block.codes);
}

void QuantizeBlock(const float* x, Q4_1Block& block) {
  uint8_t codes[32];
  QuantizeRange(x, 15, codes, block);
  PackHalved(codes, block.codes);
}

void QuantizeBlock(const float* x, Q5_0Block& block) {
  uint8_t codes[32];
  QuantizeCentred(x, 16, codes, block);
  PackHalved(codes, block.codes);
  PackFifthBits(codes, block.high);
}

void QuantizeBlock(const float* x, Q5_1Block& block) {
  uint8_t codes[32];
  QuantizeRange(x, 31, codes, block);
  PackHalved(codes, block.codes);
  PackFifthBits(codes, block.high);
}

// So that the peak is between 4 and 8 times 2^(exponent - 127): the largest value is 6.
uint8_t Mxfp4Exponent(float peak) {
  if (!(peak > 0)) return 0;
  return static_cast<uint8_t>(std::clamp(std::floor(std::log2(peak)) + 125.0f, 0.0f, 254.0f));
}

// The nearest value, of two equally near ones that closer to zero, which has the lower code.
uint8_t Mxfp4Code(float magnitude, float scale) {
  uint8_t code = 0;
  float least = magnitude;
  for (uint8_t candidate = 1; candidate < 8; ++candidate) {
    const float error = std::abs(scale * static_cast<float>(kMxfp4Values[candidate]) - magnitude);
    if (error < least) {
      least = error;
      code = candidate;
    }
  }
  return code;
}

void QuantizeBlock(const float* x, MXFP4Block& block) {
  uint8_t codes[32];
  block.exponent = Mxfp4Exponent(MagnitudeOf(x));
  const float scale = Mxfp4Scale(block.exponent);
  for (uint32_t i = 0; i < 32; ++i) {
    codes[i] = Mxfp4Code(std::abs(x[i]), scale);
    if (x[i] < 0 && codes[i] > 0) codes[i] |= 8;  // zero has no sign
  }
  PackHalved(codes, block.codes);
}

template <typename Block>
void QuantizeBlocks(const float* x, uint32_t columns, std::byte* out) {
  constexpr uint32_t kValues = BlockValues(Block::kDType);
  Block* blocks = reinterpret_cast<Block*>(out);
  for (uint32_t b = 0; b < columns / kValues; ++b) QuantizeBlock(x + b * kValues, blocks[b]);
}

template <typename Float>
void QuantizeFloats(Float (*convert)(float), const float* x, uint32_t columns, std::byte* out) {
  for (uint32_t c = 0; c < columns; ++c) {
    const Float value = convert(x[c]);
    std::memcpy(out + c * sizeof(Float), &value, sizeof(Float));
  }
}

}  // namespace

void QuantizeRow(DType dtype, const float* x, uint32_t columns, std::byte* out) {
  switch (dtype) {
    case DType::kF32:
      std::memcpy(out, x, columns * sizeof(float));
      return;
    case DType::kF16:
      return QuantizeFloats(ToF16, x, columns, out);
    case DType::kBF16:
      return QuantizeFloats(ToBF16, x, columns, out);
    case DType::kQ8_0:
      return QuantizeBlocks<Q8_0Block>(x, columns, out);
    case DType::kQ4_0:
      return QuantizeBlocks<Q4_0Block>(x, columns, out);
    case DType::kQ4_1:
      return QuantizeBlocks<Q4_1Block>(x, columns, out);
    case DType::kQ5_0:
      return QuantizeBlocks<Q5_0Block>(x, columns, out);
    case DType::kQ5_1:
      return QuantizeBlocks<Q5_1Block>(x, columns, out);
    case DType::kQ2_K:
      return QuantizeBlocks<Q2_KBlock>(x, columns, out);
    case DType::kQ3_K:
      return QuantizeBlocks<Q3_KBlock>(x, columns, out);
    case DType::kQ4_K:
      return QuantizeBlocks<Q4_KBlock>(x, columns, out);
    case DType::kQ5_K:
      return QuantizeBlocks<Q5_KBlock>(x, columns, out);
    case DType::kQ6_K:
      return QuantizeBlocks<Q6_KBlock>(x, columns, out);
    case DType::kIQ4_NL:
      return QuantizeBlocks<IQ4_NLBlock>(x, columns, out);
    case DType::kIQ4_XS:
      return QuantizeBlocks<IQ4_XSBlock>(x, columns, out);
    case DType::kMXFP4:
      return QuantizeBlocks<MXFP4Block>(x, columns, out);
    case DType::kF8_E4M3:
      return QuantizeFloats(ToE4M3, x, columns, out);
  }
}

}  // namespace infercept
