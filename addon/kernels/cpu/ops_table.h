// One table of kernels per instruction set. Only cpu_dispatch.cc asks for those of a set that the
// machine may lack.
#pragma once

#include "kernels/cpu/kernels.h"

namespace infercept::cpu {

const Kernels& ScalarKernels();

#if defined(__x86_64__)
const Kernels& Avx2Kernels();        // AVX2, FMA, F16C
const Kernels& AvxVnniKernels();     // and AVX-VNNI
const Kernels& Avx512Kernels();      // AVX-512 F, BW, DQ, VL, VNNI
const Kernels& Avx512Bf16Kernels();  // and BF16
#elif defined(__aarch64__)
const Kernels& NeonKernels();      // NEON
const Kernels& NeonDotKernels();   // and dot products
const Kernels& NeonI8mmKernels();  // and products of int8 matrices
#endif

}  // namespace infercept::cpu
