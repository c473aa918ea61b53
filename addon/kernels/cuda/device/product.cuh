// What MatMulFew and MatMulMany (kernels.h) share, so that both give the same bits: in which order
// columns are added up, and with which roundings.
//
// Columns go in chunks of Weights::kColumns; chunk i belongs to part i % kColumnParts. Each part is
// added up in the order of columns, and the parts in theirs. Where the compiler could make one
// rounding of two, intrinsics say which are meant.
#pragma once

#include "kernels/cuda/device/mma.cuh"
#include "kernels/cuda/device/numbers.cuh"
#include "kernels/cuda/device/vector.cuh"
#include "kernels/cuda/expert_tiles.h"
#include "kernels/cuda/weight_layout.h"

namespace infercept::cuda {

inline constexpr uint32_t kColumnParts = 4;  // the warps of MatMulFew
inline constexpr uint32_t kProductsMax = 4;  // of a call: queries, keys and values are three

struct ProductPlace {
  const std::byte* weights;  // with experts, of the first one
  size_t expert_bytes;       // to the next one's
  const float* bias;         // of the first expert, or null
  size_t bias_stride;        // floats to the next one's
  float* out;
  size_t out_stride;  // floats
  uint32_t rows;
  uint32_t first_block;  // of the grid's blocks of rows
};

struct ProductCall {
  ProductPlace products[kProductsMax];
  uint32_t count;
  uint32_t columns;
  const BF16* x;    // [tokens] rows, x_stride values apart
  size_t x_stride;  // >= PaddedColumns(columns), in values
  uint32_t tokens;
  // [tile_count] Null: all tokens are multiplied with the same weights, and are one tile.
  const ExpertTile* tiles;
  uint32_t tile_tokens;
  uint32_t tile_count;
};

__device__ __forceinline__ const ProductPlace& FindProduct(const ProductCall& call,
                                                           uint32_t block) {
  uint32_t i = 0;
  while (i + 1 < call.count && call.products[i + 1].first_block <= block) ++i;
  return call.products[i];
}

// The tokens of a block of the grid that takes up to `count`, and whose weights they are multiplied
// with. With experts a block may have none; tiles are as long as a block, or several.
__device__ __forceinline__ ExpertTile TokensOf(const ProductCall& call, uint32_t block,
                                               uint32_t count) {
  if (call.tiles == nullptr) return {0, block * count, call.tokens};
  const uint32_t blocks = call.tile_tokens / count;
  ExpertTile tile = call.tiles[block / blocks];
  tile.first += block % blocks * count;
  return tile;
}

__device__ __forceinline__ const std::byte* WeightsOf(const ProductPlace& product,
                                                      uint32_t expert) {
  return product.weights + expert * product.expert_bytes;
}
__device__ __forceinline__ float BiasOf(const ProductPlace& product, uint32_t expert,
                                        uint32_t row) {
  return product.bias[expert * product.bias_stride + row];
}

// Columns of a chunk of floats: MatMulFew has both rows of a lane in registers, 8 (float: 16) for
// each 32 columns. Floats are split into three terms, which takes registers besides.
template <typename T>
inline constexpr uint32_t kFloatColumns = (sizeof(T) == 2 ? 4 : 1) * kUnitColumns;

// A BF16 is one term, an F16 is the sum of two BF16, a float of three.
template <typename T>
inline constexpr uint32_t kTerms = std::is_same_v<T, BF16>  ? 1
                                   : std::is_same_v<T, F16> ? 2
                                                            : 3;

// The terms of the `pair`th two neighbouring values of 8, as word `place` of fragments of A.
template <typename T>
__device__ __forceinline__ void SplitPair(const Words (&words)[sizeof(T) / 2], uint32_t pair,
                                          uint32_t place, uint32_t (&a)[kTerms<T>][4]) {
  if constexpr (std::is_same_v<T, BF16>) {
    a[0][place] = words[0][pair];
  } else {
    float first;
    float second;
    if constexpr (std::is_same_v<T, F16>) {
      const uint32_t bits = words[0][pair];
      first = AsFloat(static_cast<F16>(static_cast<uint16_t>(bits)));
      second = AsFloat(static_cast<F16>(static_cast<uint16_t>(bits >> 16)));
    } else {
      first = __uint_as_float(words[pair / 2][pair % 2 * 2]);
      second = __uint_as_float(words[pair / 2][pair % 2 * 2 + 1]);
    }
#pragma unroll
    for (uint32_t term = 0; term < kTerms<T>; ++term) {
      a[term][place] = PackPair(first, second);
      first -= FirstOf(a[term][place]);
      second -= SecondOf(a[term][place]);
    }
  }
}

// Sums are laid out as C (mma.cuh): rows g and g + 8 of the weights, tokens 2t and 2t + 1.

// Adds up the inputs that a run of columns has: its minimum counts them. All rows are the same.
__device__ __forceinline__ void AddInputs(float (&input_sums)[4], const uint32_t (&b)[2]) {
  constexpr uint32_t kOnes = 0x3F803F80u;  // two BF16
  const uint32_t ones[4] = {kOnes, kOnes, kOnes, kOnes};
  MultiplyAdd(input_sums, ones, b);
}

// The products of codes are exact; a run's scale comes in once. Of row g, or g + 8 (`half`).
__device__ __forceinline__ void AddScaled(float (&sums)[4], const float (&parts)[4], uint32_t half,
                                          float scale) {
#pragma unroll
  for (uint32_t j = 2 * half; j < 2 * half + 2; ++j) {
    sums[j] = __fmaf_rn(scale, parts[j], sums[j]);
  }
}

// Input sums may be those of one row, all are the same.
template <uint32_t count>
__device__ __forceinline__ void SubtractMinimum(float (&sums)[4], const float (&input_sums)[count],
                                                uint32_t half, float minimum) {
#pragma unroll
  for (uint32_t j = 2 * half; j < 2 * half + 2; ++j) {
    sums[j] = __fmaf_rn(-minimum, input_sums[j % count], sums[j]);
  }
}

}  // namespace infercept::cuda
