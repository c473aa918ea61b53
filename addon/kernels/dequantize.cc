#include "kernels/dequantize.h"

#include <cstring>

#include "kernels/blocks.h"

namespace infercept {
namespace {

template <typename Float>
void DequantizeFloats(const std::byte* row, uint32_t columns, float* out) {
  for (uint32_t c = 0; c < columns; ++c) {
    Float value;  // rows of a mapped file need not be aligned
    std::memcpy(&value, row + c * sizeof(Float), sizeof(Float));
    out[c] = ToFloat(value);
  }
}

uint32_t Low(uint32_t byte) { return byte & 15; }
uint32_t High(uint32_t byte) { return byte >> 4; }
uint32_t Bit(const uint8_t* bits, uint32_t index) { return (bits[index / 8] >> (index % 8)) & 1u; }

// The code of value c in runs of 32 values, 8 / kBits of which share 32 bytes.
template <uint32_t kBits>
uint32_t RunCode(const uint8_t* codes, uint32_t c) {
  constexpr uint32_t kShared = 8 / kBits;
  const uint32_t run = c / 32;
  return (codes[run / kShared * 32 + c % 32] >> (run % kShared * kBits)) & ((1u << kBits) - 1);
}

float Exact(uint32_t code) { return static_cast<float>(code); }
float Exact(int32_t code) { return static_cast<float>(code); }

// scale * (code - offset).
float Centred(float scale, uint32_t code, int32_t offset) {
  return scale * Exact(static_cast<int32_t>(code) - offset);
}

void Dequantize(const Q8_0Block& block, float* out) {
  const float scale = block.scale.Load();
  for (uint32_t i = 0; i < 32; ++i) out[i] = scale * Exact(int32_t{block.codes[i]});
}

void Dequantize(const Q4_0Block& block, float* out) {
  const float scale = block.scale.Load();
  for (uint32_t i = 0; i < 16; ++i) {
    out[i] = Centred(scale, Low(block.codes[i]), 8);
    out[16 + i] = Centred(scale, High(block.codes[i]), 8);
  }
}

void Dequantize(const Q4_1Block& block, float* out) {
  const float scale = block.scale.Load();
  const float minimum = block.minimum.Load();
  for (uint32_t i = 0; i < 16; ++i) {
    out[i] = scale * Exact(Low(block.codes[i])) + minimum;
    out[16 + i] = scale * Exact(High(block.codes[i])) + minimum;
  }
}

void Dequantize(const Q5_0Block& block, float* out) {
  const float scale = block.scale.Load();
  for (uint32_t i = 0; i < 16; ++i) {
    out[i] = Centred(scale, Low(block.codes[i]) | Bit(block.high, i) << 4, 16);
    out[16 + i] = Centred(scale, High(block.codes[i]) | Bit(block.high, 16 + i) << 4, 16);
  }
}

void Dequantize(const Q5_1Block& block, float* out) {
  const float scale = block.scale.Load();
  const float minimum = block.minimum.Load();
  for (uint32_t i = 0; i < 16; ++i) {
    out[i] = scale * Exact(Low(block.codes[i]) | Bit(block.high, i) << 4) + minimum;
    out[16 + i] = scale * Exact(High(block.codes[i]) | Bit(block.high, 16 + i) << 4) + minimum;
  }
}

void DequantizeLevels(const int8_t levels[16], float scale, const uint8_t* codes, float* out) {
  for (uint32_t i = 0; i < 16; ++i) {
    out[i] = scale * Exact(int32_t{levels[Low(codes[i])]});
    out[16 + i] = scale * Exact(int32_t{levels[High(codes[i])]});
  }
}

void Dequantize(const IQ4_NLBlock& block, float* out) {
  DequantizeLevels(kIq4Values, block.scale.Load(), block.codes, out);
}

void Dequantize(const MXFP4Block& block, float* out) {
  DequantizeLevels(kMxfp4Values, Mxfp4Scale(block.exponent), block.codes, out);
}

void Dequantize(const IQ4_XSBlock& block, float* out) {
  const float scale = block.scale.Load();
  for (uint32_t run = 0; run < 8; ++run) {
    DequantizeLevels(kIq4Values, scale * Exact(Iq4XsScale(block, run)), block.codes + 16 * run,
                     out + 32 * run);
  }
}

void Dequantize(const Q2_KBlock& block, float* out) {
  const float scale = block.scale.Load();
  const float minimum = block.minimum.Load();
  for (uint32_t run = 0; run < 16; ++run) {
    const float run_scale = scale * Exact(Low(block.scales[run]));
    const float run_minimum = minimum * Exact(High(block.scales[run]));
    for (uint32_t c = 16 * run; c < 16 * run + 16; ++c) {
      out[c] = run_scale * Exact(RunCode<2>(block.codes, c)) - run_minimum;
    }
  }
}

void Dequantize(const Q3_KBlock& block, float* out) {
  const float scale = block.scale.Load();
  for (uint32_t run = 0; run < 16; ++run) {
    const float run_scale = scale * Exact(Q3Scale(block.scales, run));
    for (uint32_t c = 16 * run; c < 16 * run + 16; ++c) {
      const uint32_t code = RunCode<2>(block.codes, c) | RunCode<1>(block.high, c) << 2;
      out[c] = Centred(run_scale, code, 4);
    }
  }
}

void Dequantize(const Q4_KBlock& block, float* out) {
  const float scale = block.scale.Load();
  const float minimum = block.minimum.Load();
  for (uint32_t run = 0; run < 8; ++run) {
    const float run_scale = scale * Exact(RunScale(block.scales, run));
    const float run_minimum = minimum * Exact(RunMinimum(block.scales, run));
    for (uint32_t c = 32 * run; c < 32 * run + 32; ++c) {
      out[c] = run_scale * Exact(RunCode<4>(block.codes, c)) - run_minimum;
    }
  }
}

void Dequantize(const Q5_KBlock& block, float* out) {
  const float scale = block.scale.Load();
  const float minimum = block.minimum.Load();
  for (uint32_t run = 0; run < 8; ++run) {
    const float run_scale = scale * Exact(RunScale(block.scales, run));
    const float run_minimum = minimum * Exact(RunMinimum(block.scales, run));
    for (uint32_t c = 32 * run; c < 32 * run + 32; ++c) {
      const uint32_t code = RunCode<4>(block.codes, c) | RunCode<1>(block.high, c) << 4;
      out[c] = run_scale * Exact(code) - run_minimum;
    }
  }
}

void Dequantize(const Q6_KBlock& block, float* out) {
  const float scale = block.scale.Load();
  for (uint32_t c = 0; c < 256; ++c) {
    const float run_scale = scale * Exact(int32_t{block.scales[c / 16]});
    const uint32_t low = (block.codes[c / 128 * 64 + c % 64] >> (c % 128 / 64 * 4)) & 15u;
    out[c] = Centred(run_scale, low | RunCode<2>(block.high, c) << 4, 32);
  }
}

template <typename Block>
void DequantizeBlocks(const std::byte* row, uint32_t columns, float* out) {
  constexpr uint32_t kValues = BlockValues(Block::kDType);
  const Block* blocks = reinterpret_cast<const Block*>(row);
  for (uint32_t b = 0; b < columns / kValues; ++b) Dequantize(blocks[b], out + b * kValues);
}

}  // namespace

void DequantizeRow(DType dtype, const std::byte* row, uint32_t columns, float* out) {
  switch (dtype) {
    case DType::kF32:
      std::memcpy(out, row, columns * sizeof(float));
      return;
    case DType::kF16:
      return DequantizeFloats<F16>(row, columns, out);
    case DType::kBF16:
      return DequantizeFloats<BF16>(row, columns, out);
    case DType::kQ8_0:
      return DequantizeBlocks<Q8_0Block>(row, columns, out);
    case DType::kQ4_0:
      return DequantizeBlocks<Q4_0Block>(row, columns, out);
    case DType::kQ4_1:
      return DequantizeBlocks<Q4_1Block>(row, columns, out);
    case DType::kQ5_0:
      return DequantizeBlocks<Q5_0Block>(row, columns, out);
    case DType::kQ5_1:
      return DequantizeBlocks<Q5_1Block>(row, columns, out);
    case DType::kQ2_K:
      return DequantizeBlocks<Q2_KBlock>(row, columns, out);
    case DType::kQ3_K:
      return DequantizeBlocks<Q3_KBlock>(row, columns, out);
    case DType::kQ4_K:
      return DequantizeBlocks<Q4_KBlock>(row, columns, out);
    case DType::kQ5_K:
      return DequantizeBlocks<Q5_KBlock>(row, columns, out);
    case DType::kQ6_K:
      return DequantizeBlocks<Q6_KBlock>(row, columns, out);
    case DType::kIQ4_NL:
      return DequantizeBlocks<IQ4_NLBlock>(row, columns, out);
    case DType::kIQ4_XS:
      return DequantizeBlocks<IQ4_XSBlock>(row, columns, out);
    case DType::kMXFP4:
      return DequantizeBlocks<MXFP4Block>(row, columns, out);
    case DType::kF8_E4M3:
      return DequantizeFloats<E4M3>(row, columns, out);
  }
}

}  // namespace infercept
