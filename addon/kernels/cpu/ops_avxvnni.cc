// The kernels for AVX2 with AVX-VNNI: Intel's hybrid desktop cores since 2021, which have no
// AVX-512.
#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/levels.h"
#include "kernels/cpu/ops_table.h"
#include "kernels/cpu/target_region.h"
#include "kernels/half.h"

namespace infercept::cpu {

IC_TARGET_REGION("avx2,fma,f16c,avxvnni")
namespace avxvnni {

#include "kernels/cpu/simd_avxvnni.inc"

// 16 registers: 12 sums, 2 weights and 1 input; or 6 dot products, 6 sums, 2 codes, 1 input and a
// temporary.
inline constexpr PanelTokens kPanelTokens = {.plain = 6, .quantized = 3, .quantized_few = 3};

#include "kernels/cpu/body/kernels.inc"

}  // namespace avxvnni
IC_END_TARGET_REGION

const Kernels& AvxVnniKernels() {
  static constexpr Kernels kernels = avxvnni::KernelTable("avxvnni");
  return kernels;
}

}  // namespace infercept::cpu

#endif
