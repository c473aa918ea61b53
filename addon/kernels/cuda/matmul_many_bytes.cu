#include "kernels/cuda/matmul_many_launch.cuh"

namespace infercept::cuda {

void LaunchManyBytes(DType dtype, const ManyCall& call, Stream stream) {
  switch (dtype) {
    case DType::kQ8_0:
    case DType::kIQ4_NL:
      return LaunchManyQuantized<DType::kQ8_0>(call, stream);
    case DType::kMXFP4:
      return LaunchManyQuantized<DType::kMXFP4>(call, stream);
    default:
      IC_CHECK(dtype == DType::kIQ4_XS);
      return LaunchManyQuantized<DType::kIQ4_XS>(call, stream);
  }
}

}  // namespace infercept::cuda
