// Packed matrices of random weights, for benchmarks: 40 GB of them are there before the host has
// made one. Any bits are codes; the scales of a chunk are those of a random one that the host
// packed, the same in every chunk, because speed does not depend on them.
//
// Roofline: b / 8 bytes written per weight of b bits, 100 operations on integers per 16 bytes, so
// about 10 per byte where an H200 has 15: bound by memory, nearly.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/rng.h"
#include "kernels/cuda/device/numbers.cuh"
#include "kernels/cuda/device/philox.cuh"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/shapes.h"
#include "kernels/cuda/weight_layout.h"
#include "kernels/cuda/weight_pack.h"
#include "kernels/random_blocks.h"

namespace infercept::cuda {
namespace {

constexpr uint32_t kThreads = 256;
// Enough for every device to be full; each thread goes on with the next vectors.
constexpr uint64_t kBlocksMax = 4096;
constexpr uint32_t kVectorBytes = 16;
constexpr uint32_t kScaleVectorsMax = ScaleBytes(Scales::kByte16Minimum) / kVectorBytes;

struct ChunkPattern {
  uint32_t code_vectors = 0;
  uint32_t scale_vectors = 0;
  uint32_t code_mask = 0;  // of each word: codes of 2 and 3 bits take 4
  Words scales[kScaleVectorsMax];
};

__global__ void __launch_bounds__(kThreads)
    FillChunksKernel(std::byte* target, uint64_t vectors, ChunkPattern pattern, uint64_t seed) {
  const uint32_t chunk_vectors = pattern.code_vectors + pattern.scale_vectors;
  for (uint64_t i = uint64_t{blockIdx.x} * kThreads + threadIdx.x; i < vectors;
       i += uint64_t{gridDim.x} * kThreads) {
    const auto at = static_cast<uint32_t>(i % chunk_vectors);
    Words words;
    if (at < pattern.code_vectors) {
      words = Philox(i, seed);
#pragma unroll
      for (int j = 0; j < 4; ++j) words[j] &= pattern.code_mask;
    } else {
      words = pattern.scales[at - pattern.code_vectors];
    }
    StoreVector(target + i * kVectorBytes, words);
  }
}

// Uniform values of 16 random bits each.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    FillFloatsKernel(T* target, uint64_t values, float spread, uint64_t seed) {
  constexpr uint32_t kValues = kVectorBytes / sizeof(T);
  for (uint64_t i = uint64_t{blockIdx.x} * kThreads + threadIdx.x; i < values / kValues;
       i += uint64_t{gridDim.x} * kThreads) {
    const Words words = Philox(i, seed);
    Vector<T, kValues> out;
#pragma unroll
    for (uint32_t j = 0; j < kValues; ++j) {
      const uint32_t bits = words[j / 2] >> (j % 2 * 16) & 0xFFFFu;
      out[j] = FromFloat<T>(spread * (static_cast<float>(bits) * 0x1p-15f - 1.0f));
    }
    StoreVector(target + i * kValues, out);
  }
}

dim3 Grid(uint64_t vectors) {
  return dim3{static_cast<uint32_t>(std::min(DivCeil(vectors, uint64_t{kThreads}), kBlocksMax))};
}

template <typename T>
void LaunchFloats(const RandomMatrix& matrix, Stream stream) {
  const uint64_t values = uint64_t{matrix.rows} * matrix.columns;
  const float spread = std::sqrt(3.0f) * matrix.deviation;  // of uniform values
  Launch(&FillFloatsKernel<T>, Grid(values * sizeof(T) / kVectorBytes), dim3{kThreads}, 0, stream,
         reinterpret_cast<T*>(matrix.data), values, spread, matrix.seed);
}

uint32_t CodeMask(DType dtype) {
  if (dtype == DType::kQ2_K) return 0x33333333;
  if (dtype == DType::kQ3_K) return 0x77777777;
  return UINT32_MAX;
}

// The scales of one random chunk.
ChunkPattern MakePattern(const RandomMatrix& matrix) {
  const QuantizedLayout layout = LayoutOf(matrix.dtype);
  const uint32_t code_bytes = (layout.low_words() + layout.high_words()) * 32 * 4;
  std::vector<std::byte> blocks(kTileRows * RowBytes(matrix.dtype, kChunkColumns));
  Rng random(matrix.seed);
  FillRandomBlocks(matrix.dtype, matrix.deviation, random, blocks);
  std::vector<std::byte> packed(PackedBytes(matrix.dtype, kTileRows, kChunkColumns));
  Pack({matrix.dtype, blocks.data(), kTileRows, kChunkColumns}, packed);
  ChunkPattern pattern = {.code_vectors = code_bytes / kVectorBytes,
                          .scale_vectors = ScaleBytes(layout.scales) / kVectorBytes,
                          .code_mask = CodeMask(matrix.dtype),
                          .scales = {}};
  std::memcpy(pattern.scales, packed.data() + code_bytes, ScaleBytes(layout.scales));
  return pattern;
}

void LaunchChunks(const RandomMatrix& matrix, Stream stream) {
  const uint64_t vectors = PackedBytes(matrix.dtype, matrix.rows, matrix.columns) / kVectorBytes;
  Launch(&FillChunksKernel, Grid(vectors), dim3{kThreads}, 0, stream, matrix.data, vectors,
         MakePattern(matrix), matrix.seed);
}

}  // namespace

bool CanFillRandom(const RandomMatrix& matrix) {
  if (!IsQuantized(matrix.dtype)) return matrix.columns % kUnitColumns == 0;
  const bool looked_up = matrix.dtype == DType::kIQ4_NL || matrix.dtype == DType::kIQ4_XS ||
                         matrix.dtype == DType::kMXFP4;
  return !looked_up && matrix.rows % kTileRows == 0 && matrix.columns % kChunkColumns == 0;
}

void FillRandom(const RandomMatrix& matrix, Stream stream) {
  IC_CHECK(matrix.data != nullptr && AllAligned(matrix.data) && CanFillRandom(matrix));
  IC_CHECK(matrix.rows > 0 && matrix.columns > 0);
  switch (matrix.dtype) {
    case DType::kF32:
      return LaunchFloats<float>(matrix, stream);
    case DType::kF16:
      return LaunchFloats<F16>(matrix, stream);
    case DType::kBF16:
      return LaunchFloats<BF16>(matrix, stream);
    default:
      return LaunchChunks(matrix, stream);
  }
}

}  // namespace infercept::cuda
