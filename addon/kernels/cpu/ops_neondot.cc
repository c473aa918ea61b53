// The kernels for NEON with dot products of bytes (ARMv8.2's FEAT_DotProd): nearly every aarch64
// core since 2018, all of Apple's and every server's.
#if defined(__aarch64__)

#include <arm_neon.h>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/levels.h"
#include "kernels/cpu/ops_table.h"
#include "kernels/cpu/target_region.h"
#include "kernels/half.h"

namespace infercept::cpu {

IC_TARGET_REGION("arch=armv8.2-a+dotprod")
namespace neondot {

#include "kernels/cpu/simd_neondot.inc"

// 32 registers: 24 sums, 2 weights and 1 input; or 12 dot products, 12 sums, 2 codes, 1 input and
// what finishing a block needs; by the disassembly nothing is spilled.
inline constexpr PanelTokens kPanelTokens = {.plain = 12, .quantized = 6, .quantized_few = 6};

#include "kernels/cpu/body/kernels.inc"

}  // namespace neondot
IC_END_TARGET_REGION

const Kernels& NeonDotKernels() {
  static constexpr Kernels kernels = neondot::KernelTable("neondot");
  return kernels;
}

}  // namespace infercept::cpu

#endif
