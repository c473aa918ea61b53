// What one pass through a model computes, as flat arrays.
#pragma once

#include <cstdint>
#include <span>

#include "base/types.h"
#include "kernels/sampling.h"
#include "kernels/tensor_view.h"

namespace infercept {

struct ForwardInput {
  std::span<const TokenId> tokens;         // [rows] -1: comes with `awaited`
  std::span<const uint32_t> positions;     // [rows]
  std::span<const AttentionSlice> slices;  // cover all rows, in order
  std::span<const uint32_t> logit_rows;    // rows whose logits are wanted, ascending
  // Tokens that are known to the device only; targets are rows. One for each -1.
  TokenPicks awaited = {};
};

}  // namespace infercept
