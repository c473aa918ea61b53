// The rows of a Forward whose logits are wanted, as an input of their own. What a row computes
// after its keys and values are stored matters to other rows only through the next layer: in the
// last one, these rows alone go on.
#pragma once

#include <vector>

#include "device/device.h"
#include "model/forward_input.h"

namespace infercept {

class WantedRows {
 public:
  WantedRows() = default;
  // Allocates for Forwards of up to `rows_max` rows.
  explicit WantedRows(uint32_t rows_max);

  // `all` must live as long as input() is used.
  void Assign(const ForwardInput& all);

  // Row i is row all.logit_rows[i] of `all`: the same token, position and sequence.
  ForwardInput input() const;

  // Moves these rows of a buffer for all rows to its front. Rows are width floats.
  void MoveToFront(float* buffer, size_t width, Stream& stream) const;

 private:
  std::span<const uint32_t> rows_;      // ascending
  std::vector<TokenId> tokens_;         // [rows]
  std::vector<uint32_t> positions_;     // [rows]
  std::vector<AttentionSlice> slices_;  // [rows], one row each
};

}  // namespace infercept
