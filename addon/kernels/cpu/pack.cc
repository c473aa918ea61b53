#include "kernels/cpu/pack.h"

#include <algorithm>
#include <cstring>

#include "kernels/blocks.h"
#include "kernels/dequantize.h"

namespace infercept::cpu {
namespace {

// The words of 32 columns of one row, all 4 bytes at once; byte k of a word is its k-th byte in
// memory.

uint32_t LoadWord(const void* from) {
  uint32_t word;
  std::memcpy(&word, from, sizeof(word));
  return word;
}

// Halved codes of a block of 32 lie as the layout wants them.
void HalvedWords(const uint8_t codes[16], uint32_t words[4]) { std::memcpy(words, codes, 16); }

// 4-bit codes of 32 columns that lie in the low (shift 0) or high (shift 4) halves of 32 bytes.
void NibbleWords(const uint8_t codes[32], uint32_t shift, uint32_t words[4]) {
  constexpr uint32_t kLowHalves = 0x0F0F0F0F;
  for (uint32_t v = 0; v < 4; ++v) {
    const uint32_t first = (LoadWord(codes + 4 * v) >> shift) & kLowHalves;
    const uint32_t second = (LoadWord(codes + 16 + 4 * v) >> shift) & kLowHalves;
    words[v] = first | second << 4;
  }
}

// 2-bit codes of 32 columns, in bits shift and shift + 1 of 32 bytes.
void PairWords(const uint8_t codes[32], uint32_t shift, uint32_t words[2]) {
  for (uint32_t half = 0; half < 2; ++half) {
    words[half] = 0;
    for (uint32_t s = 0; s < 4; ++s) {
      const uint32_t pairs = (LoadWord(codes + 16 * half + 4 * s) >> shift) & 0x03030303u;
      words[half] |= pairs << (2 * s);
    }
  }
}

// 1-bit codes of 32 columns, in bit shift of 32 bytes.
uint32_t BitWord(const uint8_t codes[32], uint32_t shift) {
  uint32_t word = 0;
  for (uint32_t s = 0; s < 8; ++s) {
    word |= ((LoadWord(codes + 4 * s) >> shift) & 0x01010101u) << s;
  }
  return word;
}

// The same of 32 consecutive bits: bit 4 s + k becomes bit s of byte k.
uint32_t BitWord(const uint8_t bits[4]) {
  uint32_t word = 0;
  for (uint32_t k = 0; k < 4; ++k) {
    uint32_t every_fourth = (LoadWord(bits) >> k) & 0x11111111u;
    every_fourth = (every_fourth | every_fourth >> 3) & 0x03030303u;
    every_fourth = (every_fourth | every_fourth >> 6) & 0x000F000Fu;
    word |= ((every_fourth | every_fourth >> 12) & 0xFFu) << (8 * k);
  }
  return word;
}

// The place of one row in one unit of a tile.
class Slot {
 public:
  Slot(std::byte* unit, uint32_t rows, uint32_t row) : unit_(unit), rows_(rows), row_(row) {}

  // The next `bytes` of each row: this row's part.
  void Put(const void* from, size_t bytes) {
    std::memcpy(unit_ + row_ * bytes, from, bytes);
    unit_ += rows_ * bytes;
  }
  void PutByte(uint32_t value) {
    const auto byte = static_cast<uint8_t>(value);
    Put(&byte, 1);
  }
  template <uint32_t kWords>
  void PutWords(const uint32_t (&words)[kWords]) {
    for (const uint32_t word : words) Put(&word, sizeof(word));
  }

