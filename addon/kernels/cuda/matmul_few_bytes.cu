#include "kernels/cuda/matmul_few_launch.cuh"

namespace infercept::cuda {

void LaunchFewBytes(DType dtype, const ProductCall& call, uint32_t row_tiles, Stream stream) {
  switch (dtype) {
    case DType::kQ8_0:
    case DType::kIQ4_NL:
      return LaunchFewQuantized<DType::kQ8_0>(call, row_tiles, stream);
    case DType::kMXFP4:
      return LaunchFewQuantized<DType::kMXFP4>(call, row_tiles, stream);
    default:
      IC_CHECK(dtype == DType::kIQ4_XS);
      return LaunchFewQuantized<DType::kIQ4_XS>(call, row_tiles, stream);
  }
}

}  // namespace infercept::cuda
