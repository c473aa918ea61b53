// Keys and values of new tokens into the paged cache, one block per run of up to 16 positions and
// KV head.
//
// Roofline, per token and KV head of width d with 16-bit numbers: 8 d bytes read, 4 d written, no
// operations: bound by memory, in a decode step by latency. Keys lie with positions side by side
// (kernels/paged_kv.h): a single token writes 2 bytes in each of d rows, 32 bytes of the
// second-level cache for each; 16 tokens fill them.
#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/device/numbers.cuh"
#include "kernels/cuda/device/vector.cuh"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/shapes.h"
#include "kernels/paged_kv.h"

namespace infercept::cuda {
namespace {

constexpr uint32_t kThreads = 256;
constexpr uint32_t kRunTokens = 16;

// Threads of half a warp have neighbouring tokens, so that keys are written side by side.
template <typename T>
__global__ void __launch_bounds__(kThreads) WriteKernel(KvWrite write, size_t plane_bytes) {
  const KvRun run = write.runs[blockIdx.x];
  const uint32_t token = threadIdx.x % kRunTokens;
  if (token >= run.count) return;
  const AttentionSlice slice = write.slices[run.slice];
  const PagedKv& cache = write.cache;
  const uint32_t position = run.first_position + token;
  const uint32_t slot = position % cache.block_tokens;
  const size_t plane =
      Index(slice.block_table[position / cache.block_tokens]) * cache.block_stride +
      blockIdx.y * plane_bytes;
  const size_t row = size_t{slice.first_row} + (position - slice.first_position);
  const size_t from = row * write.stride + size_t{blockIdx.y} * cache.head_dim;
  T* keys = reinterpret_cast<T*>(cache.keys + plane) + slot;
  T* values = reinterpret_cast<T*>(cache.values + plane) + size_t{slot} * cache.head_dim;
  for (uint32_t d = threadIdx.x / kRunTokens * 4; d < cache.head_dim;
       d += kThreads / kRunTokens * 4) {
    const auto key = LoadVector<Vector<float, 4>>(write.key + from + d);
    const auto value = LoadVector<Vector<float, 4>>(write.value + from + d);
    Vector<T, 4> rounded;
#pragma unroll
    for (uint32_t i = 0; i < 4; ++i) {
      keys[size_t{d + i} * cache.block_tokens] = FromFloat<T>(key[i]);
      rounded[i] = FromFloat<T>(value[i]);
    }
    StoreVector(values + d, rounded);
  }
}

}  // namespace

void WriteKv(const KvWrite& write, Stream stream) {
  if (write.run_count == 0) return;
  const PagedKv& cache = write.cache;
  IC_CHECK(write.key != nullptr && write.value != nullptr);
  IC_CHECK(write.slices != nullptr && write.runs != nullptr);
  IC_CHECK(cache.keys != nullptr && cache.values != nullptr && cache.block_stride % 16 == 0);
  IC_CHECK(AllAligned(write.key, write.value, cache.keys, cache.values));
  IC_CHECK(cache.head_dim > 0 && cache.head_dim % 4 == 0 && write.stride % 4 == 0);
  IC_CHECK(write.stride >= size_t{cache.kv_heads} * cache.head_dim);
  IC_CHECK(cache.block_tokens > 0 && cache.block_tokens % kRunTokens == 0);
  IC_CHECK(cache.kv_heads > 0 && cache.kv_heads <= kGridRowsMax);
  const auto launch = [&](auto kernel) {
    Launch(kernel, dim3{write.run_count, cache.kv_heads}, dim3{kThreads}, 0, stream, write,
           KvPlaneBytes(cache));
  };
  if (cache.dtype == DType::kF16) return launch(&WriteKernel<F16>);
  if (cache.dtype == DType::kBF16) return launch(&WriteKernel<BF16>);
  IC_CHECK(cache.dtype == DType::kF32);
  launch(&WriteKernel<float>);
}

}  // namespace infercept::cuda
