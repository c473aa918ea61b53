// Whole blocks of the KV cache from one arena to another: gather, scatter, and copy within.
//
// Roofline: each byte is read once and written once. Over the link to the host the link bounds:
// PCIe 5 has 64 GB/s, which at a latency of 1 us are 64 KB under way, or 4 blocks of 256 threads
// with 64 bytes each. Within the device its memory bounds. Whoever copies beside a step says how
// many blocks of threads it may take from it.
#include "kernels/cuda/device/vector.cuh"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/shapes.h"

namespace infercept::cuda {
namespace {

constexpr uint32_t kThreads = 256;
constexpr uint32_t kUnderWay = 4;  // vectors of 16 bytes per thread
constexpr uint32_t kPieceVectors = kThreads * kUnderWay;

// The pieces of all copies go round the blocks of threads.
__global__ void __launch_bounds__(kThreads)
    CopyBlocksKernel(KvCopies copies, uint64_t pieces, uint32_t pieces_per_block) {
  const size_t vectors = copies.block_bytes / 16;
  for (uint64_t piece = blockIdx.x; piece < pieces; piece += gridDim.x) {
    const BlockCopy copy = copies.copies[piece / pieces_per_block];
    const std::byte* source = copies.source + Index(copy.source) * copies.block_bytes;
    std::byte* target = copies.target + Index(copy.target) * copies.block_bytes;
    const size_t first = piece % pieces_per_block * kPieceVectors + threadIdx.x;
    Words words[kUnderWay];
#pragma unroll
    for (uint32_t i = 0; i < kUnderWay; ++i) {
      const size_t vector = first + i * kThreads;
      if (vector < vectors) words[i] = LoadStreaming(source + vector * 16);
    }
#pragma unroll
    for (uint32_t i = 0; i < kUnderWay; ++i) {
      const size_t vector = first + i * kThreads;
      if (vector < vectors) StoreVector(target + vector * 16, words[i]);
    }
  }
}

}  // namespace

void CopyBlocks(const KvCopies& copies, uint32_t count, uint32_t thread_blocks, Stream stream) {
  if (count == 0 || copies.block_bytes == 0) return;
  IC_CHECK(copies.copies != nullptr && copies.source != nullptr && copies.target != nullptr);
  IC_CHECK(AllAligned(copies.source, copies.target) && copies.block_bytes % 16 == 0);
  IC_CHECK(thread_blocks > 0);
  const size_t per_block = DivCeil(copies.block_bytes / 16, size_t{kPieceVectors});
  IC_CHECK(per_block <= UINT32_MAX);
  const uint64_t pieces = uint64_t{count} * per_block;
  const auto blocks = static_cast<uint32_t>(std::min<uint64_t>(thread_blocks, pieces));
  Launch(&CopyBlocksKernel, dim3{blocks}, dim3{kThreads}, 0, stream, copies, pieces,
         static_cast<uint32_t>(per_block));
}

}  // namespace infercept::cuda
