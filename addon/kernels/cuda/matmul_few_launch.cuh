// How the files matmul_few_*.cu share their dtypes: each compiles some, so that they compile side
// by side.
#pragma once

#include "kernels/cuda/device/matmul_few.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/shapes.h"

namespace infercept::cuda {

// More tokens than this go in several groups, and weights are loaded for each.
inline constexpr uint32_t kFewTokenTilesMax = 4;

// Any of them.
void LaunchFewDType(DType dtype, const ProductCall& call, uint32_t row_tiles, Stream stream);
void LaunchFewFloats(DType dtype, const ProductCall& call, uint32_t row_tiles, Stream stream);
void LaunchFewNibbles(DType dtype, const ProductCall& call, uint32_t row_tiles, Stream stream);
void LaunchFewNibblesByMinimum(DType dtype, const ProductCall& call, uint32_t row_tiles,
                               Stream stream);
void LaunchFewBytes(DType dtype, const ProductCall& call, uint32_t row_tiles, Stream stream);

template <typename Weights>
void LaunchFew(const ProductCall& call, uint32_t row_tiles, Stream stream) {
  const uint32_t token_tiles = DivCeil(call.tile_tokens, 8u);
  const auto launch = [&](auto kernel, uint32_t tiles) {
    const uint32_t groups = DivCeil(token_tiles, tiles) * call.tile_count;
    IC_CHECK(groups <= kGridRowsMax);
    Launch(kernel, dim3{row_tiles, groups}, dim3{kFewThreads}, 0, stream, call);
  };
  if (token_tiles == 1) return launch(&FewKernel<Weights, 1>, 1);
  if (token_tiles == 2) return launch(&FewKernel<Weights, 2>, 2);
  launch(&FewKernel<Weights, kFewTokenTilesMax>, kFewTokenTilesMax);
}

template <DType dtype>
void LaunchFewQuantized(const ProductCall& call, uint32_t row_tiles, Stream stream) {
  constexpr QuantizedLayout kLayout = LayoutOf(dtype);
  LaunchFew<QuantizedFew<kLayout.low_bits, kLayout.high_bits, kLayout.scales, kLayout.zero>>(
      call, row_tiles, stream);
}

}  // namespace infercept::cuda
