#include "kernels/cuda/weight_pack.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "kernels/blocks.h"
#include "kernels/cuda/weight_layout.h"
#include "kernels/dequantize.h"

namespace infercept::cuda {
namespace {

// A block of any quantized dtype taken apart: what stands for each of its values, in column order.
struct Parts {
  uint32_t values = 0;                       // of the block: 32 or 256
  std::array<uint8_t, kChunkColumns> codes;  // 8-bit ones with the highest bit flipped
  std::array<uint8_t, 16> factors{};
  std::array<uint8_t, 16> minimums{};
  HalfBytes scale{};    // kBrain: a BF16
  HalfBytes minimum{};  // by which the minimums count
};

uint32_t Low(uint32_t byte) { return byte & 15; }
uint32_t High(uint32_t byte) { return byte >> 4; }
uint8_t Byte(uint32_t value) { return static_cast<uint8_t>(value); }
uint8_t Byte(int32_t value) { return static_cast<uint8_t>(value); }
uint8_t Flipped(int32_t value) { return static_cast<uint8_t>(value ^ 0x80); }

// Codes of 32 values, 16 bytes: low halves, then high halves.
void TakeHalved(const uint8_t codes[16], uint8_t* out) {
  for (uint32_t i = 0; i < 16; ++i) {
    out[i] = Byte(Low(codes[i]));
    out[16 + i] = Byte(High(codes[i]));
  }
}

void TakeHighBits(const uint8_t bits[4], uint8_t* out) {
  for (uint32_t i = 0; i < 32; ++i) {
    out[i] = Byte(out[i] | ((bits[i / 8] >> (i % 8)) & 1u) << 4);
  }
}

// Of value c in runs of 32, 8 / bits of which share 32 bytes.
uint32_t RunCode(const uint8_t* codes, uint32_t bits, uint32_t c) {
  const uint32_t shared = 8 / bits;
  const uint32_t run = c / 32;
  return (codes[run / shared * 32 + c % 32] >> (run % shared * bits)) & ((1u << bits) - 1);
}

void TakeLevels(const int8_t levels[16], const uint8_t codes[16], uint8_t* out) {
  TakeHalved(codes, out);
  for (uint32_t i = 0; i < 32; ++i) out[i] = Flipped(levels[out[i]]);
}

void Take(const Q8_0Block& block, Parts& parts) {
  for (uint32_t i = 0; i < 32; ++i) parts.codes[i] = Flipped(block.codes[i]);
  parts.scale = block.scale;
}

void Take(const Q4_0Block& block, Parts& parts) {
  TakeHalved(block.codes, parts.codes.data());
  parts.scale = block.scale;
}

HalfBytes Negated(HalfBytes half) {
  half.bytes[1] ^= 0x80;
  return half;
}

void Take(const Q4_1Block& block, Parts& parts) {
  TakeHalved(block.codes, parts.codes.data());
  parts.scale = block.scale;
  parts.minimum = Negated(block.minimum);
}

void Take(const Q5_0Block& block, Parts& parts) {
  TakeHalved(block.codes, parts.codes.data());
  TakeHighBits(block.high, parts.codes.data());
  parts.scale = block.scale;
}

void Take(const Q5_1Block& block, Parts& parts) {
  TakeHalved(block.codes, parts.codes.data());
  TakeHighBits(block.high, parts.codes.data());
  parts.scale = block.scale;
  parts.minimum = Negated(block.minimum);
}

void Take(const IQ4_NLBlock& block, Parts& parts) {
  TakeLevels(kIq4Values, block.codes, parts.codes.data());
  parts.scale = block.scale;
}

void Take(const MXFP4Block& block, Parts& parts) {
  TakeLevels(kMxfp4Values, block.codes, parts.codes.data());
  const BF16 scale = ToBF16(Mxfp4Scale(block.exponent));  // a power of two: exact
  std::memcpy(&parts.scale, &scale, sizeof(scale));
}

void Take(const Q2_KBlock& block, Parts& parts) {
  for (uint32_t c = 0; c < 256; ++c) parts.codes[c] = Byte(RunCode(block.codes, 2, c));
  for (uint32_t run = 0; run < 16; ++run) {
    parts.factors[run] = Byte(Low(block.scales[run]));
    parts.minimums[run] = Byte(High(block.scales[run]));
  }
  parts.scale = block.scale;
  parts.minimum = block.minimum;
}

void Take(const Q3_KBlock& block, Parts& parts) {
  for (uint32_t c = 0; c < 256; ++c) {
    parts.codes[c] = Byte(RunCode(block.codes, 2, c) | RunCode(block.high, 1, c) << 2);
  }
  for (uint32_t run = 0; run < 16; ++run) parts.factors[run] = Byte(Q3Scale(block.scales, run));
  parts.scale = block.scale;
}

void TakeRunScales(const uint8_t scales[12], Parts& parts) {
  for (uint32_t run = 0; run < 8; ++run) {
    parts.factors[run] = Byte(RunScale(scales, run));
    parts.minimums[run] = Byte(RunMinimum(scales, run));
  }
}

void Take(const Q4_KBlock& block, Parts& parts) {
  for (uint32_t c = 0; c < 256; ++c) parts.codes[c] = Byte(RunCode(block.codes, 4, c));
  TakeRunScales(block.scales, parts);
  parts.scale = block.scale;
  parts.minimum = block.minimum;
}

void Take(const Q5_KBlock& block, Parts& parts) {
  for (uint32_t c = 0; c < 256; ++c) {
    parts.codes[c] = Byte(RunCode(block.codes, 4, c) | RunCode(block.high, 1, c) << 4);
  }
  TakeRunScales(block.scales, parts);
  parts.scale = block.scale;
  parts.minimum = block.minimum;
}

void Take(const Q6_KBlock& block, Parts& parts) {
  for (uint32_t c = 0; c < 256; ++c) {
    const uint32_t low = (block.codes[c / 128 * 64 + c % 64] >> (c % 128 / 64 * 4)) & 15u;
    parts.codes[c] = Byte(low | RunCode(block.high, 2, c) << 4);
  }
  for (uint32_t run = 0; run < 16; ++run) parts.factors[run] = Byte(int32_t{block.scales[run]});
  parts.scale = block.scale;
}

void Take(const IQ4_XSBlock& block, Parts& parts) {
  for (uint32_t run = 0; run < 8; ++run) {
    TakeLevels(kIq4Values, block.codes + 16 * run, parts.codes.data() + 32 * run);
    parts.factors[run] = Byte(Iq4XsScale(block, run));
  }
  parts.scale = block.scale;
}

// One row of one tile in one chunk.
class ChunkRow {
 public:
  ChunkRow(std::byte* chunk, const QuantizedLayout& layout, uint32_t row)
      : chunk_(reinterpret_cast<uint8_t*>(chunk)), layout_(layout), row_(row) {}

