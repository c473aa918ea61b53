// The kernels for AVX2, FMA and F16C: Intel since 2013, AMD since 2015.
#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/levels.h"
#include "kernels/cpu/ops_table.h"
#include "kernels/cpu/target_region.h"
#include "kernels/half.h"

namespace infercept::cpu {

IC_TARGET_REGION("avx2,fma,f16c")
namespace avx2 {

#include "kernels/cpu/simd_avx2.inc"

// 16 registers: 12 sums, 2 weights and 1 input; or 4 dot products, 4 sums, 2 codes, the absolute
// values of two, 1 input, the ones and a temporary.
inline constexpr PanelTokens kPanelTokens = {.plain = 6, .quantized = 2, .quantized_few = 2};

#include "kernels/cpu/body/kernels.inc"

}  // namespace avx2
IC_END_TARGET_REGION

const Kernels& Avx2Kernels() {
  static constexpr Kernels kernels = avx2::KernelTable("avx2");
  return kernels;
}

}  // namespace infercept::cpu

#endif