 private:
  std::byte* unit_;
  uint32_t rows_;
  uint32_t row_;
};

void PackBlock(const Q8_0Block& block, int32_t signed_bias, Slot slot) {
  uint32_t words[8];
  std::memcpy(words, block.codes, sizeof(words));
  // Adding 128 to an int8 and reading it as uint8 is flipping its highest bit.
  const uint32_t flip = static_cast<uint32_t>(signed_bias) * 0x01010101u;
  for (uint32_t& word : words) word ^= flip;
  slot.Put(&block.scale, 2);
  slot.PutWords(words);
}

void PutHalved(const uint8_t codes[16], Slot& slot) {
  uint32_t words[4];
  HalvedWords(codes, words);
  slot.PutWords(words);
}

void PutNibbles(const uint8_t codes[32], uint32_t shift, Slot& slot) {
  uint32_t words[4];
  NibbleWords(codes, shift, words);
  slot.PutWords(words);
}

void PutPairs(const uint8_t codes[32], uint32_t shift, Slot& slot) {
  uint32_t words[2];
  PairWords(codes, shift, words);
  slot.PutWords(words);
}

void PackBlock(const Q4_0Block& block, int32_t, Slot slot) {
  slot.Put(&block.scale, 2);
  PutHalved(block.codes, slot);
}

void PackBlock(const Q4_1Block& block, int32_t, Slot slot) {
  slot.Put(&block.scale, 2);
  slot.Put(&block.minimum, 2);
  PutHalved(block.codes, slot);
}

void PackBlock(const Q5_0Block& block, int32_t, Slot slot) {
  slot.Put(&block.scale, 2);
  PutHalved(block.codes, slot);
  slot.PutWords({BitWord(block.high)});
}

void PackBlock(const Q5_1Block& block, int32_t, Slot slot) {
  slot.Put(&block.scale, 2);
  slot.Put(&block.minimum, 2);
  PutHalved(block.codes, slot);
  slot.PutWords({BitWord(block.high)});
}

void PackBlock(const IQ4_NLBlock& block, int32_t, Slot slot) {
  slot.Put(&block.scale, 2);
  PutHalved(block.codes, slot);
}

void PackBlock(const MXFP4Block& block, int32_t, Slot slot) {
  slot.PutByte(block.exponent);
  PutHalved(block.codes, slot);
}

// Scales and minimums stay in their halves of one byte; two runs lie together.
void PackBlock(const Q2_KBlock& block, int32_t, Slot slot) {
  slot.Put(&block.scale, 2);
  slot.Put(&block.minimum, 2);
  for (uint32_t run = 0; run < 16; run += 2) slot.Put(block.scales + run, 2);
  for (uint32_t unit = 0; unit < 8; ++unit) {
    PutPairs(block.codes + unit / 4 * 32, unit % 4 * 2, slot);
  }
}

void PackBlock(const Q3_KBlock& block, int32_t, Slot slot) {
  slot.Put(&block.scale, 2);
  for (uint32_t run = 0; run < 16; ++run) {
    slot.PutByte(static_cast<uint32_t>(Q3Scale(block.scales, run)));
  }
  for (uint32_t unit = 0; unit < 8; ++unit) {
    PutPairs(block.codes + unit / 4 * 32, unit % 4 * 2, slot);
    slot.PutWords({BitWord(block.high, unit)});
  }
}

void PutRunScales(const uint8_t scales[12], Slot& slot) {
  for (uint32_t run = 0; run < 8; ++run) slot.PutByte(RunScale(scales, run));
  for (uint32_t run = 0; run < 8; run += 2) {
    const uint8_t two[] = {static_cast<uint8_t>(RunMinimum(scales, run)),
                           static_cast<uint8_t>(RunMinimum(scales, run + 1))};
    slot.Put(two, 2);
  }
}

void PackBlock(const Q4_KBlock& block, int32_t, Slot slot) {
  slot.Put(&block.scale, 2);
  slot.Put(&block.minimum, 2);
  PutRunScales(block.scales, slot);
  for (uint32_t unit = 0; unit < 8; ++unit) {
    PutNibbles(block.codes + unit / 2 * 32, unit % 2 * 4, slot);
  }
}

void PackBlock(const Q5_KBlock& block, int32_t, Slot slot) {
  slot.Put(&block.scale, 2);
  slot.Put(&block.minimum, 2);
  PutRunScales(block.scales, slot);
  for (uint32_t unit = 0; unit < 8; ++unit) {
    PutNibbles(block.codes + unit / 2 * 32, unit % 2 * 4, slot);
    slot.PutWords({BitWord(block.high, unit)});
  }
}

void PackBlock(const Q6_KBlock& block, int32_t, Slot slot) {
  slot.Put(&block.scale, 2);
  for (const int8_t scale : block.scales) slot.Put(&scale, 1);
  for (uint32_t unit = 0; unit < 8; ++unit) {
    PutNibbles(block.codes + unit / 4 * 64 + unit % 2 * 32, unit % 4 / 2 * 4, slot);
    PutPairs(block.high + unit / 4 * 32, unit % 4 * 2, slot);
  }
}

void PackBlock(const IQ4_XSBlock& block, int32_t, Slot slot) {
  slot.Put(&block.scale, 2);
  for (uint32_t run = 0; run < 8; ++run) {
    slot.PutByte(static_cast<uint32_t>(Iq4XsScale(block, run)));
  }
  for (uint32_t unit = 0; unit < 8; ++unit) PutHalved(block.codes + 16 * unit, slot);
}

// One tile of the target and the rows of the source that it takes.
struct TilePlan {
  const WeightView* source;
  uint32_t first_row;
  uint32_t rows;  // of the tile; those past the source's last stay zero
  int32_t signed_bias;
  std::byte* target;

