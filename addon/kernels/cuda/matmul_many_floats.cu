#include "kernels/cuda/matmul_many_launch.cuh"

namespace infercept::cuda {

void LaunchManyFloats(DType dtype, const ManyCall& call, Stream stream) {
  if (dtype == DType::kBF16) return LaunchMany<FloatMany<BF16>>(call, stream);
  IC_CHECK(dtype == DType::kF16);
  LaunchMany<FloatMany<F16>>(call, stream);
}

}  // namespace infercept::cuda
