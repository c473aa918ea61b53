// Where the context of one sequence is. Nothing else records it.
#pragma once

#include <cstdint>
#include <vector>

#include "base/types.h"

namespace infercept {

// What a full block holds, as a number: equal ids mean equal tokens at equal positions after equal
// prefixes.
using ContentId = uint64_t;
inline constexpr ContentId kNoContent = 0;

// The copies of one logical block. Only device copies may be read by a step.
struct BlockRef {
  BlockId device = kNoBlock;
  BlockId host = kNoBlock;
  ContentId content = kNoContent;  // set once the block is full and computed

  bool on_device() const { return device != kNoBlock; }
  bool on_host() const { return host != kNoBlock; }
};

// Entry i covers positions [i * block_tokens, (i + 1) * block_tokens). What was discarded is not in
// the table: it always gives up a suffix. Invariant: every entry has at least one copy. Only
// KvManager writes entries.
using BlockTable = std::vector<BlockRef>;

}  // namespace infercept
