// Attention of at most 16 queries (one token of a group of heads, or several) over one split of
// positions by one warp: decode.
//
// Roofline, per position and KV head of width d with 16-bit numbers: 4 d bytes; a group of g heads
// takes 4 d g operations, in tiles of 16 queries 64 d: 16 per byte, where an H200 has 180. Bound by
// memory. Per split of 512 positions a query's state is written and read again: 8 d bytes, with
// g = 4 1.6 % of the keys and values.
// A tile of 32 positions (d = 128: 16 KB, 19 KB with padding) is under way while the one before it
// is computed, about 90 instructions of the tensor cores and 500 others: with 5 warps per
// multiprocessor 80 KB are, 23 KB cover a latency of 700 ns.
#include "kernels/cuda/attention_call.cuh"

namespace infercept::cuda {

void LaunchFewQueries(const AttentionCall& call, uint32_t tasks, Stream stream) {
  ForHeadDim(call.cache.head_dim, [&](auto head_dim) {
    if (call.cache.dtype == DType::kBF16) {
      return LaunchAttend<BF16, head_dim(), 1, 1, false>(call, tasks, stream);
    }
    if (call.cache.dtype != DType::kF16) {
      return LaunchAttend<KvCodes, head_dim(), 1, 1, false>(call, tasks, stream);
    }
    LaunchAttend<F16, head_dim(), 1, 1, false>(call, tasks, stream);
  });
}

}  // namespace infercept::cuda
