// How the files matmul_many_*.cu share their dtypes: each compiles some, so that they compile side
// by side.
#pragma once

#include "kernels/cuda/device/matmul_many.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/shapes.h"

namespace infercept::cuda {

// Token tiles of a warp. Up to 64 tokens a block with half of them computes half as much for tokens
// that are not there, and has shared memory for more copies under way.
inline constexpr uint32_t kWideTiles = 8;
inline constexpr uint32_t kNarrowTiles = 4;
constexpr uint32_t ManyTokens(uint32_t tiles) { return kTokenWarps * tiles * 8; }
constexpr uint32_t ManyTiles(uint32_t tokens) {
  return tokens <= ManyTokens(kNarrowTiles) ? kNarrowTiles : kWideTiles;
}

// Any of them but F32.
void LaunchManyDType(DType dtype, const ManyCall& call, Stream stream);
void LaunchManyFloats(DType dtype, const ManyCall& call, Stream stream);
void LaunchManyNibbles(DType dtype, const ManyCall& call, Stream stream);
void LaunchManyNibblesByMinimum(DType dtype, const ManyCall& call, Stream stream);
void LaunchManyBytes(DType dtype, const ManyCall& call, Stream stream);

template <typename Weights, uint32_t tiles>
void LaunchManyTiles(const ManyCall& call, Stream stream) {
  const uint32_t token_blocks =
      DivCeil(call.call.tile_tokens, ManyTokens(tiles)) * call.call.tile_count;
  const uint32_t parts = call.parts == nullptr ? 1 : kColumnParts;
  Launch(&ManyKernel<Weights, tiles>, dim3{token_blocks, call.row_blocks, parts},
         dim3{kManyThreads}, ManyShared<Weights, tiles>::kBytes, stream, call);
}

template <typename Weights>
void LaunchMany(const ManyCall& call, Stream stream) {
  if (ManyTiles(call.call.tile_tokens) == kNarrowTiles) {
    return LaunchManyTiles<Weights, kNarrowTiles>(call, stream);
  }
  LaunchManyTiles<Weights, kWideTiles>(call, stream);
}

template <DType dtype>
void LaunchManyQuantized(const ManyCall& call, Stream stream) {
  constexpr QuantizedLayout kLayout = LayoutOf(dtype);
  LaunchMany<QuantizedMany<kLayout.low_bits, kLayout.high_bits, kLayout.scales, kLayout.zero>>(
      call, stream);
}

}  // namespace infercept::cuda
