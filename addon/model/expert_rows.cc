#include "model/expert_rows.h"

#include <algorithm>

#include "base/check.h"

namespace infercept {

ExpertRows::ExpertRows(uint32_t choices_max, uint32_t experts)
    : chosen_(choices_max), begins_(experts + 1) {
  rows_.reserve(choices_max);
  places_.reserve(choices_max);
}

void ExpertRows::Assign(uint32_t rows, uint32_t used) {
  const auto chosen = std::span<const uint32_t>(chosen_).first(size_t{rows} * used);
  std::ranges::fill(begins_, 0u);
  for (const uint32_t expert : chosen) {
    IC_CHECK(expert + 1 < begins_.size());
    ++begins_[expert + 1];
  }
  for (size_t e = 1; e < begins_.size(); ++e) begins_[e] += begins_[e - 1];
  rows_.resize(chosen.size());
  places_.resize(chosen.size());
  // Each begin moves to its expert's end while places are given out, then all move back by one.
  for (size_t i = 0; i < chosen.size(); ++i) {
    places_[i] = begins_[chosen[i]]++;
    rows_[places_[i]] = static_cast<TokenId>(i / used);
  }
  std::shift_right(begins_.begin(), begins_.end(), 1);
  begins_[0] = 0;
}

}  // namespace infercept
