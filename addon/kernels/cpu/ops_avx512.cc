// The kernels for AVX-512 with VNNI: Intel servers since 2019, AMD since Zen 4. Older AVX-512 takes
// the AVX2 kernels.
#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/levels.h"
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

// 32 registers: 24 sums, 2 weights and 1 input; or 12 dot products, 12 sums, 2 codes, 1 input and
// what finishing a block needs.
// Measured on Zen 5 in the cache, Q8_0: 2 groups by 6 tokens reach 79 % of the limit of vpdpbusd (8
// of 10 multiplications of a block are dot products, the others scale), 4 by 3 69 %, 2 by 8 72 %, 2
// by 12 55 %: there the dot products leave no register for the sums.
inline constexpr PanelTokens kPanelTokens = {.plain = 12, .quantized = 6, .quantized_few = 8};

#include "kernels/cpu/body/kernels.inc"

}  // namespace avx512
IC_END_TARGET_REGION

const Kernels& Avx512Kernels() {
  static constexpr Kernels kernels = avx512::KernelTable("avx512");
  return kernels;
}

}  // namespace infercept::cpu

#endif
