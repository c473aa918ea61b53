// The leaves that each instruction set compiles for itself: raw pointers in, no checks, no threads,
// no allocation. cpu_ops.cc proves the shapes, splits the work and calls them.
#pragma once

#include <string_view>

#include "kernels/cpu/matmul_tile.h"
#include "kernels/ops.h"
#include "kernels/paged_kv.h"

namespace infercept::cpu {

// Attention cuts the positions of a sequence, from 0, into splits of this many keys. What a query
// gets from a split is a function of the query and the split alone, and its result is the states of
// its splits merged in order, whoever computed them (ops.h, Rule 1). 256: the keys, then the
// values, of one KV head fit the L1 (F16, heads of 64: 32 KiB), and merging is 2 % of the work; a
// shared beginning of 1,000 tokens still has 3 of its 4 parts to share.
inline constexpr uint32_t kSplitKeys = 256;

// Most queries of one task, but all heads of one row always fit: what one conversion of a split's
// keys and values to floats is shared by.
inline constexpr uint32_t kTaskQueries = 64;

// Means of a query are padded to whole pairs of vectors.
constexpr uint32_t PaddedHeadDim(uint32_t head_dim, uint32_t lanes) {
  return DivCeil(head_dim, 2 * lanes) * 2 * lanes;
}

// The state of one query over some splits: [padded head_dim] sums of weights times values, then the
// largest score, then the sum of weights; weights are relative to the largest score. A whole cache
// line for the two keeps every state aligned.
constexpr uint32_t StateFloats(uint32_t head_dim, uint32_t lanes) {
  return PaddedHeadDim(head_dim, lanes) + 16;
}

// Consecutive rows of one slice, and their heads that share one KV head.
struct AttentionRows {
  const float* query = nullptr;  // [rows][group_heads][head_dim], rows query_stride floats apart
  float* out = nullptr;          // likewise, out_stride
  // [splits][rows of the slice][heads] states, from the first of these queries on; null where the
  // task covers all splits and writes `out`.
  float* states = nullptr;
  size_t split_stride = 0;  // floats from one split's states to the next one's
  size_t row_stride = 0;    // likewise of rows
  uint32_t rows = 0;
  uint32_t first_position = 0;
};

// Some neighbouring positions in the cache, at most kSplitKeys, as one KV head has them.
struct AttentionKeys {
  const BlockId* block_table = nullptr;
  uint32_t kv_head = 0;
  uint32_t first = 0;  // position
  uint32_t count = 0;
  uint32_t first_seen = 0;  // position; blocks before its block may be gone
};

// Some queries over the splits [split_begin, split_end). Begun at 0 the splits are merged: the
// state goes to the place of the last one. Begun later each split's state goes to its own place.
struct AttentionTask {
  // Several: all see all positions of these splits, and have the same blocks there.
  const AttentionRows* members = nullptr;
  uint32_t member_count = 0;
  size_t query_stride = 0;
  size_t out_stride = 0;
  uint32_t split_begin = 0;
  uint32_t split_end = 0;
  uint32_t group_heads = 0;
  uint32_t kv_head = 0;
  const BlockId* block_table = nullptr;
  const PagedKv* cache = nullptr;
  AttentionRules rules;
  float* scratch = nullptr;  // AttentionTaskFloats
  AttentionKeys following;   // What the thread reads after this task, if that is known.
};

// One query of a task: where its state is built, and where its result goes.
struct AttentionQuery {
  float* state = nullptr;
  size_t split_stride = 0;
  float* out = nullptr;  // null: the state is all
  uint32_t position = 0;
  float sink = 0;  // to base 2; minus infinity without one
};

// The widest register tile of queries.
inline constexpr uint32_t kQueriesTogetherMax = 8;

// Of one split: keys and values as floats; scores. Per query: its inputs, its state and an
// AttentionQuery, also for the places that fill up the last register tile.
constexpr size_t AttentionTaskFloats(uint32_t queries, uint32_t head_dim, uint32_t lanes) {
  const size_t padded = PaddedHeadDim(head_dim, lanes);
  const size_t places = size_t{queries} + kQueriesTogetherMax;
  return 2 * kSplitKeys * padded + kQueriesTogetherMax * kSplitKeys +
         places * (head_dim + 2 * StateFloats(head_dim, lanes)) +
         places * sizeof(AttentionQuery) / sizeof(float);
}

// Merges the states of some queries of one row, [heads] at each split, and writes their results.
struct AttentionMerge {
  const float* states = nullptr;  // of the first split whose state is stored
  size_t split_stride = 0;
  uint32_t splits = 0;
  uint32_t heads = 0;
  uint32_t head_dim = 0;
  const float* sinks = nullptr;  // [heads]; may be null
  float* out = nullptr;          // [heads][head_dim]
  float* scratch = nullptr;      // StateFloats
};

// Keys or values of consecutive positions of one sequence and one KV head, all in one block.
struct KvRows {
  const float* from = nullptr;  // [count][head_dim], rows `stride` floats apart
  size_t stride = 0;
  uint32_t count = 0;
  std::byte* plane = nullptr;  // of the block and the KV head
  uint32_t slot = 0;           // of the first position in the block
  uint32_t block_tokens = 0;
  uint32_t head_dim = 0;
  DType dtype = DType::kF16;
};

// Tokens of the widest panels: what fits the registers best.
struct PanelTokens {
  uint32_t plain = 0;      // times F32, F16 and BF16
  uint32_t quantized = 0;  // times all others
  // The same where two panels hold all tokens: reading the weights from memory takes longer than
  // multiplying then, and two wide panels read what the first one read only once again.
  uint32_t quantized_few = 0;

