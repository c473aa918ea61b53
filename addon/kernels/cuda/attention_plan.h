// How the queries of a step are dealt out to blocks of the attention kernels, on the host, once for
// all layers. A sequence's positions are cut into splits of kSplitTokens; a query's result is the
// fold, in order, of what it gets from each split. So the plan changes no bit of a result:
//
//   slice of few queries   |-- task --|-- task --|-- task --|   one warp each; then a merge
//   slice of many queries  |== task: 128 queries, folds all ==|  one block each
//                          |== task: the next 128 ============|
//   many, in a small step  |== task ====|== task ====|== task |  one block each; then a merge
//   two that share blocks  |== task of both ==|-- task --|-- task --|  then a merge
//                                             |-- task --|
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cuda/shared_prefixes.h"
#include "kernels/tensor_view.h"

namespace infercept::cuda {

inline constexpr uint32_t kNoState = UINT32_MAX;

// Queries of a KV head are numbered token by token: query = token * group_heads + head. The tokens
// are the rows of the slice; or, where several slices share blocks, those of AttentionPlan::merges.
struct AttentionTask {
  uint32_t slice = 0;  // whose blocks are read
  uint32_t first_query = 0;
  uint32_t split_begin = 0;
  uint32_t split_end = 0;  // == split_begin: no task
  // Row in the workspace of query 0 and split 0 of the slice, [splits][queries]; or kNoState: the
  // task does all splits of its queries, and writes their outputs. Of shared blocks the merges have
  // it.
  uint32_t first_state = kNoState;
  uint32_t shared_tokens = 0;  // so many of the merges, from first_query's on; 0: the slice's rows
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

// Lists are reused from step to step: after warm-up, making a plan allocates nothing.
struct AttentionPlan {
  std::vector<AttentionTask> few;      // of at most 16 queries and one split
  std::vector<AttentionTask> many;     // of at most ManyQueries(head_dim)
  std::vector<AttentionMerge> merges;  // those of slices that share blocks first
  std::vector<KvRun> runs;
  uint32_t state_rows = 0;  // that tasks write, per KV head
  // Tasks of `many` are of shared blocks.
  bool shares_many = false;

  // Slices without block tables share nothing.
  void Make(std::span<const AttentionSlice> slices, const AttentionPlanShape& shape);
  // After Make for `slices` slices of one token each, none of which ends behind context_tokens:
  // fills the lists up with entries that do nothing, so that their lengths follow from these two
  // numbers, the shape and shares_many alone. A graph of such a step fits every other one.
  void Pad(uint32_t slices, uint32_t context_tokens, const AttentionPlanShape& shape);

 private:
  void AddShared(std::span<const AttentionSlice> slices, const AttentionPlanShape& shape);
  void AddFew(const AttentionSlice& slice, uint32_t index, const AttentionPlanShape& shape);
  void AddMany(const AttentionSlice& slice, uint32_t index, uint32_t parts,
               const AttentionPlanShape& shape);
  // Of all splits and queries of the slice, with the merges of its tokens. Returns the first, or
  // kNoState where the workspace is too small.
  uint32_t ReserveStates(const AttentionSlice& slice, uint32_t index, uint32_t splits,
                         const AttentionPlanShape& shape);

  SharedPrefixes prefixes_;
  std::vector<uint32_t> shared_states_;  // [slices] the first state of those that share
};

// Bytes that the lists of any step of so many rows take, padded or not.
size_t AttentionPlanBytes(uint32_t rows, const AttentionPlanShape& shape);
// Of the workspace, for all KV heads.
size_t AttentionStateBytes(uint32_t state_rows, uint32_t kv_heads, uint32_t head_dim);

}  // namespace infercept::cuda
