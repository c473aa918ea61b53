// How weights lie in device memory. Matrix instructions want 16 rows by 16 columns spread over the
// lanes of a warp (device/mma.cuh); a packed matrix is such that each lane finds its part in 16
// neighbouring bytes, and the warp 512.
//
// F32, F16, BF16: row-major as in the file, rows padded with zeros to 32 columns.
//
// Quantized: tiles of 16 rows, tile after tile; a tile is chunks of 256 columns, one after another
// (the last one filled with zeros, as are rows that the matrix does not have). Lane l of a warp has
// rows g = l / 4 and g + 8 of a tile; of each 32 columns (a unit, 8 in a chunk) it has 8, in two
// steps s of 4, with t = l % 4:
//
//   scales of 32 columns:  columns 8 t + 4 s + j    scales of 16:  columns 16 s + 4 t + j,  j < 4
//
// A chunk is planes of words, each [words / 4][32 lanes][4 words], then the scales of its 16 rows:
//
//   low, 4 bits   word 2 u + s of unit u: nibble n is column j = n % 4 / 2 * 2 + n / 4 of row
//                 g + n % 2 * 8
//   low, 8 bits   word 4 u + 2 s + h: the byte j is column j of row g + 8 h, with its highest bit
//                 flipped
//   high, 2 bits  word u: of the pair of bits 2 (4 s + n % 4) + 16 (n / 4), the bits 4 and 5 of
//   what
//                 has nibble n
//   high, 1 bit   word u / 2: bit 8 (u % 2) + 4 s + n % 4 + 16 (n / 4) likewise
//
//   kHalf         [16 rows][8 units] scale F16
//   kHalfMinimum  as kHalf, then [16][8] minimum F16
//   kBrain        [16][8] scale BF16
//   kByte32       [16][8] int8 factor, then [16] scale F16
//   kByte16       [16][16] int8 factor, then [16] scale F16
//   kByte32Minimum  [16] { uint8 factor [8], uint8 minimum [8] }, then [16] { scale, minimum F16 }
//   kByte16Minimum  [16] { uint8 factor [16], uint8 minimum [16] }, then likewise
//
// value = scale * factor * (code - zero) - minimum scale * minimum.
//
// The codes of Q2_K and Q3_K take 4 bits here; those of IQ4 and MXFP4 are looked up when they are
// packed and take 8: they load about as long as the wider formats do.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "base/types.h"

namespace infercept::cuda {

inline constexpr uint32_t kTileRows = 16;
inline constexpr uint32_t kUnitColumns = 32;
inline constexpr uint32_t kChunkUnits = 8;
inline constexpr uint32_t kChunkColumns = kUnitColumns * kChunkUnits;

enum class Scales : uint8_t {
  kHalf,
  kHalfMinimum,
  kBrain,
  kByte32,
  kByte16,
  kByte32Minimum,
  kByte16Minimum,
};

constexpr bool HasMinimum(Scales scales) {
  return scales == Scales::kHalfMinimum || scales == Scales::kByte32Minimum ||
         scales == Scales::kByte16Minimum;
}
// Columns that share a scale.
constexpr uint32_t ScaleColumns(Scales scales) {
  return scales == Scales::kByte16 || scales == Scales::kByte16Minimum ? 16 : 32;
}
// Of one tile in one chunk.
constexpr uint32_t ScaleBytes(Scales scales) {
  switch (scales) {
    case Scales::kHalf:
    case Scales::kBrain:
      return 256;
    case Scales::kHalfMinimum:
      return 512;
    case Scales::kByte32:
      return 128 + 32;
    case Scales::kByte16:
      return 256 + 32;
    case Scales::kByte32Minimum:
      return 256 + 64;
    case Scales::kByte16Minimum:
      return 512 + 64;
  }
  return 0;
}

struct QuantizedLayout {
  uint32_t low_bits = 0;   // 4 or 8
  uint32_t high_bits = 0;  // 0, 1 or 2
  Scales scales = Scales::kHalf;
  uint32_t zero = 0;  // the code of the value 0; of 8-bit codes 128, the flipped bit

  constexpr uint32_t low_words() const { return low_bits * kChunkUnits / 2; }    // per lane
  constexpr uint32_t high_words() const { return high_bits * kChunkUnits / 2; }  // per lane
  constexpr uint32_t chunk_bytes() const {
    return (low_words() + high_words()) * 32 * 4 + ScaleBytes(scales);
  }
};

// REQUIRES: IsQuantized(dtype).
constexpr QuantizedLayout LayoutOf(DType dtype) {
  switch (dtype) {
    case DType::kQ8_0:
    case DType::kIQ4_NL:
      return {8, 0, Scales::kHalf, 128};
    case DType::kMXFP4:
      return {8, 0, Scales::kBrain, 128};
    case DType::kIQ4_XS:
      return {8, 0, Scales::kByte32, 128};
    case DType::kQ4_0:
      return {4, 0, Scales::kHalf, 8};
    case DType::kQ4_1:
      return {4, 0, Scales::kHalfMinimum, 0};
    case DType::kQ5_0:
      return {4, 1, Scales::kHalf, 16};
    case DType::kQ5_1:
      return {4, 1, Scales::kHalfMinimum, 0};
    case DType::kQ2_K:
      return {4, 0, Scales::kByte16Minimum, 0};
    case DType::kQ3_K:
      return {4, 0, Scales::kByte16, 4};
    case DType::kQ4_K:
      return {4, 0, Scales::kByte32Minimum, 0};
    case DType::kQ5_K:
      return {4, 1, Scales::kByte32Minimum, 0};
    case DType::kQ6_K:
      return {4, 2, Scales::kByte16, 32};
    default:
      return {};
  }
}

// Columns of a row of floats, with the zeros after it.
constexpr uint32_t PaddedColumns(uint32_t columns) {
  return DivCeil(columns, kUnitColumns) * kUnitColumns;
}

constexpr size_t TileBytes(DType dtype, uint32_t columns) {
  return size_t{DivCeil(columns, kChunkColumns)} * LayoutOf(dtype).chunk_bytes();
}

}  // namespace infercept::cuda
