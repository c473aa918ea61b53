// The kernels for AVX-512 with BF16 products: AMD since Zen 4, Intel servers since 2020 (Cooper
// Lake) and 2023. Only BF16 weights differ from ops_avx512.cc: their inputs are rounded to BF16 as
// well, as other runtimes do, and each instruction does twice the work of a float multiply-add.
#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/levels.h"
#include "kernels/cpu/ops_table.h"
#include "kernels/cpu/target_region.h"
#include "kernels/half.h"

#if !defined(__clang__)
// As in ops_avx512.cc: GCC bug 105593.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

namespace infercept::cpu {

IC_TARGET_REGION("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16")
namespace avx512bf16 {

#include "kernels/cpu/simd_avx512.inc"

inline F32 DotBf16(F32 sum, Bytes weights, Bytes x) {
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(weights), reinterpret_cast<__m512bh>(x));
}

inline constexpr PanelTokens kPanelTokens = {.plain = 12};

// clang-format off: each uses what stands in those before it.
#include "kernels/cpu/body/common.inc"
#include "kernels/cpu/body/matmul.inc"
#include "kernels/cpu/body/matmul_bf16.inc"
// clang-format on

MatMulKernel MatMulOf(DType dtype) {
  if (dtype == DType::kBF16) return MatMulWith<Bf16Kernel>;
  return Avx512Kernels().matmul_of(dtype);
}

Kernels KernelTable() {
  Kernels kernels = Avx512Kernels();
  kernels.isa = "avx512bf16";
  kernels.bf16_inputs = InputKind::kBF16;
  kernels.matmul_of = MatMulOf;
  return kernels;
}

}  // namespace avx512bf16
IC_END_TARGET_REGION

const Kernels& Avx512Bf16Kernels() {
  static const Kernels kernels = avx512bf16::KernelTable();
  return kernels;
}

}  // namespace infercept::cpu

#endif
