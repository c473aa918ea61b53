// Attention of up to 128 queries over all their positions by one block of 8 warps: prefill. A warp
// has 16 queries; heads of more than 128 values are cut in two parts, since the sums of a split and
// those of all splits before it are both in registers.
//
// Roofline, per pair of query and position, head width d: 4 d operations; keys and values (4 d
// bytes per position) are read once per 128 queries: 128 operations per byte of the second-level
// cache's, which has 5.5 TB/s on an H200. Bound by the tensor cores' way to shared memory: a tile
// of 32 positions is read once per warp, 512 bytes for two instructions of 4,096 operations each,
// so of a multiprocessor's 128 bytes per cycle 2,048 operations per cycle, half of what Hopper's
// tensor cores do and all of what those of 8.0 do.
#include "kernels/cuda/attention_call.cuh"

namespace infercept::cuda {
namespace {

constexpr uint32_t kWarps = 8;

template <typename T, uint32_t head_dim>
void LaunchMany(const AttentionCall& call, uint32_t tasks, Stream stream) {
  LaunchAttend<T, head_dim, kWarps, head_dim <= 128 ? 1 : 2, true>(call, tasks, stream);
}

}  // namespace

void LaunchManyQueries(const AttentionCall& call, uint32_t tasks, Stream stream) {
  IC_CHECK(ManyQueries(128) == kWarps * kWarpQueries);
  IC_CHECK(ManyQueries(256) == kWarps / 2 * kWarpQueries);
  ForHeadDim(call.cache.head_dim, [&](auto head_dim) {
    if (call.cache.dtype == DType::kBF16) return LaunchMany<BF16, head_dim()>(call, tasks, stream);
    if (call.cache.dtype != DType::kF16) {
      return LaunchMany<KvCodes, head_dim()>(call, tasks, stream);
    }
    LaunchMany<F16, head_dim()>(call, tasks, stream);
  });
}

}  // namespace infercept::cuda
