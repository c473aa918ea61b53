// The kernels for AVX-512 with VNNI: Intel servers since 2019, AMD since Zen 4. Older AVX-512 takes
// the AVX2 kernels.
#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/ops_table.h"
#include "kernels/cpu/target_region.h"
#include "kernels/half.h"

#if !defined(__clang__)
// g++ 12 takes the deliberately undefined operands inside its own intrinsics for ours (GCC bug
// 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

namespace infercept::cpu {

IC_TARGET_REGION("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
namespace avx512 {

#include "kernels/cpu/simd_avx512.inc"

// 32 registers, and inputs are broadcast by the multiplying instruction itself: floats keep 24 sums
// and 4 weights; int8 keeps 12 dots, 12 sums and 4 weights.
inline constexpr uint32_t kFloatGroups = 4;
inline constexpr uint32_t kFloatTokens = 6;
inline constexpr uint32_t kQ8Groups = 4;
inline constexpr uint32_t kQ8Tokens = 3;

#include "kernels/cpu/body/kernels.inc"

}  // namespace avx512
IC_END_TARGET_REGION

const Kernels& Avx512Kernels() {
  static constexpr Kernels kernels = avx512::KernelTable("avx512");
  return kernels;
}

}  // namespace infercept::cpu

#endif
