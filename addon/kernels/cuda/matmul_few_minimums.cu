#include "kernels/cuda/matmul_few_launch.cuh"

namespace infercept::cuda {

void LaunchFewNibblesByMinimum(DType dtype, const ProductCall& call, uint32_t row_tiles,
                               Stream stream) {
  switch (dtype) {
    case DType::kQ4_1:
      return LaunchFewQuantized<DType::kQ4_1>(call, row_tiles, stream);
    case DType::kQ5_1:
      return LaunchFewQuantized<DType::kQ5_1>(call, row_tiles, stream);
    case DType::kQ2_K:
      return LaunchFewQuantized<DType::kQ2_K>(call, row_tiles, stream);
    case DType::kQ4_K:
      return LaunchFewQuantized<DType::kQ4_K>(call, row_tiles, stream);
    default:
      IC_CHECK(dtype == DType::kQ5_K);
      return LaunchFewQuantized<DType::kQ5_K>(call, row_tiles, stream);
  }
}

}  // namespace infercept::cuda
