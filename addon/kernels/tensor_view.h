// Plain views that kernels take: a pointer and its shape, never an owner.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "base/types.h"

namespace infercept {

// A weight matrix as it lies in the model file. Row-major; y = W x has `rows` outputs and `columns`
// inputs.
struct WeightView {
  DType dtype = DType::kF32;  // IsWeightDType
  const std::byte* data = nullptr;
  uint32_t rows = 0;
  uint32_t columns = 0;
};

// A weight matrix in the layout that the Ops object which packed it wants. Opaque to everyone else.
struct PackedWeight {
  DType dtype = DType::kF32;
  const std::byte* data = nullptr;
  uint32_t rows = 0;
  uint32_t columns = 0;
};

// A packed matrix that is to be made up, for benchmarks.
struct RandomMatrix {
  DType dtype = DType::kF32;
  std::byte* data = nullptr;  // where it will be
  uint32_t rows = 0;
  uint32_t columns = 0;
  float deviation = 0;  // about; the mean is zero
  uint64_t seed = 0;
};

// How keys and values can be stored: any float, and Q8_0 where its blocks divide a head.
constexpr bool IsKvDType(DType dtype) { return !IsQuantized(dtype) || dtype == DType::kQ8_0; }

// One layer of the paged KV cache; paged_kv.h says how planes look.
struct PagedKv {
  DType dtype = DType::kF16;  // IsKvDType
  // [blocks][kv_heads] planes of block_tokens keys, blocks are block_stride bytes apart
  std::byte* keys = nullptr;
  std::byte* values = nullptr;  // likewise
  size_t block_stride = 0;      // bytes
  uint32_t block_tokens = 0;
  uint32_t kv_heads = 0;
  uint32_t head_dim = 0;
  // The layers are cut into so many groups, and a block has those of one: block tables have an
  // entry for each group. This layer is in that group.
  uint32_t groups = 1;
  uint32_t group = 0;

  bool operator==(const PagedKv&) const = default;
};

// Consecutive new tokens of one sequence, as attention and KV writes see them. Query i of the slice
// has position first_position + i and attends to positions [0, first_position + i].
struct AttentionSlice {
  uint32_t first_row = 0;       // of this slice in the batch's flat token arrays
  uint32_t rows = 0;            // tokens of this slice
  uint32_t first_position = 0;  // position of its first token in the sequence
  // [DivCeil(first_position + rows, block_tokens)][PagedKv::groups]
  const BlockId* block_table = nullptr;
};

}  // namespace infercept