  // Of the values that begin at this column of the chunk.
  void Put(const Parts& parts, uint32_t column) {
    for (uint32_t c = 0; c < parts.values; ++c) PutCode(column + c, parts.codes[c]);
    const uint32_t scale_begin = (layout_.low_words() + layout_.high_words()) * 32 * 4;
    PutScales(parts, column / kUnitColumns, chunk_ + scale_begin);
  }

 private:
  uint8_t& WordByte(uint32_t first_word, uint32_t word, uint32_t lane, uint32_t byte) {
    return chunk_[first_word * 32 * 4 + (word / 4 * 32 + lane) * 16 + word % 4 * 4 + byte];
  }

  void PutCode(uint32_t column, uint32_t code) {
    const uint32_t unit = column / kUnitColumns;
    const uint32_t c = column % kUnitColumns;
    const bool by16 = ScaleColumns(layout_.scales) == 16;
    const uint32_t step = by16 ? c / 16 : c % 8 / 4;
    const uint32_t lane = row_ % 8 * 4 + (by16 ? c % 16 / 4 : c / 8);
    const uint32_t half = row_ / 8;
    const uint32_t j = c % 4;
    if (layout_.low_bits == 8) {
      WordByte(0, 4 * unit + 2 * step + half, lane, j) = Byte(code);
      return;
    }
    const uint32_t nibble = j / 2 * 2 + half + j % 2 * 4;
    PutBits(0, 2 * unit + step, lane, nibble * 4, code & 15u);
    const uint32_t field = 4 * step + nibble % 4;
    if (layout_.high_bits == 2) {
      PutBits(layout_.low_words(), unit, lane, 2 * field + nibble / 4 * 16, code >> 4);
    }
    if (layout_.high_bits == 1) {
      PutBits(layout_.low_words(), unit / 2, lane, unit % 2 * 8 + field + nibble / 4 * 16,
              code >> 4);
    }
  }

  // Bits never cross a byte. The target was cleared.
  void PutBits(uint32_t first_word, uint32_t word, uint32_t lane, uint32_t bit, uint32_t value) {
    uint8_t& byte = WordByte(first_word, word, lane, bit / 8);
    byte = Byte(byte | value << (bit % 8));
  }

