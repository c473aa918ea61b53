// What the launchers of MatMulFew and MatMulMany prove of their arguments. Included by .cu files.
#pragma once

#include <span>

#include "kernels/cuda/device/product.cuh"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/shapes.h"

namespace infercept::cuda {

// The call, and the blocks of `block_rows` rows that its products take in a grid.
struct CheckedCall {
  ProductCall call = {};
  uint32_t row_blocks = 0;
};

inline CheckedCall CheckProducts(std::span<const Product> products, const BF16Rows& x,
                                 uint32_t tokens, uint32_t block_rows) {
  IC_CHECK(!products.empty() && products.size() <= kProductsMax);
  const PackedWeight& first = products.front().weight;
  CheckedCall checked;
  ProductCall& call = checked.call;
  for (const Product& product : products) {
    const PackedWeight& weight = product.weight;
    IC_CHECK(weight.data != nullptr && AllAligned(weight.data) && product.out != nullptr);
    IC_CHECK(weight.dtype == first.dtype && weight.columns == first.columns);
    IC_CHECK(weight.rows > 0 && weight.columns > 0);
    IC_CHECK(weight.columns % BlockValues(weight.dtype) == 0);
    IC_CHECK(product.out_stride >= weight.rows);
    call.products[call.count++] = {.weights = weight.data,
                                   .expert_bytes = 0,
                                   .bias = nullptr,
                                   .bias_stride = 0,
                                   .out = product.out,
                                   .out_stride = product.out_stride,
                                   .rows = weight.rows,
                                   .first_block = checked.row_blocks};
    checked.row_blocks += DivCeil(weight.rows, block_rows);
  }
  if (tokens == 0) return checked;
  IC_CHECK(x.values != nullptr && AllAligned(x.values));
  IC_CHECK(x.stride >= PaddedColumns(first.columns) && x.stride % 8 == 0);
  IC_CHECK(x.stride <= UINT32_MAX / sizeof(BF16));
  call.columns = first.columns;
  call.x = static_cast<const BF16*>(x.values);
  call.x_stride = x.stride;
  call.tokens = call.tile_tokens = tokens;
  call.tile_count = 1;
  return checked;
}

}  // namespace infercept::cuda
