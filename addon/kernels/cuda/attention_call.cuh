// The attention kernel: one block per task (attention_plan.h) and KV head. All its warps read the
// same tiles of keys and values, copied one ahead; each has 16 queries, or a part of the columns of
// 16 queries. How the files attention_*.cu share its variants: each compiles some, side by side.
#pragma once

#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/device/attention.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/tensor_view.h"

namespace infercept::cuda {

inline constexpr uint32_t kSplitTiles = kSplitTokens / kTileTokens;

// One AttentionCall is one launch; pointers are device memory.
struct AttentionCall {
  const float* query;
  size_t query_stride;
  const AttentionSlice* slices;
  const AttentionTask* tasks;
  const AttentionMerge* merges;
  PagedKv cache;
  size_t plane_bytes;
  uint32_t group_heads;
  uint32_t window_tokens;
  ScoreRule rule;
  const float* sinks;  // [heads], or null
  void* out;
  size_t out_stride;
  bool out_is_bf16;
  float* state_values;   // [kv_heads][state_rows][head_dim]
  float* state_softmax;  // [kv_heads][state_rows][2]: largest score, total of the weights
  uint32_t state_rows;

  __device__ __forceinline__ uint32_t FirstSeen(uint32_t position) const {
    if (window_tokens == 0 || position < window_tokens) return 0;
    return position - window_tokens + 1;
  }

  __device__ __forceinline__ float Sink(uint32_t head) const {
    return sinks == nullptr ? -INFINITY : __fmul_rn(sinks[head], kLog2E);
  }

  __device__ __forceinline__ PagedHead Head(const AttentionSlice& slice, uint32_t kv_head) const {
    const size_t plane = kv_head * plane_bytes;
    return {cache.keys + plane,
            cache.values + plane,
            cache.block_stride,
            slice.block_table + cache.group,
            cache.groups,
            cache.block_tokens,
            FirstSeen(slice.first_position),
            slice.first_position + slice.rows,
            cache.dtype == DType::kQ8_0};
  }

  // Of a state in both arrays.
  __device__ __forceinline__ size_t StateRow(uint32_t first_state, uint32_t split, uint32_t queries,
                                             uint32_t query, uint32_t kv_head) const {
    return size_t{kv_head} * state_rows + first_state + size_t{split} * queries + query;
  }

  __device__ __forceinline__ void StoreOut(size_t at, float first, float second) const {
    if (out_is_bf16) {
      *reinterpret_cast<uint32_t*>(static_cast<BF16*>(out) + at) = PackPair(first, second);
    } else {
      StoreVector(static_cast<float*>(out) + at, Vector<float, 2>{first, second});
    }
  }
};

// One token of a task.
struct TaskToken {
  uint32_t position;
  uint32_t row;            // of the batch
  uint32_t first_state;    // of its slice
  uint32_t slice_queries;  // likewise
  uint32_t slice_row;

  __device__ __forceinline__ TaskToken(const AttentionCall& call, const AttentionTask& task,
                                       uint32_t number) {
    AttentionMerge place = {task.slice, number, task.first_state};
    if (task.shared_tokens != 0) place = call.merges[number];
    const AttentionSlice slice = call.slices[place.slice];
    position = slice.first_position + place.row;
    row = slice.first_row + place.row;
    first_state = place.first_state;
    slice_queries = slice.rows * call.group_heads;
    slice_row = place.row;
  }
};

// Some queries of a task that follow each other.
struct QueryRange {
  uint32_t end;          // of the task's queries
  uint32_t first_seen;   // position that any of the range sees
  uint32_t behind_seen;  // behind the last; 0: there are none

  __device__ __forceinline__ QueryRange(const AttentionCall& call, const AttentionTask& task,
                                        const AttentionSlice& slice, uint32_t first,
                                        uint32_t count) {
    const uint32_t group = call.group_heads;
    const bool shares = task.shared_tokens != 0;
    end = shares ? task.first_query + task.shared_tokens * group : slice.rows * group;
    const uint32_t last = (first + count < end ? first + count : end) - 1;
    // Of those who share, the slice is the one that sees the first position, and all see the last.
    const uint32_t first_row = shares ? 0 : first / group;
    const uint32_t last_row = shares ? 0 : last / group;
    first_seen = call.FirstSeen(slice.first_position + first_row);
    behind_seen = first < end ? slice.first_position + last_row + 1 : 0;
  }
};

// Which queries a warp has, and what this lane knows of its two.
struct WarpQueries {
  uint32_t query[2];  // of the task
  bool exists[2];
  Sight sight;
  uint32_t begin;  // the first position that any query of the warp sees
  uint32_t end;    // behind the last; 0: the warp has no queries

