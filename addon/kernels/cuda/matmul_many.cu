// Weights times many tokens.
//
// Roofline, per stage of a block (64 columns of 128 rows and 128 tokens, 2 million operations): the
// matrix units of a Hopper multiprocessor take 512 cycles for it, by the instructions of 8.0 that
// are used here about 800. Inputs are 16 KB and weights b / 8 KB with their scales, which the
// second-level cache (5.5 TB/s on an H200) brings at 24 bytes per cycle and multiprocessor; and
// each of 8 warps has the instructions that machine code for 9.0a has, 4 of them per cycle:
//
//            KB   cycles for them   instructions of a warp   cycles   at most of the matrix rate
//   BF16     32              1365                      490      980                         37 %
//   Q8_0     27              1110                      560     1120                         46 %
//   Q4_0     22               940                      510     1020                         50 %
//   Q4_K     23               960                      765     1530                         33 %
//   Q6_K     27              1120                      790     1580                         32 %
//
// So up to 18 (Q4_K) or 68 tokens (BF16) memory bounds, beyond that what the table says: the
// second-level cache or instructions. Taking quantized weights apart takes a sixth of the
// instructions, scaling sums a third to a half. To scale the weights instead, as DequantizeToBF16
// does, takes as many from 32 tokens per warp on, and rounds once more, so that tokens would see
// how many others there are.
// From 128 or 256 tokens on matmul_library.h is better, where the library is there.
// What is left on the table needs Hopper's own instructions: products that read shared memory
// themselves (weights from registers, as here), and copies that several blocks share.
#include <algorithm>

#include "kernels/cuda/kernels.h"
#include "kernels/cuda/matmul_call.cuh"
#include "kernels/cuda/matmul_many_launch.cuh"

namespace infercept::cuda {
namespace {

// With so many blocks a device has work: an H200 has 132 multiprocessors, an A100 108. With fewer,
// each block has a quarter of the columns.
constexpr uint32_t kEnoughBlocks = 128;

uint32_t RowBlocks(std::span<const Product> products) {
  uint32_t blocks = 0;
  for (const Product& product : products) blocks += DivCeil(product.weight.rows, kManyRows);
  return blocks;
}

bool HasEnoughBlocks(uint32_t row_blocks, uint32_t tokens) {
  return uint64_t{row_blocks} * DivCeil(tokens, ManyTokens(ManyTiles(tokens))) >= kEnoughBlocks;
}

// Adds up the parts, in their order. A block has the rows of one block, of one token.
__global__ void __launch_bounds__(kManyRows) AddPartsKernel(const __grid_constant__ ManyCall many) {
  const ProductPlace& product = FindProduct(many.call, blockIdx.x);
  const uint32_t row = (blockIdx.x - product.first_block) * kManyRows + threadIdx.x;
  if (row >= product.rows) return;
  const size_t stride = size_t{many.row_blocks} * kManyRows;
  const float* part = many.parts + blockIdx.y * stride + blockIdx.x * kManyRows + threadIdx.x;
  float sum = 0;
#pragma unroll
  for (uint32_t i = 0; i < kColumnParts; ++i) {
    sum = __fadd_rn(sum, part[i * many.call.tokens * stride]);
  }
  product.out[blockIdx.y * product.out_stride + row] = sum;
}

}  // namespace

void LaunchManyDType(DType dtype, const ManyCall& call, Stream stream) {
  if (!IsQuantized(dtype)) return LaunchManyFloats(dtype, call, stream);
  const QuantizedLayout layout = LayoutOf(dtype);
  if (layout.low_bits == 8) return LaunchManyBytes(dtype, call, stream);
  if (HasMinimum(layout.scales)) return LaunchManyNibblesByMinimum(dtype, call, stream);
  LaunchManyNibbles(dtype, call, stream);
}

size_t MatMulManyBytes(std::span<const Product> products, uint32_t tokens) {
  const uint32_t row_blocks = RowBlocks(products);
  if (HasEnoughBlocks(row_blocks, tokens)) return 0;
  return size_t{kColumnParts} * tokens * row_blocks * kManyRows * sizeof(float);
}

// With n blocks of tokens there are less than kEnoughBlocks / n blocks of rows.
size_t MatMulManyBytesMax(uint32_t tokens) {
  return size_t{kColumnParts} * std::min(tokens, ManyTokens(kWideTiles)) * kEnoughBlocks *
         kManyRows * sizeof(float);
}

void MatMulMany(std::span<const Product> products, const BF16Rows& x, uint32_t tokens, float* parts,
                Stream stream) {
  const CheckedCall checked = CheckProducts(products, x, tokens, kManyRows);
  if (tokens == 0) return;
  const DType dtype = products.front().weight.dtype;
  if (dtype == DType::kF32) return MatMulFew(products, x, tokens, stream);
  IC_CHECK(AllAligned(parts) && checked.row_blocks <= kGridRowsMax);
  if (HasEnoughBlocks(checked.row_blocks, tokens)) parts = nullptr;
  const ManyCall call = {checked.call, parts, checked.row_blocks};
  LaunchManyDType(dtype, call, stream);
  if (parts == nullptr) return;
  IC_CHECK(tokens <= kGridRowsMax);
  Launch(&AddPartsKernel, dim3{checked.row_blocks, tokens}, dim3{kManyRows}, 0, stream, call);
}

}  // namespace infercept::cuda