  constexpr uint32_t For(InputKind kind, uint32_t tokens) const {
    if (kind == InputKind::kF32 || kind == InputKind::kBF16) return plain;
    return tokens <= 2 * quantized_few ? quantized_few : quantized;
  }
};

struct Kernels {
  std::string_view isa;
  uint32_t lanes = 0;
  PanelTokens panel_tokens;
  // Pack adds it to Q8_0 values: 128 where the dot product takes unsigned weights.
  int32_t signed_bias = 0;
  InputKind bf16_inputs = InputKind::kF32;  // what BF16 weights are multiplied with

  MatMulKernel (*matmul_of)(DType dtype) = nullptr;
  PrepareKernel (*prepare_of)(InputKind kind) = nullptr;
  // One token.
  void (*add_rms_norm)(const ResidualNorm& norm, uint32_t width) = nullptr;
  void (*add_layer_norm)(const ResidualNorm& norm, uint32_t width) = nullptr;
  // One vector.
  void (*rms_norm)(float* x, const VectorNorm& norm) = nullptr;
  void (*soft_cap)(float cap, size_t count, float* x) = nullptr;
  void (*silu_multiply)(const float* gate, const float* up, size_t count, float* out) = nullptr;
  void (*gelu_multiply)(const float* gate, const float* up, size_t count, float* out) = nullptr;
  void (*gelu)(size_t count, float* x) = nullptr;
  void (*clamped_swiglu)(const ClampedSwiglu& swiglu, const float* gate, const float* up,
                         size_t count, float* out) = nullptr;
  // One head; cosine and sine are the row of its position, [rope_dim / 2].
  void (*rope)(float* head, const float* cosine, const float* sine, const RopeView& rope) = nullptr;
  // Round to the cache's dtype (paged_kv.h has the layouts).
  void (*store_keys)(const KvRows& rows) = nullptr;
  void (*store_values)(const KvRows& rows) = nullptr;
  void (*attend)(const AttentionTask& task) = nullptr;
  void (*merge)(const AttentionMerge& merge) = nullptr;
};

}  // namespace infercept::cpu
