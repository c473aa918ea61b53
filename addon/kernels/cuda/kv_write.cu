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

// Of a token of a run and the KV head of the block.
struct TokenPlace {
  uint32_t slot;  // in its block
  size_t plane;   // bytes, behind the cache's keys and values
  size_t from;    // floats, behind the new ones

  __device__ __forceinline__ TokenPlace(const KvWrite& write, const KvRun& run, uint32_t token,
                                        size_t plane_bytes) {
    const AttentionSlice slice = write.slices[run.slice];
    const PagedKv& cache = write.cache;
    const uint32_t position = run.first_position + token;
    slot = position % cache.block_tokens;
    const size_t entry = size_t{position / cache.block_tokens} * cache.groups + cache.group;
    plane = Index(slice.block_table[entry]) * cache.block_stride + blockIdx.y * plane_bytes;
    const size_t row = size_t{slice.first_row} + (position - slice.first_position);
    from = row * write.stride + size_t{blockIdx.y} * cache.head_dim;
  }
};

// Threads of half a warp have neighbouring tokens, so that keys are written side by side.
template <typename T>
__global__ void __launch_bounds__(kThreads) WriteKernel(KvWrite write, size_t plane_bytes) {
  const KvRun run = write.runs[blockIdx.x];
  const uint32_t token = threadIdx.x % kRunTokens;
  if (token >= run.count) return;
  const PagedKv& cache = write.cache;
  const TokenPlace place(write, run, token, plane_bytes);
  T* keys = reinterpret_cast<T*>(cache.keys + place.plane) + place.slot;
  T* values =
      reinterpret_cast<T*>(cache.values + place.plane) + size_t{place.slot} * cache.head_dim;
  for (uint32_t d = threadIdx.x / kRunTokens * 4; d < cache.head_dim;
       d += kThreads / kRunTokens * 4) {
    const auto key = LoadVector<Vector<float, 4>>(write.key + place.from + d);
    const auto value = LoadVector<Vector<float, 4>>(write.value + place.from + d);
    Vector<T, 4> rounded;
#pragma unroll
    for (uint32_t i = 0; i < 4; ++i) {
      keys[size_t{d + i} * cache.block_tokens] = FromFloat<T>(key[i]);
      rounded[i] = FromFloat<T>(value[i]);
    }
    StoreVector(values + d, rounded);
  }
}

// 32 floats as codes and a scale, as the CPU's kernels do it: from the largest magnitude; codes are
// relative to the rounded scale.
__device__ __forceinline__ F16 Quantize(const float* from, uint8_t (&codes)[kQ8BlockValues]) {
  Vector<float, 4> values[kQ8BlockValues / 4];
  float largest = 0;
#pragma unroll
  for (uint32_t i = 0; i < kQ8BlockValues; ++i) {
    if (i % 4 == 0) values[i / 4] = LoadVector<Vector<float, 4>>(from + i);
    const float magnitude = fabsf(values[i / 4][i % 4]);
    largest = magnitude > largest ? magnitude : largest;
  }
  const F16 scale = FromFloat<F16>(largest / 127.0f);
  const float rounded = AsFloat(scale);
  const float inverse = rounded > 0 ? 1.0f / rounded : 0.0f;
#pragma unroll
  for (uint32_t i = 0; i < kQ8BlockValues; ++i) {
    const float code = rintf(__fmul_rn(values[i / 4][i % 4], inverse));
    codes[i] = static_cast<uint8_t>(static_cast<int>(fminf(fmaxf(code, -127.0f), 127.0f)));
  }
  return scale;
}

// A thread has a block of 32 values of a token's key, or of its value.
__global__ void __launch_bounds__(kThreads) WriteQ8Kernel(KvWrite write, size_t plane_bytes) {
  const KvRun run = write.runs[blockIdx.x];
  const uint32_t token = threadIdx.x % kRunTokens;
  if (token >= run.count) return;
  const PagedKv& cache = write.cache;
  const TokenPlace place(write, run, token, plane_bytes);
  const uint32_t blocks = cache.head_dim / kQ8BlockValues;
  for (uint32_t i = threadIdx.x / kRunTokens; i < 2 * blocks; i += kThreads / kRunTokens) {
    const bool is_key = i < blocks;
    const uint32_t block = is_key ? i : i - blocks;
    uint8_t codes[kQ8BlockValues];
    const F16 scale =
        Quantize((is_key ? write.key : write.value) + place.from + block * kQ8BlockValues, codes);
    // kernels/paged_kv.h; the distance from one code to the next
    std::byte* scale_to =
        cache.values + place.plane + (place.slot * blocks + block) * kQ8BlockBytes;
    std::byte* code_to = scale_to + sizeof(F16);
    uint32_t step = 1;
    if (is_key) {
      std::byte* group = cache.keys + place.plane + block * kQ8BlockBytes * cache.block_tokens;
      scale_to = group + place.slot * sizeof(F16);
      code_to = group + sizeof(F16) * cache.block_tokens + place.slot;
      step = cache.block_tokens;
    }
    *reinterpret_cast<F16*>(scale_to) = scale;
#pragma unroll
    for (uint32_t k = 0; k < kQ8BlockValues; ++k) {
      code_to[size_t{k} * step] = static_cast<std::byte>(codes[k]);
    }
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
  IC_CHECK(cache.head_dim % BlockValues(cache.dtype) == 0);
  IC_CHECK(write.stride >= size_t{cache.kv_heads} * cache.head_dim);
  IC_CHECK(cache.block_tokens > 0 && cache.block_tokens % kRunTokens == 0);
  IC_CHECK(cache.kv_heads > 0 && cache.kv_heads <= kGridRowsMax);
  const auto launch = [&](auto kernel) {
    Launch(kernel, dim3{write.run_count, cache.kv_heads}, dim3{kThreads}, 0, stream, write,
           KvPlaneBytes(cache));
  };
  if (cache.dtype == DType::kF16) return launch(&WriteKernel<F16>);
  if (cache.dtype == DType::kBF16) return launch(&WriteKernel<BF16>);
  if (cache.dtype == DType::kF8_E4M3) return launch(&WriteKernel<E4M3>);
  if (cache.dtype == DType::kQ8_0) return launch(&WriteQ8Kernel);
  IC_CHECK(cache.dtype == DType::kF32);
  launch(&WriteKernel<float>);
}

}  // namespace infercept::cuda
