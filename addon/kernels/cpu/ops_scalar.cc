// The kernels in plain C++: for machines without AVX2, and what every other ISA is compared with.
#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/levels.h"
#include "kernels/cpu/ops_table.h"
#include "kernels/half.h"

namespace infercept::cpu {
namespace scalar {

#include "kernels/cpu/simd_scalar.inc"

// Enough independent chains for any processor, few enough for 16 registers.
inline constexpr PanelTokens kPanelTokens = {.plain = 2, .quantized = 2, .quantized_few = 2};

#include "kernels/cpu/body/kernels.inc"

}  // namespace scalar

const Kernels& ScalarKernels() {
  static constexpr Kernels kernels = scalar::KernelTable("scalar");
  return kernels;
}

}  // namespace infercept::cpu