  __device__ __forceinline__ WarpQueries(const AttentionCall& call, const AttentionTask& task,
                                         const AttentionSlice& slice, uint32_t first_query,
                                         uint32_t lane) {
    const QueryRange range(call, task, slice, first_query, kWarpQueries);
    begin = range.first_seen;
    end = range.behind_seen;
#pragma unroll
    for (uint32_t half = 0; half < 2; ++half) {
      query[half] = first_query + lane / 4 + 8 * half;
      exists[half] = query[half] < range.end;
      sight.begin[half] = sight.end[half] = 0;
      if (!exists[half]) continue;
      const uint32_t position = TaskToken(call, task, query[half] / call.group_heads).position;
      sight.begin[half] = call.FirstSeen(position);
      sight.end[half] = position + 1;
    }
  }

  __device__ __forceinline__ bool See(uint32_t start) const {
    return start < end && start + kTileTokens > begin;
  }
};

template <uint32_t columns>
__device__ __forceinline__ void StoreState(const AttentionCall& call, const TaskToken& token,
                                           uint32_t split, uint32_t kv_head, uint32_t group_head,
                                           uint32_t first_column, uint32_t lane, uint32_t half,
                                           const AttentionState<columns>& state) {
  const size_t row = call.StateRow(token.first_state, split, token.slice_queries,
                                   token.slice_row * call.group_heads + group_head, kv_head);
  float* to = call.state_values + row * call.cache.head_dim + first_column + lane % 4 * 2;
#pragma unroll
  for (uint32_t n = 0; n < columns / 8; ++n) {
    StoreVector(to + n * 8,
                Vector<float, 2>{state.values[n][2 * half], state.values[n][2 * half + 1]});
  }
  if (first_column == 0 && lane % 4 == 0) {
    StoreVector(call.state_softmax + row * 2,
                Vector<float, 2>{state.largest[half], state.total[half]});
  }
}

template <uint32_t columns>
__device__ __forceinline__ void WriteOut(const AttentionCall& call, const TaskToken& token,
                                         uint32_t head, uint32_t first_column, uint32_t lane,
                                         uint32_t half, const AttentionState<columns>& state) {
  const float factor = OutputFactor(state.largest[half], state.total[half], call.Sink(head));
  const size_t to = size_t{token.row} * call.out_stride + size_t{head} * call.cache.head_dim +
                    first_column + lane % 4 * 2;
#pragma unroll
  for (uint32_t n = 0; n < columns / 8; ++n) {
    call.StoreOut(to + n * 8, __fmul_rn(state.values[n][2 * half], factor),
                  __fmul_rn(state.values[n][2 * half + 1], factor));
  }
}

// The state of a split, or with kAllSplits the output. The block's task is read again here, so that
// what only this needs takes no registers before.
inline constexpr uint32_t kAllSplits = UINT32_MAX;
template <uint32_t columns>
__device__ __forceinline__ void StoreResult(const AttentionCall& call, uint32_t split,
                                            uint32_t kv_head, uint32_t first_query,
                                            uint32_t first_column, uint32_t lane,
                                            const AttentionState<columns>& state) {
  const AttentionTask task = call.tasks[blockIdx.x];
  const WarpQueries place(call, task, call.slices[task.slice], first_query, lane);
#pragma unroll
  for (uint32_t half = 0; half < 2; ++half) {
    if (!place.exists[half]) continue;
    const TaskToken token(call, task, place.query[half] / call.group_heads);
    const uint32_t group_head = place.query[half] % call.group_heads;
    if (split == kAllSplits) {
      WriteOut(call, token, kv_head * call.group_heads + group_head, first_column, lane, half,
               state);
    } else {
      StoreState(call, token, split, kv_head, group_head, first_column, lane, half, state);
    }
  }
}

// The tiles that the queries of a block see in the splits of a task.
struct TileRange {
  uint32_t begin;
  uint32_t end;

