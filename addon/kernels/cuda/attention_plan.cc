#include "kernels/cuda/attention_plan.h"

#include <algorithm>

#include "base/check.h"

namespace infercept::cuda {
namespace {

constexpr uint32_t kFewQueries = 16;
constexpr uint32_t kRun = 16;

// Slices of many queries are cut along their positions if a step has fewer blocks than this: one
// for each of the 132 multiprocessors of an H200, and as many again, since they differ in length.
constexpr uint32_t kBlocksWanted = 264;

// Into how many parts positions are cut in a step of so many blocks.
uint32_t Parts(uint64_t blocks) {
  return static_cast<uint32_t>(DivCeil<uint64_t>(kBlocksWanted, blocks + 1));
}

// Tasks of shared splits for the kernel for many, of slices of so many rows together. There is a
// chunk of tokens for each row at most (shared_prefixes.cc), and what cutting adds.
uint32_t SharedManyMax(uint32_t rows, const AttentionPlanShape& shape) {
  return rows + DivCeil(kBlocksWanted, shape.kv_heads);
}

template <typename T>
void FillUp(std::vector<T>& list, uint64_t count) {
  IC_CHECK(list.size() <= count);
  list.resize(count);
}

void AddRuns(const AttentionSlice& slice, uint32_t index, std::vector<KvRun>& runs) {
  const uint32_t end = slice.first_position + slice.rows;
  for (uint32_t first = slice.first_position; first < end;) {
    const uint32_t next = std::min(end, (first / kRun + 1) * kRun);
    runs.push_back({index, first, next - first});
    first = next;
  }
}

}  // namespace

// Few: a slice has one task, or one for each split whose states it reserved; shared splits take the
// place of two such tasks at least. Many: one for each 128 (or 64) queries, and what cutting them
// into parts adds is less than kBlocksWanted; and those of shared splits.
size_t AttentionPlanBytes(uint32_t rows, const AttentionPlanShape& shape) {
  const size_t queries = size_t{rows} * shape.group_heads;
  const size_t few = rows + shape.state_rows_max / shape.group_heads;
  const size_t many = rows + DivCeil<size_t>(queries, ManyQueries(shape.head_dim)) + kBlocksWanted +
                      SharedManyMax(rows, shape);
  return (few + many) * sizeof(AttentionTask) + rows * (sizeof(AttentionMerge) + sizeof(KvRun));
}

size_t AttentionStateBytes(uint32_t state_rows, uint32_t kv_heads, uint32_t head_dim) {
  return size_t{state_rows} * kv_heads * (head_dim + 2) * sizeof(float);
}

void AttentionPlan::Make(std::span<const AttentionSlice> slices, const AttentionPlanShape& shape) {
  few.clear();
  many.clear();
  merges.clear();
  runs.clear();
  state_rows = 0;
  AddShared(slices, shape);
  uint64_t blocks = 0;
  for (const AttentionSlice& slice : slices) {
    IC_CHECK(slice.rows <= UINT32_MAX / shape.group_heads);
    blocks += uint64_t{DivCeil(slice.rows * shape.group_heads, ManyQueries(shape.head_dim))} *
              shape.kv_heads;
  }
  const uint32_t parts = Parts(blocks);
  for (uint32_t i = 0; i < slices.size(); ++i) {
    if (slices[i].rows == 0) continue;
    AddRuns(slices[i], i, runs);
    if (slices[i].rows * shape.group_heads <= kFewQueries) {
      AddFew(slices[i], i, shape);
    } else {
      AddMany(slices[i], i, parts, shape);
    }
  }
}

void AttentionPlan::Pad(uint32_t slices, uint32_t context_tokens, const AttentionPlanShape& shape) {
  const uint32_t group = shape.group_heads;
  const uint64_t splits = DivCeil(context_tokens, kSplitTokens);
  const uint64_t states = splits == 1 ? 0 : slices * splits * group;
  const uint32_t shared = shares_many ? SharedManyMax(slices, shape) : 0;
  IC_CHECK(runs.size() == slices);
  FillUp(merges, splits == 1 ? 0 : slices);
  if (group <= kFewQueries) {
    FillUp(few, std::min(slices * splits, uint64_t{slices} + shape.state_rows_max / group));
    FillUp(many, (states > shape.state_rows_max ? slices : 0) + shared);
    return;
  }
  const uint64_t tasks = uint64_t{slices} * DivCeil(group, ManyQueries(shape.head_dim));
  FillUp(many, tasks * std::min<uint64_t>(Parts(tasks * shape.kv_heads), splits) + shared);
}

// Tokens that share blocks are the first merges, in the order of prefixes. One warp has a prefix of
// at most 16 queries, split by split; blocks of the kernel for many have others.
void AttentionPlan::AddShared(std::span<const AttentionSlice> slices,
                              const AttentionPlanShape& shape) {
  prefixes_.Find(slices, shape);
  shared_states_.assign(slices.size(), kNoState);
  for (const uint32_t i : prefixes_.slices()) {
    const uint32_t splits = DivCeil(slices[i].first_position + slices[i].rows, kSplitTokens);
    shared_states_[i] = ReserveStates(slices[i], i, splits, shape);
    IC_CHECK(shared_states_[i] != kNoState);
  }
  const uint32_t few_tokens = kFewQueries / shape.group_heads;
  const uint32_t many_tokens = SharedTokensMax(shape);
  uint64_t chunks = 0;
  for (const SharedPrefix& prefix : prefixes_.prefixes()) {
    if (prefix.tokens > few_tokens) chunks += DivCeil(prefix.tokens, many_tokens);
  }
  shares_many = chunks > 0;
  const uint32_t parts = Parts(chunks * shape.kv_heads);
  for (const SharedPrefix& prefix : prefixes_.prefixes()) {
    const bool is_few = prefix.tokens <= few_tokens;
    const uint32_t splits = prefix.split_end - prefix.split_begin;
    const uint32_t count = is_few ? splits : std::min(splits, parts);
    for (uint32_t done = 0; done < prefix.tokens; done += is_few ? few_tokens : many_tokens) {
      AttentionTask task = {.slice = prefix.slice,
                            .first_query = (prefix.first_token + done) * shape.group_heads,
                            .first_state = shared_states_[prefix.slice],
                            .shared_tokens = std::min(prefix.tokens - done, many_tokens)};
      for (uint32_t part = 0; part < count; ++part) {
        task.split_begin = prefix.split_begin + splits * part / count;
        task.split_end = prefix.split_begin + splits * (part + 1) / count;
        (is_few ? few : many).push_back(task);
      }
    }
  }
}

void AttentionPlan::AddFew(const AttentionSlice& slice, uint32_t index,
                           const AttentionPlanShape& shape) {
  const uint32_t splits = DivCeil(slice.first_position + slice.rows, kSplitTokens);
  if (splits == 1) {
    few.push_back({index, 0, 0, 1, kNoState});
    return;
  }
  uint32_t first_state = shared_states_[index];
  if (first_state == kNoState) first_state = ReserveStates(slice, index, splits, shape);
  if (first_state == kNoState) {
    AddMany(slice, index, 1, shape);
    return;
  }
  for (uint32_t split = prefixes_.splits(index); split < splits; ++split) {
    few.push_back({index, 0, split, split + 1, first_state});
  }
}

void AttentionPlan::AddMany(const AttentionSlice& slice, uint32_t index, uint32_t parts,
                            const AttentionPlanShape& shape) {
  const uint32_t queries = slice.rows * shape.group_heads;
  const uint32_t splits = DivCeil(slice.first_position + slice.rows, kSplitTokens);
  const uint32_t shared = prefixes_.splits(index);
  uint32_t first_state = shared_states_[index];
  if (first_state == kNoState && parts > 1 && splits > 1) {
    first_state = ReserveStates(slice, index, splits, shape);
  }
  if (first_state == kNoState) parts = 1;
  const uint32_t per_task = ManyQueries(shape.head_dim);
  for (uint32_t left = DivCeil(queries, per_task); left > 0; --left) {  // the longest first
    const uint32_t first = (left - 1) * per_task;
    const uint32_t last_row = (std::min(first + per_task, queries) - 1) / shape.group_heads;
    const uint64_t own = DivCeil(slice.first_position + last_row + 1, kSplitTokens) - shared;
    for (uint32_t part = 0; part < parts; ++part) {
      const auto begin = static_cast<uint32_t>(shared + own * part / parts);
      const auto end = static_cast<uint32_t>(shared + own * (part + 1) / parts);
      if (begin < end) many.push_back({index, first, begin, end, first_state});
    }
  }
}

uint32_t AttentionPlan::ReserveStates(const AttentionSlice& slice, uint32_t index, uint32_t splits,
                                      const AttentionPlanShape& shape) {
  const uint64_t rows = uint64_t{splits} * slice.rows * shape.group_heads;
  if (state_rows + rows > shape.state_rows_max) return kNoState;
  const uint32_t first_state = state_rows;
  state_rows += static_cast<uint32_t>(rows);
  for (uint32_t row = 0; row < slice.rows; ++row) merges.push_back({index, row, first_state});
  return first_state;
}

}  // namespace infercept::cuda
