// Weights of several experts, each times the tokens that chose it: the blocks of MatMulFew and
// MatMulMany, which ask a list (expert_tiles.h) what is theirs. What a token gets depends neither
// on the kernel nor on the other tokens, as there.
//
// Roofline, per weight of b bits of an expert that n tokens chose: b / 8 bytes once per tile, 2 n
// operations; nothing for an expert that nobody chose. Up to 16 tokens per tile memory bounds
// (matmul_few.cu), beyond that what bounds MatMulMany. Qwen3-30B-A3B (Q4_K), a decode of one token:
// 8 of 128 experts, 22 MB of a layer's 350, 5 us at 4.3 TB/s; of 16 tokens about 82 experts,
// 225 MB, 52 us. Empty tiles cost a block each that reads 12 bytes and returns: there are
// at most as many of them as experts.
#include <array>

#include "kernels/cuda/kernels.h"
#include "kernels/cuda/matmul_call.cuh"
#include "kernels/cuda/matmul_few_launch.cuh"
#include "kernels/cuda/matmul_many_launch.cuh"

namespace infercept::cuda {
namespace {

// F32 weights have no kernel for many tokens.
bool TakesFew(DType dtype, uint32_t tile_tokens) {
  return dtype == DType::kF32 || tile_tokens <= kFewTokens;
}

}  // namespace

void MatMulExperts(std::span<const ExpertProduct> products, const BF16Rows& x,
                   const ExpertTile* tiles, const ExpertStep& step, Stream stream) {
  IC_CHECK(!products.empty() && products.size() <= kProductsMax);
  const uint32_t tile_tokens = ExpertTileTokens(step);
  const DType dtype = products.front().product.weight.dtype;
  const bool few = TakesFew(dtype, tile_tokens);
  std::array<Product, kProductsMax> of_first;
  for (size_t i = 0; i < products.size(); ++i) of_first[i] = products[i].product;
  CheckedCall checked = CheckProducts(std::span(of_first).first(products.size()), x, step.places(),
                                      few ? kTileRows : kManyRows);
  if (step.places() == 0) return;
  IC_CHECK(tiles != nullptr && checked.row_blocks <= kGridRowsMax);
  ProductCall& call = checked.call;
  call.tiles = tiles;
  call.tile_tokens = tile_tokens;
  call.tile_count = ExpertTileCount(step);
  for (size_t i = 0; i < products.size(); ++i) {
    IC_CHECK(products[i].weight_bytes % 16 == 0);
    call.products[i].expert_bytes = products[i].weight_bytes;
    call.products[i].bias = products[i].bias;
    call.products[i].bias_stride = products[i].bias_stride;
  }
  if (few) return LaunchFewDType(dtype, call, checked.row_blocks, stream);
  LaunchManyDType(dtype, {call, nullptr, checked.row_blocks}, stream);
}

}  // namespace infercept::cuda