  uint32_t source_rows() const { return std::min(rows, source->rows - first_row); }
  const std::byte* source_row(uint32_t row) const { return RowOf(*source, first_row + row); }
};

template <typename Block>
void PackBlocks(const TilePlan& tile) {
  const PackedUnit unit = UnitOf(Block::kDType);
  const uint32_t units = PackedUnits(Block::kDType, tile.source->columns);
  for (uint32_t u = 0; u < units; ++u) {
    std::byte* target = tile.target + size_t{u} * tile.rows * unit.row_bytes;
    for (uint32_t r = 0; r < tile.source_rows(); ++r) {
      const auto* blocks = reinterpret_cast<const Block*>(tile.source_row(r));
      PackBlock(blocks[u], tile.signed_bias, Slot(target, tile.rows, r));
    }
  }
}

// kBytes of each row at a time, one row beside the other.
template <size_t kBytes>
void Interleave(const TilePlan& tile) {
  const size_t row_bytes = RowBytes(tile.source->dtype, tile.source->columns);
  for (uint32_t r = 0; r < tile.source_rows(); ++r) {
    const std::byte* row = tile.source_row(r);
    std::byte* target = tile.target + r * kBytes;
    size_t i = 0;
    for (; i + kBytes <= row_bytes; i += kBytes, target += tile.rows * kBytes) {
      std::memcpy(target, row + i, kBytes);
    }
    std::memcpy(target, row + i, row_bytes - i);  // half a pair, if the columns are odd
  }
}

void PackTile(const TilePlan& tile) {
  switch (tile.source->dtype) {
    case DType::kF32:
      return Interleave<4>(tile);
    case DType::kF16:
      return Interleave<2>(tile);
    case DType::kBF16:
      return Interleave<4>(tile);
    case DType::kQ8_0:
      return PackBlocks<Q8_0Block>(tile);
    case DType::kQ4_0:
      return PackBlocks<Q4_0Block>(tile);
    case DType::kQ4_1:
      return PackBlocks<Q4_1Block>(tile);
    case DType::kQ5_0:
      return PackBlocks<Q5_0Block>(tile);
    case DType::kQ5_1:
      return PackBlocks<Q5_1Block>(tile);
    case DType::kQ2_K:
      return PackBlocks<Q2_KBlock>(tile);
    case DType::kQ3_K:
      return PackBlocks<Q3_KBlock>(tile);
    case DType::kQ4_K:
      return PackBlocks<Q4_KBlock>(tile);
    case DType::kQ5_K:
      return PackBlocks<Q5_KBlock>(tile);
    case DType::kQ6_K:
      return PackBlocks<Q6_KBlock>(tile);
    case DType::kIQ4_NL:
      return PackBlocks<IQ4_NLBlock>(tile);
    case DType::kIQ4_XS:
      return PackBlocks<IQ4_XSBlock>(tile);
    case DType::kMXFP4:
      return PackBlocks<MXFP4Block>(tile);
    case DType::kF8_E4M3:
      break;
  }
}

}  // namespace

size_t PackedWeightBytes(DType dtype, uint32_t rows, uint32_t columns, uint32_t lanes) {
  return DivCeil(rows, kTileGroups * lanes) * TileBytes(dtype, columns, lanes);
}

void PackWeight(const WeightView& source, uint32_t lanes, int32_t signed_bias,
                std::span<std::byte> target, ThreadPool& pool) {
  const uint32_t tile_rows = kTileGroups * lanes;
  const size_t tile_bytes = TileBytes(source.dtype, source.columns, lanes);
  const bool filled_columns = source.columns % UnitOf(source.dtype).columns != 0;
  pool.ParallelFor(DivCeil(source.rows, tile_rows), 1, [&](uint32_t begin, uint32_t end, uint32_t) {
    for (uint32_t i = begin; i < end; ++i) {
      const TilePlan tile = {&source, i * tile_rows, tile_rows, signed_bias,
                             target.data() + i * tile_bytes};
      if (filled_columns || tile.source_rows() < tile_rows) {
        std::memset(tile.target, 0, tile_bytes);
      }
      PackTile(tile);
    }
  });
}

}  // namespace infercept::cpu