  void PutScales(const Parts& parts, uint32_t unit, uint8_t* scales) {
    const size_t row = row_;
    switch (layout_.scales) {
      case Scales::kHalfMinimum:
        std::memcpy(scales + 256 + (row * 8 + unit) * 2, &parts.minimum, 2);
        [[fallthrough]];
      case Scales::kHalf:
      case Scales::kBrain:
        std::memcpy(scales + (row * 8 + unit) * 2, &parts.scale, 2);
        return;
      case Scales::kByte32:
        std::memcpy(scales + row * 8, parts.factors.data(), 8);
        std::memcpy(scales + 128 + row * 2, &parts.scale, 2);
        return;
      case Scales::kByte16:
        std::memcpy(scales + row * 16, parts.factors.data(), 16);
        std::memcpy(scales + 256 + row * 2, &parts.scale, 2);
        return;
      case Scales::kByte32Minimum:
        return PutWithMinimums(parts, 8, scales);
      case Scales::kByte16Minimum:
        return PutWithMinimums(parts, 16, scales);
    }
  }

  void PutWithMinimums(const Parts& parts, size_t runs, uint8_t* scales) {
    std::memcpy(scales + row_ * 2 * runs, parts.factors.data(), runs);
    std::memcpy(scales + row_ * 2 * runs + runs, parts.minimums.data(), runs);
    uint8_t* halves = scales + kTileRows * 2 * runs + size_t{row_} * 4;
    std::memcpy(halves, &parts.scale, 2);
    std::memcpy(halves + 2, &parts.minimum, 2);
  }

  uint8_t* chunk_;
  const QuantizedLayout& layout_;
  uint32_t row_;
};

template <typename Block>
void PackBlocks(const WeightView& source, std::span<std::byte> target) {
  constexpr QuantizedLayout kLayout = LayoutOf(Block::kDType);
  constexpr uint32_t kValues = BlockValues(Block::kDType);
  const size_t tile_bytes = TileBytes(source.dtype, source.columns);
  Parts parts;
  parts.values = kValues;
  for (uint32_t r = 0; r < source.rows; ++r) {
    std::byte* tile = target.data() + r / kTileRows * tile_bytes;
    const auto* blocks = reinterpret_cast<const Block*>(RowOf(source, r));
    for (uint32_t b = 0; b < source.columns / kValues; ++b) {
      const uint32_t column = b * kValues;
      Take(blocks[b], parts);
      std::byte* chunk = tile + column / kChunkColumns * size_t{kLayout.chunk_bytes()};
      ChunkRow(chunk, kLayout, r % kTileRows).Put(parts, column % kChunkColumns);
    }
  }
}

void PackFloats(const WeightView& source, std::span<std::byte> target) {
  const size_t row_bytes = RowBytes(source.dtype, source.columns);
  const size_t padded_bytes = RowBytes(source.dtype, PaddedColumns(source.columns));
  for (size_t r = 0; r < source.rows; ++r) {
    std::memcpy(target.data() + r * padded_bytes, RowOf(source, r), row_bytes);
  }
}

}  // namespace

size_t PackedBytes(DType dtype, uint32_t rows, uint32_t columns) {
  if (!IsQuantized(dtype)) return rows * RowBytes(dtype, PaddedColumns(columns));
  return DivCeil(rows, kTileRows) * TileBytes(dtype, columns);
}

void Pack(const WeightView& source, std::span<std::byte> target) {
  IC_CHECK(source.data != nullptr && source.rows > 0 && source.columns > 0);
  IC_CHECK(IsWeightDType(source.dtype));
  IC_CHECK(source.columns % BlockValues(source.dtype) == 0);
  const size_t bytes = PackedBytes(source.dtype, source.rows, source.columns);
  IC_CHECK(target.size() >= bytes);
  std::fill_n(target.begin(), bytes, std::byte{0});
  switch (source.dtype) {
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
      return PackFloats(source, target);
    case DType::kQ8_0:
      return PackBlocks<Q8_0Block>(source, target);
    case DType::kQ4_0:
      return PackBlocks<Q4_0Block>(source, target);
    case DType::kQ4_1:
      return PackBlocks<Q4_1Block>(source, target);
    case DType::kQ5_0:
      return PackBlocks<Q5_0Block>(source, target);
    case DType::kQ5_1:
      return PackBlocks<Q5_1Block>(source, target);
    case DType::kQ2_K:
      return PackBlocks<Q2_KBlock>(source, target);
    case DType::kQ3_K:
      return PackBlocks<Q3_KBlock>(source, target);
    case DType::kQ4_K:
      return PackBlocks<Q4_KBlock>(source, target);
    case DType::kQ5_K:
      return PackBlocks<Q5_KBlock>(source, target);
    case DType::kQ6_K:
      return PackBlocks<Q6_KBlock>(source, target);
    case DType::kIQ4_NL:
      return PackBlocks<IQ4_NLBlock>(source, target);
    case DType::kIQ4_XS:
      return PackBlocks<IQ4_XSBlock>(source, target);
    case DType::kMXFP4:
      return PackBlocks<MXFP4Block>(source, target);
    case DType::kF8_E4M3:
      break;
  }
}

}  // namespace infercept::cuda
