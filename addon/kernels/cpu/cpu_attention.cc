// CpuOps: keys and values into the cache, and attention over it, as attention_plan.h cuts it.
#include <algorithm>
#include <atomic>

#include "kernels/cpu/attention_plan.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/paged_kv.h"
#include "kernels/shape_checks.h"

namespace infercept::cpu {
namespace {

// Below this many multiply-adds the calling thread does all alone: handing over would cost more.
constexpr uint64_t kAloneOperations = 128 * 1024;

// Floats of one thread, in whole cache lines so that threads share none.
size_t ThreadFloats(uint32_t heads, uint32_t head_dim, uint32_t lanes) {
  const uint32_t queries = std::max(kTaskQueries, heads);
  return DivCeil<size_t>(AttentionTaskFloats(queries, head_dim, lanes), 16) * 16;
}

// Pairs of query and key, of one head.
uint64_t CountPairs(std::span<const AttentionSlice> slices) {
  uint64_t pairs = 0;
  for (const AttentionSlice& slice : slices) {
    pairs += uint64_t{slice.rows} * (slice.first_position + slice.rows);
  }
  return pairs;
}

// What the tasks of one call share.
struct AttentionCall {
  const Kernels& kernels;
  const AttentionPlan& plan;
  const PagedKv& cache;
  const float* query;
  size_t query_stride;
  float* out;
  size_t out_stride;
  uint32_t heads;
  const AttentionRules& rules;

  uint32_t group_heads() const { return heads / cache.kv_heads; }
  size_t state_floats() const { return StateFloats(cache.head_dim, kernels.lanes); }
  size_t row_stride() const { return heads * state_floats(); }
  size_t split_stride(const AttentionMember& member) const {
    return member.slice->rows * row_stride();
  }

  AttentionRows Rows(const AttentionMember& member, uint32_t first_row, uint32_t rows,
                     uint32_t kv_head) const {
    const size_t row = size_t{member.slice->first_row} + first_row;
    const size_t first_head = size_t{kv_head} * group_heads();
    return {.query = query + row * query_stride + first_head * cache.head_dim,
            .out = out + row * out_stride + first_head * cache.head_dim,
            .states = member.states == nullptr
                          ? nullptr
                          : member.states + first_row * row_stride() + first_head * state_floats(),
            .split_stride = split_stride(member),
            .row_stride = row_stride(),
            .rows = rows,
            .first_position = member.slice->first_position + first_row};
  }

  // A task is a piece and a KV head.
  uint32_t tasks() const { return static_cast<uint32_t>(plan.pieces.size()) * cache.kv_heads; }

  // Where a task begins to read; of none, nothing.
  AttentionKeys FirstKeys(uint32_t task) const {
    if (task >= tasks()) return {};
    const AttentionPiece& piece = plan.pieces[task / cache.kv_heads];
    const AttentionSlice& slice = *plan.members[piece.first_member].slice;
    const uint32_t first = piece.split_begin * kSplitKeys;
    const uint32_t rows = piece.members == 1 ? piece.first_row + piece.rows : slice.rows;
    return {.block_table = slice.block_table,
            .kv_head = task % cache.kv_heads,
            .first = first,
            .count = std::min(kSplitKeys, slice.first_position + rows - first),
            .first_seen = rules.FirstVisible(slice.first_position + piece.first_row)};
  }

  void Attend(uint32_t task, uint32_t following, float* scratch) const {
    const AttentionPiece& piece = plan.pieces[task / cache.kv_heads];
    const uint32_t kv_head = task % cache.kv_heads;
    AttentionRows rows[kTaskQueries];
    IC_CHECK(piece.members <= kTaskQueries);
    for (uint32_t i = 0; i < piece.members; ++i) {
      const AttentionMember& member = plan.members[piece.first_member + i];
      rows[i] = Rows(member, piece.first_row, piece.members == 1 ? piece.rows : member.slice->rows,
                     kv_head);
    }
    kernels.attend({.members = rows,
                    .member_count = piece.members,
                    .query_stride = query_stride,
                    .out_stride = out_stride,
                    .split_begin = piece.split_begin,
                    .split_end = piece.split_end,
                    .group_heads = group_heads(),
                    .kv_head = kv_head,
                    .block_table = plan.members[piece.first_member].slice->block_table,
                    .cache = &cache,
                    .rules = rules,
                    .scratch = scratch,
                    .following = FirstKeys(following)});
  }

