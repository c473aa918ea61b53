// What one pass through a model computes, as flat arrays.
#pragma once

#include <cstdint>
#include <span>

#include "base/types.h"
#include "kernels/tensor_view.h"

namespace infercept {

struct ForwardInput {
  std::span<const TokenId> tokens;         // [rows]
  std::span<const uint32_t> positions;     // [rows]
  std::span<const AttentionSlice> slices;  // cover all rows, in order
  std::span<const uint32_t> logit_rows;    // rows whose logits are wanted, ascending
};

}  // namespace infercept
