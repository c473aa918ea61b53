#include "model/wanted_rows.h"

#include <algorithm>

#include "base/check.h"

namespace infercept {

WantedRows::WantedRows(uint32_t rows_max) {
  tokens_.reserve(rows_max);
  positions_.reserve(rows_max);
  slices_.reserve(rows_max);
}

void WantedRows::Assign(const ForwardInput& all) {
  rows_ = all.logit_rows;
  tokens_.clear();
  positions_.clear();
  slices_.clear();
  auto slice = all.slices.begin();
  for (const uint32_t row : rows_) {
    while (slice != all.slices.end() && row >= slice->first_row + slice->rows) ++slice;
    IC_CHECK(slice != all.slices.end() && row >= slice->first_row);
    IC_CHECK(slices_.empty() || row > rows_[slices_.size() - 1]);
    tokens_.push_back(all.tokens[row]);
    positions_.push_back(all.positions[row]);
    slices_.push_back({.first_row = static_cast<uint32_t>(slices_.size()),
                       .rows = 1,
                       .first_position = slice->first_position + (row - slice->first_row),
                       .block_table = slice->block_table});
  }
}

ForwardInput WantedRows::input() const {
  return {.tokens = tokens_, .positions = positions_, .slices = slices_, .logit_rows = {}};
}

void WantedRows::MoveToFront(float* buffer, size_t width, Stream& stream) const {
  for (size_t i = 0; i < rows_.size(); ++i) {
    // Ascending rows move down, each into space that was left before.
    if (rows_[i] == i) continue;
    stream.Copy(buffer + i * width, buffer + rows_[i] * width, width * sizeof(float));
  }
}

}  // namespace infercept
