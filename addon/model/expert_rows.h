// Which rows each expert computes: all that chose it, side by side.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/types.h"

namespace infercept {

class ExpertRows {
 public:
  ExpertRows() = default;
  // Allocates for so many choices, rows times experts used for each.
  ExpertRows(uint32_t choices_max, uint32_t experts);

  // [rows][used] To be filled with expert numbers before Assign.
  uint32_t* chosen() { return chosen_.data(); }
  void Assign(uint32_t rows, uint32_t used);

  // Expert e has the places [begin(e), begin(e + 1)).
  uint32_t begin(uint32_t expert) const { return begins_[expert]; }
  // [rows * used] The row that each place is for, as indices that Ops::Embed takes.
  std::span<const TokenId> rows() const { return rows_; }
  // [rows][used] The place of each choice.
  const uint32_t* places() const { return places_.data(); }

 private:
  std::vector<uint32_t> chosen_;  // [choices_max]
  std::vector<uint32_t> begins_;  // [experts + 1]
  std::vector<TokenId> rows_;
  std::vector<uint32_t> places_;
};

}  // namespace infercept
