// What every Ops object proves on entry before it trusts its arguments (ops.h, Rule 3).
#pragma once

#include <span>

#include "base/check.h"
#include "kernels/ops.h"

namespace infercept {

inline bool IsAligned(const void* pointer, size_t alignment) {
  return reinterpret_cast<uintptr_t>(pointer) % alignment == 0;
}

inline void CheckWeight(DType dtype, const std::byte* data, uint32_t rows, uint32_t columns) {
  IC_CHECK(data != nullptr && IsWeightDType(dtype));
  IC_CHECK(rows > 0 && columns > 0);
  IC_CHECK(columns % BlockValues(dtype) == 0);
}

inline void CheckProducts(std::span<const MatMulProduct> products, uint32_t tokens) {
  IC_CHECK(!products.empty() && products.size() <= kMatMulProductsMax);
  for (const MatMulProduct& product : products) {
    const PackedWeight& weight = product.weight;
    CheckWeight(weight.dtype, weight.data, weight.rows, weight.columns);
    IC_CHECK(weight.columns == products.front().weight.columns);
    IC_CHECK(tokens <= 1 || product.out_stride >= weight.rows);
  }
}

inline void CheckCache(const PagedKv& cache, std::span<const AttentionSlice> slices) {
  IC_CHECK(cache.keys != nullptr && cache.values != nullptr);
  IC_CHECK(IsKvDType(cache.dtype));
  IC_CHECK(cache.head_dim % BlockValues(cache.dtype) == 0);
  IC_CHECK(cache.kv_heads > 0 && cache.head_dim > 0 && cache.block_tokens > 0);
  IC_CHECK(cache.group < cache.groups);
  for (const AttentionSlice& slice : slices)
    IC_CHECK(slice.rows == 0 || slice.block_table != nullptr);
}

}  // namespace infercept
