// Weights times few tokens, by dtype; and inputs as BF16.
//
// Roofline, for n tokens, per weight of b bits: b / 8 bytes, 2 n operations. On an H200 (4.3 TB/s)
// 4.5-bit weights arrive at 33 per cycle and multiprocessor, BF16 at 9: up to 16 tokens the matrix
// instructions (1 per 256 weights and 8 tokens) take a tenth of their rate, and what bounds is
// memory, if unpacking keeps up: of the 128 instructions per cycle that there are, it takes 1.5 per
// weight for 4 bits, 2.5 for 6 and 8 bits, none for BF16, and scales 0.3 per weight and 8 tokens. A
// warp has a chunk of 256 columns by 16 rows (4 bits: 2.3 KB) under way while it multiplies the one
// before; with 12 warps per multiprocessor 28 KB are, 23 KB cover a latency of 700 ns.
// Inputs (2 n bytes per column) are read by every block, mostly from the first-level cache; beyond
// 16 tokens they do not fit it, and MatMulMany is better, which shares them between more rows.
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/matmul_call.cuh"
#include "kernels/cuda/matmul_few_launch.cuh"

namespace infercept::cuda {
namespace {

constexpr uint32_t kThreads = 256;

// Rows are filled with zeros up to the stride.
__global__ void __launch_bounds__(kThreads)
    ToBF16Kernel(const float* x, const uint32_t* rows, uint32_t columns, BF16* out, size_t stride) {
  const size_t i = (size_t{blockIdx.x} * kThreads + threadIdx.x) * 8;
  if (i >= stride) return;
  const float* row = x + size_t{rows == nullptr ? blockIdx.y : rows[blockIdx.y]} * columns;
  Vector<BF16, 8> values;
#pragma unroll
  for (uint32_t k = 0; k < 8; ++k) {
    values[k] = FromFloat<BF16>(i + k < columns ? row[i + k] : 0.0f);
  }
  StoreVector(out + blockIdx.y * stride + i, values);
}

}  // namespace

void LaunchFewDType(DType dtype, const ProductCall& call, uint32_t row_tiles, Stream stream) {
  if (!IsQuantized(dtype)) return LaunchFewFloats(dtype, call, row_tiles, stream);
  const QuantizedLayout layout = LayoutOf(dtype);
  if (layout.low_bits == 8) return LaunchFewBytes(dtype, call, row_tiles, stream);
  if (HasMinimum(layout.scales)) {
    return LaunchFewNibblesByMinimum(dtype, call, row_tiles, stream);
  }
  LaunchFewNibbles(dtype, call, row_tiles, stream);
}

void ConvertToBF16(const float* x, uint32_t tokens, uint32_t columns, void* out, size_t out_stride,
                   Stream stream) {
  ConvertRowsToBF16(x, nullptr, tokens, columns, out, out_stride, stream);
}

void ConvertRowsToBF16(const float* x, const uint32_t* rows, uint32_t count, uint32_t columns,
                       void* out, size_t out_stride, Stream stream) {
  if (count == 0 || columns == 0) return;
  IC_CHECK(x != nullptr && out != nullptr && AllAligned(out));
  IC_CHECK(out_stride >= columns && out_stride % 8 == 0 && out_stride < UINT32_MAX);
  const auto blocks = static_cast<uint32_t>(DivCeil(out_stride, size_t{kThreads} * 8));
  for (uint32_t first = 0; first < count; first += kGridRowsMax) {
    const float* from = rows == nullptr ? x + size_t{first} * columns : x;
    const uint32_t* of = rows == nullptr ? nullptr : rows + first;
    Launch(&ToBF16Kernel, dim3{blocks, std::min(count - first, kGridRowsMax)}, dim3{kThreads}, 0,
           stream, from, of, columns, static_cast<BF16*>(out) + first * out_stride, out_stride);
  }
}

void MatMulFew(std::span<const Product> products, const BF16Rows& x, uint32_t tokens,
               Stream stream) {
  const CheckedCall checked = CheckProducts(products, x, tokens, kTileRows);
  if (tokens == 0) return;
  LaunchFewDType(products.front().weight.dtype, checked.call, checked.row_blocks, stream);
}

}  // namespace infercept::cuda
