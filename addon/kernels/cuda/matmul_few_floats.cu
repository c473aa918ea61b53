#include "kernels/cuda/matmul_few_launch.cuh"

namespace infercept::cuda {

void LaunchFewFloats(DType dtype, const ProductCall& call, uint32_t row_tiles, Stream stream) {
  switch (dtype) {
    case DType::kBF16:
      return LaunchFew<FloatFew<BF16>>(call, row_tiles, stream);
    case DType::kF16:
      return LaunchFew<FloatFew<F16>>(call, row_tiles, stream);
    default:
      IC_CHECK(dtype == DType::kF32);
      return LaunchFew<FloatFew<float>>(call, row_tiles, stream);
  }
}

}  // namespace infercept::cuda
