// How the queries of a step are dealt out to blocks of the attention kernels, on the host, once for
// all layers. A sequence's positions are cut into splits of kSplitTokens; a query's result is the
// fold, in order, of what it gets from each split. So the plan changes no bit of a result:
//
//   slice of few queries   |-- task --|-- task --|-- task --|   one warp each; then a merge
//   slice of many queries  |== task: 128 queries, folds all ==|  one block each
//                          |== task: the next 128 ============|
//   many, in a small step  |== task ====|== task ====|== task |  one block each; then a merge
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/tensor_view.h"

namespace infercept::cuda {

// At F16 and 128 values per head a split has 256 KB of keys and values, and its states at 4 queries
// 2 KB. 32,768 positions over 8 KV heads are 512 warps, 4 per multiprocessor of an H200. Shorter
// splits would keep more of them busy at short contexts, and leave more states to fold at long
// ones.
inline constexpr uint32_t kSplitTokens = 512;

inline constexpr uint32_t kNoState = UINT32_MAX;

// Queries of a slice and KV head are numbered row by row: query = row * group_heads + head.
struct AttentionTask {
  uint32_t slice = 0;
  uint32_t first_query = 0;
  uint32_t split_begin = 0;
  uint32_t split_end = 0;  // == split_begin: no task
  // Row in the workspace of query 0 and split 0 of the slice, [splits][queries]; or kNoState: the
  // task does all splits of its queries, and writes their outputs.
  uint32_t first_state = kNoState;
};

// One token whose states are to be folded.
struct AttentionMerge {
  uint32_t slice = 0;
  uint32_t row = 0;                 // of the slice
  uint32_t first_state = kNoState;  // as the tasks have it; kNoState: nothing to do
};

// Up to 16 new positions of one sequence, all in one aligned run of 16.
struct KvRun {
  uint32_t slice = 0;
  uint32_t first_position = 0;
  uint32_t count = 0;
};

struct AttentionPlanShape {
  uint32_t kv_heads = 1;
  uint32_t group_heads = 1;  // heads per KV head
  uint32_t head_dim = 0;
  uint32_t state_rows_max = 0;  // that the workspace holds
};

// Lists are reused from step to step: after warm-up, making a plan allocates nothing.
struct AttentionPlan {
  std::vector<AttentionTask> few;   // of at most 16 queries and one split
  std::vector<AttentionTask> many;  // of at most ManyQueries(head_dim)
  std::vector<AttentionMerge> merges;
  std::vector<KvRun> runs;
  uint32_t state_rows = 0;  // that tasks write, per KV head

  void Make(std::span<const AttentionSlice> slices, const AttentionPlanShape& shape);
  // After Make for `slices` slices of one token each, none of which ends behind context_tokens:
  // fills the lists up with entries that do nothing, so that their lengths follow from these two
  // numbers and the shape alone. A graph of such a step fits every other one.
  void Pad(uint32_t slices, uint32_t context_tokens, const AttentionPlanShape& shape);

 private:
  void AddFew(const AttentionSlice& slice, uint32_t index, const AttentionPlanShape& shape);
  void AddMany(const AttentionSlice& slice, uint32_t index, uint32_t parts,
               const AttentionPlanShape& shape);
  // Of all splits and queries of the slice, with the merges of its tokens. Returns the first, or
  // kNoState where the workspace is too small.
  uint32_t ReserveStates(const AttentionSlice& slice, uint32_t index, uint32_t splits,
                         const AttentionPlanShape& shape);
};

// Bytes that the lists of any step of so many rows take, padded or not.
size_t AttentionPlanBytes(uint32_t rows, const AttentionPlanShape& shape);
// Queries of one block of the kernel for many.
uint32_t ManyQueries(uint32_t head_dim);
// Of the workspace, for all KV heads.
size_t AttentionStateBytes(uint32_t state_rows, uint32_t kv_heads, uint32_t head_dim);

}  // namespace infercept::cuda
