// Matrix instructions of one warp (PTX mma.sync, compute capability 8.0). The whole warp calls.
// Lane l holds, with g = l / 4 and t = l % 4, each register two neighbouring 16-bit values, the
// first in the low half:
//
//   A, 16 rows x 16:   a[0]: row g, columns 2t, 2t+1      a[1]: row g + 8, columns 2t, 2t+1
//                      a[2]: row g, columns 2t+8, 2t+9    a[3]: row g + 8, columns 2t+8, 2t+9
//   B, 16 x 8 columns: b[0]: rows 2t, 2t+1 of column g    b[1]: rows 2t+8, 2t+9 of column g
//   C, 16 x 8:         c[0], c[1]: row g, columns 2t, 2t+1    c[2], c[3]: row g + 8, likewise
#pragma once

#include "kernels/cuda/device/platform.cuh"
#include "kernels/half.h"
#ifndef __CUDACC__
#include "kernels/cuda/emulation/matrix.h"
#endif

namespace infercept::cuda {

// c += a b of BF16 values, added up in float.
__device__ __forceinline__ void MultiplyAdd(float (&c)[4], const uint32_t (&a)[4],
                                            const uint32_t (&b)[2]) {
#ifdef __CUDACC__
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  emulation::MultiplyAdd(c, a, b, emulation::Site::current());
#endif
}

// The same of F16 values.
__device__ __forceinline__ void MultiplyAddF16(float (&c)[4], const uint32_t (&a)[4],
                                               const uint32_t (&b)[2]) {
#ifdef __CUDACC__
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  emulation::MultiplyAddF16(c, a, b, emulation::Site::current());
#endif
}

template <typename T>
__device__ __forceinline__ void MultiplyAddOf(float (&c)[4], const uint32_t (&a)[4],
                                              const uint32_t (&b)[2]) {
  static_assert(std::is_same_v<T, BF16> || std::is_same_v<T, F16>);
  if constexpr (std::is_same_v<T, BF16>) {
    MultiplyAdd(c, a, b);
  } else {
    MultiplyAddF16(c, a, b);
  }
}

// Four matrices of 8 x 8 16-bit values from shared memory, transposed: lane 8i + r gives the
// address of row r of matrix i, 16 bytes in a row; each lane gets m[i]: rows 2t and 2t+1 of column
// g. So two matrices, one 8 rows below the other, become a fragment of B.
__device__ __forceinline__ void LoadMatricesTransposed(uint32_t (&m)[4], const void* row) {
#ifdef __CUDACC__
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(address)
               : "memory");
#else
  emulation::CheckAligned(row, 16, emulation::Site::current());
  emulation::LoadMatricesTransposed(m, row, emulation::Site::current());
#endif
}

}  // namespace infercept::cuda
