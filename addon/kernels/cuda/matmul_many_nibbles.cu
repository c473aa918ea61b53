#include "kernels/cuda/matmul_many_launch.cuh"

namespace infercept::cuda {

void LaunchManyNibbles(DType dtype, const ManyCall& call, Stream stream) {
  switch (dtype) {
    case DType::kQ4_0:
      return LaunchManyQuantized<DType::kQ4_0>(call, stream);
    case DType::kQ5_0:
      return LaunchManyQuantized<DType::kQ5_0>(call, stream);
    case DType::kQ3_K:
      return LaunchManyQuantized<DType::kQ3_K>(call, stream);
    default:
      IC_CHECK(dtype == DType::kQ6_K);
      return LaunchManyQuantized<DType::kQ6_K>(call, stream);
  }
}

}  // namespace infercept::cuda
