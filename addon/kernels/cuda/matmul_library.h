// MatMulMany's work by cuBLASLt: weights other than BF16 are dequantized to BF16 first, a panel of
// rows at a time, which is small enough to stay in the second-level cache until it is multiplied.
//
// Roofline, per weight of b bits and n tokens on an H200 (4.3 TB/s, 788 TFLOP/s): 2 n operations,
// 2.5 n fs; and for a panel b / 8 bytes from memory, 2 to the cache and 2 from it: 0.5 to 0.9 ps, a
// fifth to a third of the product at 1,024 tokens, a tenth to a sixth at 2,048.
#pragma once

#include <span>

#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/kernels.h"

namespace infercept::cuda {

// From so many tokens on the library takes less time than MatMulMany. Estimates, from what bounds
// MatMulMany (matmul_many.cu) and three quarters of the matrix rate for the library: 85 tokens for
// BF16; taking a panel apart first pays from 220 tokens on. Not measured yet.
inline constexpr uint32_t kLibraryTokens = 128;
inline constexpr uint32_t kLibraryTokensDequantized = 256;
constexpr uint32_t LibraryTokens(DType dtype) {
  if (dtype == DType::kF32) return UINT32_MAX;  // it would lose two thirds of its bits
  return dtype == DType::kBF16 ? kLibraryTokens : kLibraryTokensDequantized;
}

// Two panels fit the 50 MB cache of a Hopper; with 4,096 columns one has 2,048 rows.
inline constexpr size_t kPanelBytes = size_t{16} << 20;
inline constexpr size_t kLibraryScratchBytes = CublasLt::kWorkspaceBytes + kPanelBytes;

// As MatMulMany, but weights are rounded to BF16 and the order of additions is the library's.
// `scratch` is device memory: the library's workspace, then a panel of at least 16 rows. False if
// the library cannot: outputs may be anything then.
bool MatMulByLibrary(CublasLt& library, std::span<const Product> products, const BF16Rows& x,
                     uint32_t tokens, std::span<std::byte> scratch, Stream stream);

}  // namespace infercept::cuda
