// The leaves that each instruction set compiles for itself: raw pointers in, no checks, no threads,
// no allocation. cpu_ops.cc proves the shapes, splits the work and calls them.
//
// A packed matrix is a row of tiles; a tile is `groups` (kTileGroups, fewer in the last one) groups
// of `lanes` rows, so that one vector lane is one row and a sum runs over columns in order,
// whatever the number of tokens (ops.h, Rule 1). A tile is one linear stream of memory:
//
//   F32, F16, BF16:  [columns][groups][lanes]
//   Q8_0:            [columns / 32] { F16 [groups][lanes], int8 [8][groups][lanes][4 columns] }
#pragma once

#include <string_view>

#include "kernels/ops.h"

namespace infercept::cpu {

// Groups per tile. One token alone needs this many independent sums per lane to cover the latency
// of a multiply-add (4 cycles at one or two per cycle).
inline constexpr uint32_t kTileGroups = 4;

// Activations as Q8_0's users get them: per block of 32 columns one scale and 32 int8.
struct QuantizedTokens {
  int8_t* values = nullptr;  // [tokens][columns], in [-127, 127]
  float* scales = nullptr;   // [tokens][columns / 32]
  // [tokens][columns / 32], -weight_bias * sum of the block's values
  int32_t* corrections = nullptr;
};

// out[t][r] for all tokens and the rows of one tile.
struct MatMulTile {
  const std::byte* weight = nullptr;
  uint32_t groups = 0;
  uint32_t rows = 0;  // <= groups * lanes; more in the layout are zeros
  uint32_t columns = 0;
  const float* x = nullptr;  // [tokens][columns]; for Q8_0 `quantized` instead
  QuantizedTokens quantized;
  uint32_t tokens = 0;
  float* out = nullptr;  // of the tile's first row
  size_t out_stride = 0;
};

// Keys that attention takes at once. Counted from position 0, so that the order of all sums is a
// function of the query's position alone. 32: two vectors of the widest ISA, and a tile of 128-wide
// keys and values as floats is 32 KiB, which stays in a 48 KiB L1.
inline constexpr uint32_t kKeyTile = 32;

// Queries of one task, at least: what one conversion of a key tile is shared by. 64 states of 128
// floats are 32 KiB in L2.
inline constexpr uint32_t kTaskQueries = 64;

// Attention of `rows` consecutive tokens and the heads that share one KV head.
struct AttentionTask {
  const float* query = nullptr;  // [rows][group_heads][head_dim]
  size_t query_stride = 0;
  float* out = nullptr;  // likewise
  size_t out_stride = 0;
  uint32_t rows = 0;
  uint32_t first_position = 0;
  uint32_t group_heads = 0;
  uint32_t kv_head = 0;
  const BlockId* block_table = nullptr;
  const PagedKv* cache = nullptr;
  float scale = 1;
  float* scratch = nullptr;  // AttentionTaskFloats
};

// Rows of queries in scratch are padded to whole pairs of vectors.
constexpr uint32_t PaddedHeadDim(uint32_t head_dim, uint32_t lanes) {
  return DivCeil(head_dim, 2 * lanes) * 2 * lanes;
}

// Keys, values, and per query its running mean, maximum and total.
constexpr size_t AttentionTaskFloats(uint32_t queries, uint32_t head_dim, uint32_t lanes) {
  const size_t padded = PaddedHeadDim(head_dim, lanes);
  return 2 * kKeyTile * padded + queries * (padded + 2);
}

struct Kernels {
  std::string_view isa;
  uint32_t lanes = 0;
  // Pack adds it to Q8_0 values: 128 where the dot product takes unsigned weights.
  int32_t weight_bias = 0;

  void (*matmul_f32)(const MatMulTile& tile) = nullptr;
  void (*matmul_f16)(const MatMulTile& tile) = nullptr;
  void (*matmul_bf16)(const MatMulTile& tile) = nullptr;
  void (*matmul_q8)(const MatMulTile& tile) = nullptr;
  // One token. REQUIRES: columns is a multiple of 32.
  void (*quantize)(const float* x, uint32_t columns, const QuantizedTokens& out) = nullptr;
  // One token.
  void (*add_rms_norm)(const ResidualNorm& norm, uint32_t width) = nullptr;
  void (*silu_multiply)(const float* gate, const float* up, size_t count, float* out) = nullptr;
  // One head; cosine and sine are the row of its position, [rope_dim / 2].
  void (*rope)(float* head, const float* cosine, const float* sine, const RopeView& rope) = nullptr;
  // Rounds to the cache's dtype.
  void (*store_row)(DType dtype, const float* x, uint32_t count, std::byte* out) = nullptr;
  void (*attend)(const AttentionTask& task) = nullptr;
};

}  // namespace infercept::cpu
