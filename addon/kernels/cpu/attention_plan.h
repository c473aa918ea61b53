// Who computes what of one attention call. The work is the splits (kernels.h) of all slices; a
// piece is a run of splits of one slice's rows, or of several slices that have the same blocks
// there:
//
//   slice A  |=== piece, shared ===|---- piece ----|
//   slice B  |=== with A ==========|-- piece --|
//   slice C  |------------ piece ------------|-- piece --|     long: cut, for the threads
//
// A slice that is one piece is finished by it. Others store states, which are merged when all
// pieces are done: the piece that begins at 0 leaves one per query, later ones one per query and
// split. None of this changes a bit of the results (ops.h, Rule 1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cpu/kernels.h"
#include "kernels/ops.h"

namespace infercept::cpu {

// One slice that has rows.
struct AttentionMember {
  const AttentionSlice* slice = nullptr;
  float* states = nullptr;     // [splits][rows][heads]; null where one piece does each row
  uint32_t splits = 0;         // that its last row sees
  uint32_t whole_splits = 0;   // that its first row, so every row, sees whole
  uint32_t shared_splits = 0;  // whole ones with the same blocks as those of the member before it
  uint32_t first_splits = 0;   // of the piece that begins at 0
};

struct AttentionPiece {
  uint64_t cost = 0;  // of one KV head, in pairs of query and key
  uint32_t first_member = 0;
  uint32_t members = 1;
  uint32_t first_row = 0;  // in the slice; 0 with several members
  uint32_t rows = 0;       // of all members together
  uint32_t split_begin = 0;
  uint32_t split_end = 0;
};

struct AttentionPlan {
  std::span<AttentionMember> members;
  std::span<AttentionPiece> pieces;  // the most expensive first
  bool stores_states = false;        // so that a merge has to follow
};

struct AttentionPlanShape {
  uint32_t heads = 0;
  uint32_t kv_heads = 0;
  uint32_t block_tokens = 0;
  uint32_t groups = 1;  // as PagedKv has them
  uint32_t group = 0;
  uint32_t state_floats = 0;
  uint32_t threads = 0;  // to keep busy
};

// Bytes of scratch for the plan of any call within the limits, and for states that make cutting and
// sharing possible.
size_t AttentionPlanBytes(const AttentionLimits& limits, uint32_t state_floats);

// The plan and its states lie in scratch, all of which may be used. REQUIRES: scratch is 64-byte
// aligned and has AttentionPlanBytes of limits that hold.
AttentionPlan PlanAttention(std::span<const AttentionSlice> slices, const AttentionPlanShape& shape,
                            std::span<std::byte> scratch);

}  // namespace infercept::cpu