  // The state of the first piece, and those of the splits after it.
  void Merge(const AttentionMember& member, uint32_t kv_head, float* scratch) const {
    if (member.states == nullptr) return;
    for (uint32_t row = 0; row < member.slice->rows; ++row) {
      const AttentionRows rows = Rows(member, row, 1, kv_head);
      const uint32_t splits = DivCeil(rows.first_position + 1, kSplitKeys);
      const uint32_t first = member.first_splits - 1;
      kernels.merge({.states = rows.states + first * rows.split_stride,
                     .split_stride = rows.split_stride,
                     .splits = std::max(splits, first + 1) - first,
                     .heads = group_heads(),
                     .head_dim = cache.head_dim,
                     .sinks = rules.sinks == nullptr
                                  ? nullptr
                                  : rules.sinks + size_t{kv_head} * group_heads(),
                     .out = rows.out,
                     .scratch = scratch});
    }
  }
};

}  // namespace

void CpuOps::WriteKv(const float* key, const float* value, size_t stride,
                     std::span<const AttentionSlice> slices, const PagedKv& cache) const {
  CheckCache(cache, slices);
  for (const AttentionSlice& slice : slices) {
    for (uint32_t row = 0; row < slice.rows;) {
      const uint32_t position = slice.first_position + row;
      const uint32_t slot = position % cache.block_tokens;
      const uint32_t count = std::min(slice.rows - row, cache.block_tokens - slot);
      const BlockId block = slice.block_table[TableEntry(cache, position)];
      for (uint32_t head = 0; head < cache.kv_heads; ++head) {
        const size_t from =
            (size_t{slice.first_row} + row) * stride + size_t{head} * cache.head_dim;
        KvRows rows = {.from = key + from,
                       .stride = stride,
                       .count = count,
                       .plane = KvPlane(cache, cache.keys, block, head),
                       .slot = slot,
                       .block_tokens = cache.block_tokens,
                       .head_dim = cache.head_dim,
                       .dtype = cache.dtype};
        kernels_.store_keys(rows);
        rows.from = value + from;
        rows.plane = KvPlane(cache, cache.values, block, head);
        kernels_.store_values(rows);
      }
      row += count;
    }
  }
}

size_t CpuOps::AttentionScratchBytes(const AttentionLimits& limits) const {
  const uint32_t state_floats = StateFloats(limits.head_dim, kernels_.lanes);
  return AttentionPlanBytes(limits, state_floats) +
         limits.threads * ThreadFloats(limits.heads, limits.head_dim, kernels_.lanes) *
             sizeof(float);
}

void CpuOps::Attention(const float* query, size_t query_stride,
                       std::span<const AttentionSlice> slices, uint32_t heads, const PagedKv& cache,
                       const AttentionRules& rules, float* out, size_t out_stride,
                       std::span<std::byte> scratch, ThreadPool& pool) const {
  CheckCache(cache, slices);
  IC_CHECK(heads % cache.kv_heads == 0);
  IC_CHECK(IsAligned(scratch.data(), 64));
  const uint32_t threads = pool.threads();
  const size_t thread_floats = ThreadFloats(heads, cache.head_dim, kernels_.lanes);
  IC_CHECK(scratch.size() >= threads * thread_floats * sizeof(float));
  float* floats = reinterpret_cast<float*>(scratch.data());
  const bool alone = CountPairs(slices) * heads * cache.head_dim * 2 < kAloneOperations;
  const AttentionPlan plan =
      PlanAttention(slices,
                    {.heads = heads,
                     .kv_heads = cache.kv_heads,
                     .block_tokens = cache.block_tokens,
                     .groups = cache.groups,
                     .group = cache.group,
                     .state_floats = StateFloats(cache.head_dim, kernels_.lanes),
                     .threads = alone ? 1 : threads},
                    scratch.subspan(threads * thread_floats * sizeof(float)));
  const AttentionCall call = {kernels_, plan,       cache, query, query_stride,
                              out,      out_stride, heads, rules};
  // Tasks differ in cost, the longest come first: each thread takes one at a time, and the next one
  // before it begins, as long as there are enough for all: so memory can be asked for it.
  const uint32_t tasks = call.tasks();
  std::atomic<uint32_t> next{0};
  const auto take = [&] { return next.fetch_add(1, std::memory_order_relaxed); };
  pool.ParallelFor(alone ? 1 : threads, 1, [&](uint32_t, uint32_t, uint32_t thread) {
    for (uint32_t task = take(); task < tasks;) {
      const bool ahead = task + 2 * threads < tasks;
      const uint32_t following = ahead ? take() : tasks;
      call.Attend(task, following, floats + thread * thread_floats);
      task = ahead ? following : take();
    }
  });
  if (!plan.stores_states) return;
  const auto merges = static_cast<uint32_t>(plan.members.size()) * cache.kv_heads;
  pool.ParallelFor(merges, alone ? merges : 1, [&](uint32_t begin, uint32_t end, uint32_t thread) {
    for (uint32_t i = begin; i < end; ++i) {
      call.Merge(plan.members[i / cache.kv_heads], i % cache.kv_heads,
                 floats + thread * thread_floats);
    }
  });
}

}  // namespace infercept::cpu
