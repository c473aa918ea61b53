// The kernels for NEON: every aarch64.
#if defined(__aarch64__)

#include <arm_neon.h>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/levels.h"
#include "kernels/cpu/ops_table.h"
#include "kernels/half.h"

namespace infercept::cpu {
namespace neon {

#include "kernels/cpu/simd_neon.inc"

// 32 registers: 24 sums, 2 weights and 1 input; or 12 dot products, 12 sums, 2 codes, 1 input, 2
// products and what finishing a block needs; by the disassembly nothing is spilled.
inline constexpr PanelTokens kPanelTokens = {.plain = 12, .quantized = 6, .quantized_few = 6};

#include "kernels/cpu/body/kernels.inc"

}  // namespace neon

const Kernels& NeonKernels() {
  static constexpr Kernels kernels = neon::KernelTable("neon");
  return kernels;
}

}  // namespace infercept::cpu

#endif
