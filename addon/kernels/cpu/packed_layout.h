// How weights and inputs lie in memory while they are multiplied.
//
// A packed matrix is a row of tiles; a tile is kTileGroups groups of `lanes` rows, so that one
// vector lane is one row and a sum runs over columns in order, whatever the number of tokens
// (ops.h, Rule 1). Rows that the matrix does not have are zeros. A tile is one linear stream of
// units, R = kTileGroups * lanes rows each:
//
//   F32, F16       16 columns  [16][R]
//   BF16           16 columns  [8][R][2 columns]
//   per 32         32 columns  { scale [R], minimum [R] (Q4_1, Q5_1), words [W][R] }
//   per 256       256 columns  { scale F16 [R], minimum F16 [R] (Q2_K, Q4_K, Q5_K),
//                                factors of the sub-blocks, words [8][W][R] }
//
// A word is 4 bytes of one row; W words hold the codes of 32 columns, c = 4 s + k for step s < 8
// and byte k < 4:
//
//   8 bits (W = 8)  word s, byte k
//   4 bits (W = 4)  word s % 4, byte k: the low half for s < 4, else the high half
//   2 bits (W = 2)  word s / 4, byte k, bits 2 (s % 4) and the next
//   1 bit  (W = 1)  byte k, bit s
//
// 3, 5 and 6 bits are 2 + 1, 4 + 1 and 4 + 2: first the words of the low bits. Values are codes
// less a bias (kernels: body/matmul_*.inc), or what a table says.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "base/dtype.h"
#include "base/types.h"

namespace infercept::cpu {

// Groups per tile. Each input that is broadcast to all lanes serves two multiplications; with more
// groups fewer tokens would fit the registers, and each code would be taken apart more often.
inline constexpr uint32_t kTileGroups = 2;

// What a weight is multiplied with: what users of that format get.
enum class InputKind : uint8_t {
  kF32,
  kBF16,
  kQ8,   // per 32 columns one scale and 32 int8, as Q8_0
  kQ8K,  // per 256 columns one scale and 256 int8, for the K types
};
inline constexpr uint32_t kInputKinds = 4;

// Columns of one cell: the inputs of one token that lie together (Panel).
constexpr uint32_t CellColumns(InputKind kind) {
  return kind == InputKind::kF32 || kind == InputKind::kBF16 ? 16 : 32;
}
constexpr uint32_t CellBytes(InputKind kind) { return kind == InputKind::kF32 ? 64 : 32; }

// What belongs to a block of 32 quantized inputs of one token.
struct Q8Side {
  float scale;
  float scaled_sum;     // scale * sum of the values
  int32_t negated_sum;  // of the values
};

// What belongs to a block of 256.
struct Q8KSide {
  float scale;
  int32_t negated_sums16[16];  // of 16 values each
  int16_t sums16[16];          // of 16 values each
  int16_t sums32[8];           // of 32 values each
};

constexpr uint32_t SideColumns(InputKind kind) { return kind == InputKind::kQ8K ? 256 : 32; }
constexpr size_t SideBytes(InputKind kind) {
  if (kind == InputKind::kQ8) return sizeof(Q8Side);
  return kind == InputKind::kQ8K ? sizeof(Q8KSide) : 0;
}

// One dtype's unit.
struct PackedUnit {
  uint32_t columns;
  uint32_t row_bytes;
};

constexpr PackedUnit UnitOf(DType dtype) {
  constexpr uint32_t kHalf = 2;  // bytes of an F16
  switch (dtype) {
    case DType::kF32:
      return {16, 64};
    case DType::kF16:
    case DType::kBF16:
      return {16, 32};
    case DType::kQ8_0:
      return {32, kHalf + 32};
    case DType::kQ4_0:
    case DType::kIQ4_NL:
      return {32, kHalf + 16};
    case DType::kQ4_1:
      return {32, 2 * kHalf + 16};
    case DType::kQ5_0:
      return {32, kHalf + 20};
    case DType::kQ5_1:
      return {32, 2 * kHalf + 20};
    case DType::kMXFP4:
      return {32, 1 + 16};  // the exponent of the scale
    case DType::kQ2_K:
      return {256, 2 * kHalf + 16 + 8 * 8};
    case DType::kQ3_K:
      return {256, kHalf + 16 + 8 * 12};
    case DType::kQ4_K:
      return {256, 2 * kHalf + 16 + 8 * 16};
    case DType::kQ5_K:
      return {256, 2 * kHalf + 16 + 8 * 20};
    case DType::kQ6_K:
      return {256, kHalf + 16 + 8 * 24};
    case DType::kIQ4_XS:
      return {256, kHalf + 8 + 8 * 16};
    case DType::kF8_E4M3:  // no weights
      break;
  }
  return {};
}

// Float columns are filled up with zeros to whole units.
constexpr uint32_t PackedUnits(DType dtype, uint32_t columns) {
  return DivCeil(columns, UnitOf(dtype).columns);
}

constexpr size_t TileBytes(DType dtype, uint32_t columns, uint32_t lanes) {
  return size_t{PackedUnits(dtype, columns)} * kTileGroups * lanes * UnitOf(dtype).row_bytes;
}

}  // namespace infercept::cpu
