// The kernels for NEON with products of int8 matrices (ARMv8.6's FEAT_I8MM): servers since 2021,
// Apple's since the M2.
#if defined(__aarch64__)

#include <arm_neon.h>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/levels.h"
#include "kernels/cpu/ops_table.h"
#include "kernels/cpu/target_region.h"
#include "kernels/half.h"

namespace infercept::cpu {

IC_TARGET_REGION("arch=armv8.2-a+dotprod+i8mm")
namespace neoni8mm {

#include "kernels/cpu/simd_neoni8mm.inc"

// As in ops_neondot.cc.
inline constexpr PanelTokens kPanelTokens = {.plain = 12, .quantized = 6, .quantized_few = 6};

#include "kernels/cpu/body/kernels.inc"

}  // namespace neoni8mm
IC_END_TARGET_REGION

const Kernels& NeonI8mmKernels() {
  static constexpr Kernels kernels = neoni8mm::KernelTable("neoni8mm");
  return kernels;
}

}  // namespace infercept::cpu

#endif
