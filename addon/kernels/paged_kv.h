// Where the key (or value) of one position lies in the paged cache.
#pragma once

#include "kernels/tensor_view.h"

namespace infercept {

// plane: cache.keys or cache.values. Row-major [head_dim] values of cache.dtype.
inline std::byte* KvRow(const PagedKv& cache, std::byte* plane, const BlockId* block_table,
                        uint32_t position, uint32_t kv_head) {
  const size_t block = Index(block_table[position / cache.block_tokens]);
  const size_t slot = position % cache.block_tokens;
  const size_t row = static_cast<size_t>(kv_head) * cache.block_tokens + slot;
  return plane + block * cache.block_stride + row * RowBytes(cache.dtype, cache.head_dim);
}

}  // namespace infercept
