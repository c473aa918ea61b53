// The kernels in plain C++: for machines without AVX2, and what every other ISA is compared with.
#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/ops_table.h"
#include "kernels/half.h"

namespace infercept::cpu {
namespace scalar {

#include "kernels/cpu/simd_scalar.inc"

// Sums together: enough for four independent chains, few enough for 16 registers.
inline constexpr uint32_t kFloatGroups = 4;
inline constexpr uint32_t kFloatTokens = 2;
inline constexpr uint32_t kQ8Groups = 2;
inline constexpr uint32_t kQ8Tokens = 2;

#include "kernels/cpu/body/kernels.inc"

}  // namespace scalar

const Kernels& ScalarKernels() {
  static constexpr Kernels kernels = scalar::KernelTable("scalar");
  return kernels;
}

}  // namespace infercept::cpu
