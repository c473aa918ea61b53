// Attention over the paged cache: what launches it, and the fold of states that decode leaves.
//
// Roofline of the fold, per query of width d and split: 4 d + 8 bytes, 3 d operations: bound by
// memory, in fact by latency; so 8 states are loaded before the first is used.
#include <algorithm>

#include "kernels/cuda/attention_call.cuh"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/shapes.h"
#include "kernels/paged_kv.h"

namespace infercept::cuda {
namespace {

constexpr uint32_t kAhead = 8;
constexpr uint32_t kMergeColumns = 4;  // of a thread
constexpr uint32_t kMergeThreadsMax = 64;

// One block per token and head, one thread per 4 columns.
__global__ void __launch_bounds__(kMergeThreadsMax)
    MergeKernel(const __grid_constant__ AttentionCall call, const AttentionMerge* merges) {
  const AttentionMerge merge = merges[blockIdx.x];
  const uint32_t column = threadIdx.x * kMergeColumns;
  if (merge.first_state == kNoState || column >= call.cache.head_dim) return;
  const AttentionSlice slice = call.slices[merge.slice];
  const uint32_t head = blockIdx.y;
  const uint32_t group = call.group_heads;
  const uint32_t query = merge.row * group + head % group;
  const uint32_t position = slice.first_position + merge.row;
  const uint32_t end = position / kSplitTokens + 1;
  Vector<float, kMergeColumns> sums = {};
  float largest = kNoScore;
  float total = 0;
  for (uint32_t split = call.FirstSeen(position) / kSplitTokens; split < end; split += kAhead) {
    Vector<float, kMergeColumns> values[kAhead];
    Vector<float, 2> softmax[kAhead];
#pragma unroll
    for (uint32_t i = 0; i < kAhead; ++i) {
      if (split + i >= end) continue;
      const size_t row =
          call.StateRow(merge.first_state, split + i, slice.rows * group, query, head / group);
      values[i] = LoadVector<Vector<float, kMergeColumns>>(call.state_values +
                                                           row * call.cache.head_dim + column);
      softmax[i] = LoadVector<Vector<float, 2>>(call.state_softmax + row * 2);
    }
#pragma unroll
    for (uint32_t i = 0; i < kAhead; ++i) {
      if (split + i >= end) continue;
      const FoldFactors factors(largest, softmax[i][0]);
      largest = factors.largest;
      total = factors.Fold(total, softmax[i][1]);
#pragma unroll
      for (uint32_t k = 0; k < kMergeColumns; ++k) sums[k] = factors.Fold(sums[k], values[i][k]);
    }
  }
  const float factor = OutputFactor(largest, total, call.Sink(head));
  const size_t to = (size_t{slice.first_row} + merge.row) * call.out_stride +
                    size_t{head} * call.cache.head_dim + column;
#pragma unroll
  for (uint32_t k = 0; k < kMergeColumns; k += 2) {
    call.StoreOut(to + k, __fmul_rn(sums[k], factor), __fmul_rn(sums[k + 1], factor));
  }
}

ScoreRule RuleOf(const PagedAttention& attention) {
  if (attention.soft_cap == 0) return {attention.scale * kLog2E, 0};
  return {attention.scale * kLog2E * 2 / attention.soft_cap, attention.soft_cap * kLog2E};
}

void Check(const PagedAttention& attention) {
  const PagedKv& cache = attention.cache;
  IC_CHECK(AttentionHas(cache.dtype) && cache.head_dim % BlockValues(cache.dtype) == 0);
  IC_CHECK(std::ranges::find(kAttentionHeadDims, cache.head_dim) != std::end(kAttentionHeadDims));
  IC_CHECK(cache.block_tokens > 0 && cache.block_tokens % kRunTokens == 0);
  IC_CHECK(cache.kv_heads > 0 && cache.kv_heads <= kGridRowsMax);
  IC_CHECK(attention.heads > 0 && attention.heads % cache.kv_heads == 0);
  IC_CHECK(attention.heads <= kGridRowsMax);
  IC_CHECK(cache.keys != nullptr && cache.values != nullptr && cache.block_stride % 16 == 0);
  IC_CHECK(attention.query != nullptr && attention.out != nullptr && attention.slices != nullptr);
  IC_CHECK(AllAligned(cache.keys, cache.values, attention.query, attention.out, attention.states));
  const size_t width = size_t{attention.heads} * cache.head_dim;
  IC_CHECK(attention.query_stride >= width && attention.query_stride % 4 == 0);
  IC_CHECK(attention.out_stride >= width && attention.out_stride % 4 == 0);
  IC_CHECK(attention.out_dtype == DType::kF32 || attention.out_dtype == DType::kBF16);
  IC_CHECK(attention.few_tasks == 0 || attention.few != nullptr);
  IC_CHECK(attention.many_tasks == 0 || attention.many != nullptr);
  IC_CHECK(attention.merge_count == 0 ||
           (attention.merges != nullptr && attention.states != nullptr));
}

}  // namespace

void Attend(const PagedAttention& attention, Stream stream) {
  if (attention.few_tasks == 0 && attention.many_tasks == 0) return;
  Check(attention);
  const PagedKv& cache = attention.cache;
  AttentionCall call = {};
  call.query = attention.query;
  call.query_stride = attention.query_stride;
  call.slices = attention.slices;
  call.merges = attention.merges;
  call.cache = cache;
  call.plane_bytes = KvPlaneBytes(cache);
  call.group_heads = attention.heads / cache.kv_heads;
  call.window_tokens = attention.window_tokens;
  call.rule = RuleOf(attention);
  call.sinks = attention.sinks;
  call.out = attention.out;
  call.out_stride = attention.out_stride;
  call.out_is_bf16 = attention.out_dtype == DType::kBF16;
  call.state_values = attention.states;
  call.state_softmax =
      attention.states + size_t{attention.state_rows} * cache.kv_heads * cache.head_dim;
  call.state_rows = attention.state_rows;
  if (attention.few_tasks > 0) {
    call.tasks = attention.few;
    LaunchFewQueries(call, attention.few_tasks, stream);
  }
  if (attention.many_tasks > 0) {
    call.tasks = attention.many;
    LaunchManyQueries(call, attention.many_tasks, stream);
  }
  if (attention.merge_count > 0) {
    Launch(&MergeKernel, dim3{attention.merge_count, attention.heads},
           dim3{DivCeil(cache.head_dim / kMergeColumns, kWarp) * kWarp}, 0, stream, call,
           attention.merges);
  }
}

}  // namespace infercept::cuda
