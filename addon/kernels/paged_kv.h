// Where the key and the value of one position lie in the paged cache. Every block has a plane per
// KV head for keys and one for values:
//
//   keys    floats:          [head_dim][block_tokens]
//           Q8_0:            [head_dim / 32] { F16 scales [block_tokens], int8 [32][block_tokens] }
//   values  [block_tokens] rows of head_dim values; Q8_0 rows are those of blocks.h
//
// Attention takes the dot products of a query with neighbouring keys side by side, and adds up
// whole values: so keys lie with positions side by side, and nothing is transposed when it is read.
#pragma once

#include "kernels/tensor_view.h"

namespace infercept {

// The entry of a block table that has the block of a position.
constexpr size_t TableEntry(const PagedKv& cache, uint32_t position) {
  return size_t{position / cache.block_tokens} * cache.groups + cache.group;
}

constexpr size_t KvPlaneBytes(const PagedKv& cache) {
  return cache.block_tokens * RowBytes(cache.dtype, cache.head_dim);
}

// `tier`: cache.keys or cache.values.
inline std::byte* KvPlane(const PagedKv& cache, std::byte* tier, BlockId block, uint32_t kv_head) {
  return tier + Index(block) * cache.block_stride + kv_head * KvPlaneBytes(cache);
}

// Byte in a plane of keys of value d of a position's key.
constexpr size_t KeyOffset(const PagedKv& cache, uint32_t slot, uint32_t d) {
  const size_t tokens = cache.block_tokens;
  if (cache.dtype != DType::kQ8_0) return RowBytes(cache.dtype, d * tokens + slot);
  return d / kQ8BlockValues * tokens * kQ8BlockBytes + (2 + d % kQ8BlockValues) * tokens + slot;
}

// Byte in a plane of Q8_0 keys of the scale of value d.
constexpr size_t KeyScaleOffset(const PagedKv& cache, uint32_t slot, uint32_t d) {
  return d / kQ8BlockValues * cache.block_tokens * kQ8BlockBytes + 2 * size_t{slot};
}

// Byte in a plane of values of a position's row.
constexpr size_t ValueOffset(const PagedKv& cache, uint32_t slot) {
  return slot * RowBytes(cache.dtype, cache.head_dim);
}

}  // namespace infercept
