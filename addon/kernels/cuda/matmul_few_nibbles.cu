#include "kernels/cuda/matmul_few_launch.cuh"

namespace infercept::cuda {

void LaunchFewNibbles(DType dtype, const ProductCall& call, uint32_t row_tiles, Stream stream) {
  switch (dtype) {
    case DType::kQ4_0:
      return LaunchFewQuantized<DType::kQ4_0>(call, row_tiles, stream);
    case DType::kQ5_0:
      return LaunchFewQuantized<DType::kQ5_0>(call, row_tiles, stream);
    case DType::kQ3_K:
      return LaunchFewQuantized<DType::kQ3_K>(call, row_tiles, stream);
    default:
      IC_CHECK(dtype == DType::kQ6_K);
      return LaunchFewQuantized<DType::kQ6_K>(call, row_tiles, stream);
  }
}

}  // namespace infercept::cuda
