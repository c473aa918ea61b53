#include "kernels/cuda/matmul_many_launch.cuh"

namespace infercept::cuda {

void LaunchManyNibblesByMinimum(DType dtype, const ManyCall& call, Stream stream) {
  switch (dtype) {
    case DType::kQ4_1:
      return LaunchManyQuantized<DType::kQ4_1>(call, stream);
    case DType::kQ5_1:
      return LaunchManyQuantized<DType::kQ5_1>(call, stream);
    case DType::kQ2_K:
      return LaunchManyQuantized<DType::kQ2_K>(call, stream);
    case DType::kQ4_K:
      return LaunchManyQuantized<DType::kQ4_K>(call, stream);
    default:
      IC_CHECK(dtype == DType::kQ5_K);
      return LaunchManyQuantized<DType::kQ5_K>(call, stream);
  }
}

}  // namespace infercept::cuda