  __device__ __forceinline__ TileRange(const AttentionCall& call, const AttentionSlice& slice,
                                       const AttentionTask& task, uint32_t block_queries) {
    const QueryRange range(call, task, slice, task.first_query, block_queries);
    begin = task.split_begin * kSplitTiles;
    if (range.first_seen / kTileTokens > begin) begin = range.first_seen / kTileTokens;
    end = task.split_end * kSplitTiles;
    const uint32_t seen = (range.behind_seen - 1) / kTileTokens + 1;
    if (seen < end) end = seen;
  }
};

// T is the type of the cache, or KvCodes. `parts` warps share 16 queries, each has a part of the
// columns. With `folds`, a task of several splits may fold their states in registers; else one that
// stores none has one split.
template <typename T, uint32_t head_dim, uint32_t warps, uint32_t parts, bool folds>
__global__ void __launch_bounds__(warps* kWarp, 1)
    AttendKernel(const __grid_constant__ AttentionCall call) {
  constexpr uint32_t kColumns = head_dim / parts;
  const AttentionTask task = call.tasks[blockIdx.x];
  if (task.split_begin == task.split_end) return;
  const AttentionSlice slice = call.slices[task.slice];
  const TileRange tiles(call, slice, task, warps / parts * kWarpQueries);
  if (tiles.begin >= tiles.end) return;  // nobody looks at the states of splits that nobody sees

  const uint32_t kv_head = blockIdx.y;
  const uint32_t lane = threadIdx.x % kWarp;
  const uint32_t warp = threadIdx.x / kWarp;
  const uint32_t first_column = warp % parts * kColumns;
  const uint32_t first_query = task.first_query + warp / parts * kWarpQueries;
  const WarpQueries place(call, task, slice, first_query, lane);
  const PagedHead head = call.Head(slice, kv_head);
  using Stages = KvStages<T, head_dim, warps * kWarp>;
  auto& stages = *reinterpret_cast<Stages*>(DynamicShared());
  stages.Begin(head, tiles.begin);
  CommitCopies();

  const float* rows[2];
#pragma unroll
  for (uint32_t half = 0; half < 2; ++half) {
    rows[half] = nullptr;
    if (!place.exists[half]) continue;
    const uint32_t token = place.query[half] / call.group_heads;
    const uint32_t query_head = kv_head * call.group_heads + place.query[half] % call.group_heads;
    rows[half] = call.query + size_t{TaskToken(call, task, token).row} * call.query_stride +
                 size_t{query_head} * head_dim;
  }
  QueryFragments<head_dim> queries;
  queries.template Load<MatrixType<T>>(
      rows,
      DynamicShared() + sizeof(Stages) + warp / parts * QueryFragments<head_dim>::kSharedBytes,
      warp % parts == 0, lane);

  AttentionState<kColumns> state;  // of the splits so far
  AttentionState<kColumns> part;   // of this one
  if constexpr (folds) state.Clear();
  const bool stores = task.first_state != kNoState;
  uint32_t tile = tiles.begin;
  while (tile < tiles.end) {
    part.Clear();
    uint32_t split_end = (tile / kSplitTiles + 1) * kSplitTiles;
    if (split_end > tiles.end) split_end = tiles.end;
    for (; tile < split_end; ++tile) {
      if (tile + 1 < tiles.end) stages.Begin(head, tile + 1);
      CommitCopies();
      WaitForCopies<1>();
      __syncthreads();
      const KvTile<head_dim>& ready = stages.Take(head, tile);
      if (place.See(tile * kTileTokens)) {
        AttendTile<MatrixType<T>>(queries, ready, tile * kTileTokens, call.rule, place.sight,
                                  first_column, lane, part);
      }
      __syncthreads();  // before the next copy comes into this stage
    }
    if (stores) {
      StoreResult(call, (tile - 1) / kSplitTiles, kv_head, first_query, first_column, lane, part);
    } else if constexpr (folds) {
      state.Fold(part);
    }
  }
  WaitForCopies<0>();
  if (stores) return;
  if constexpr (folds) {
    StoreResult(call, kAllSplits, kv_head, first_query, first_column, lane, state);
  } else {
    StoreResult(call, kAllSplits, kv_head, first_query, first_column, lane, part);
  }
}

template <typename T, uint32_t head_dim, uint32_t warps, uint32_t parts, bool folds>
void LaunchAttend(const AttentionCall& call, uint32_t tasks, Stream stream) {
  constexpr size_t kSharedBytes = sizeof(KvStages<T, head_dim, warps * kWarp>) +
                                  warps / parts * QueryFragments<head_dim>::kSharedBytes;
  static_assert(kSharedBytes <= 99 * 1024, "what every device has");
  Launch(&AttendKernel<T, head_dim, warps, parts, folds>, dim3{tasks, call.cache.kv_heads},
         dim3{warps * kWarp}, kSharedBytes, stream, call);
}

// Calls launch with head_dim as a constant. REQUIRES: one of kAttentionHeadDims.
template <typename Launcher>
void ForHeadDim(uint32_t head_dim, Launcher launch) {
  if (head_dim == 32) return launch(std::integral_constant<uint32_t, 32>());
  if (head_dim == 64) return launch(std::integral_constant<uint32_t, 64>());
  if (head_dim == 80) return launch(std::integral_constant<uint32_t, 80>());
  if (head_dim == 96) return launch(std::integral_constant<uint32_t, 96>());
  if (head_dim == 128) return launch(std::integral_constant<uint32_t, 128>());
  launch(std::integral_constant<uint32_t, 256>());
}

void LaunchFewQueries(const AttentionCall& call, uint32_t tasks, Stream stream);
void LaunchManyQueries(const AttentionCall& call, uint32_t tasks, Stream stream);

}  // namespace infercept::cuda
