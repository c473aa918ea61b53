// How CpuOps cuts attention into tasks: one per slice, KV head and few rows of the slice.
#include <algorithm>

#include "kernels/cpu/cpu_ops.h"
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

struct TaskSplit {
  std::span<const AttentionSlice> slices;
  uint32_t kv_heads;
  uint32_t task_rows;

  uint32_t TasksOf(const AttentionSlice& slice) const {
    return DivCeil(slice.rows, task_rows) * kv_heads;
  }
  uint32_t Tasks() const {
    uint32_t tasks = 0;
    for (const AttentionSlice& slice : slices) tasks += TasksOf(slice);
    return tasks;
  }
  // Keys seen by all queries of one head.
  uint64_t Keys() const {
    uint64_t keys = 0;
    for (const AttentionSlice& slice : slices) {
      keys += uint64_t{slice.rows} * (slice.first_position + slice.rows);
    }
    return keys;
  }

  // Within a slice the last rows come first: they see the most keys, and long tasks started late
  // leave threads idle.
  struct Place {
    const AttentionSlice* slice;
    uint32_t row;  // in the slice
    uint32_t kv_head;
  };
  Place Find(uint32_t task) const {
    const AttentionSlice* slice = slices.data();
    for (; task >= TasksOf(*slice); ++slice) task -= TasksOf(*slice);
    const uint32_t tile = (TasksOf(*slice) - 1 - task) / kv_heads;
    return {slice, tile * task_rows, task % kv_heads};
  }
};

}  // namespace

size_t CpuOps::AttentionScratchBytes(uint32_t, uint32_t heads, uint32_t head_dim,
                                     uint32_t threads) const {
  return threads * ThreadFloats(heads, head_dim, kernels_.lanes) * sizeof(float);
}

void CpuOps::Attention(const float* query, size_t query_stride,
                       std::span<const AttentionSlice> slices, uint32_t heads, const PagedKv& cache,
                       float scale, float* out, size_t out_stride, std::span<std::byte> scratch,
                       ThreadPool& pool) const {
  CheckCache(cache, slices);
  IC_CHECK(heads % cache.kv_heads == 0);
  IC_CHECK(scratch.size() >= AttentionScratchBytes(0, heads, cache.head_dim, pool.threads()));
  IC_CHECK(IsAligned(scratch.data(), 64));
  const uint32_t group_heads = heads / cache.kv_heads;
  const TaskSplit split{slices, cache.kv_heads, std::max(1u, kTaskQueries / group_heads)};
  float* floats = reinterpret_cast<float*>(scratch.data());
  const size_t thread_floats = ThreadFloats(heads, cache.head_dim, kernels_.lanes);
  const auto run_tasks = [&](uint32_t begin, uint32_t end, uint32_t thread) {
    for (uint32_t i = begin; i < end; ++i) {
      const TaskSplit::Place place = split.Find(i);
      const size_t row = size_t{place.slice->first_row} + place.row;
      const size_t head = size_t{place.kv_head} * group_heads * cache.head_dim;
      kernels_.attend({.query = query + row * query_stride + head,
                       .query_stride = query_stride,
                       .out = out + row * out_stride + head,
                       .out_stride = out_stride,
                       .rows = std::min(split.task_rows, place.slice->rows - place.row),
                       .first_position = place.slice->first_position + place.row,
                       .group_heads = group_heads,
                       .kv_head = place.kv_head,
                       .block_table = place.slice->block_table,
                       .cache = &cache,
                       .scale = scale,
                       .scratch = floats + thread * thread_floats});
    }
  };
  const uint32_t tasks = split.Tasks();
  const bool alone = split.Keys() * heads * cache.head_dim * 2 < kAloneOperations;
  pool.ParallelFor(tasks, alone ? tasks : 1, run_tasks);
}

}  // namespace infercept::cpu
