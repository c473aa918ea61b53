// Which blocks of a grid compute what for which expert. How many tokens an expert has is known on
// the device alone; so the host fixes how many tokens a tile has, and how many tiles there may be,
// from what it knows, and a kernel (experts.cu) fills them in.
//
//   places  | expert 0     | expert 1 |           expert 3            |   of tokens x used
//   tiles   |   0    |  1  |    2     |    3     |    4     |    5    |   and empty ones
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/types.h"

namespace infercept::cuda {

// The places [first, end) are for one expert; none of them if they are no range.
struct ExpertTile {
  uint32_t expert;
  uint32_t first;
  uint32_t end;
};

// What the host knows of a step.
struct ExpertStep {
  uint32_t tokens = 0;
  uint32_t experts = 0;
  uint32_t used = 0;  // of them, for each token

  constexpr uint32_t places() const { return tokens * used; }
};

inline constexpr uint32_t kExpertTileTokensMin = 8;  // what tensor cores take at once

// Tokens of a tile: those of a block of MatMulFew (8, 16) or MatMulMany (64, 128). The experts of
// most tokens should have one tile each, as every tile loads their weights; wider ones compute more
// for tokens that are not there. With so many tokens per expert in the mean, few experts have twice
// as many and more. Estimates; not measured yet.
constexpr uint32_t ExpertTileTokens(const ExpertStep& step) {
  const auto enough = [&](uint32_t tile_tokens, uint32_t mean) {
    return step.tokens <= tile_tokens || step.places() <= mean * step.experts;
  };
  if (enough(kExpertTileTokensMin, 4)) return kExpertTileTokensMin;
  if (enough(16, 8)) return 16;
  return enough(64, 48) ? 64 : 128;
}

// An expert's tiles begin at a number that follows from its first place alone: that place, or the
// whole tiles before it and one more for each expert before. Either leaves room for all that come
// before; the host takes what makes fewer.
constexpr bool NumbersTilesByPlace(const ExpertStep& step) {
  return step.places() <= step.places() / ExpertTileTokens(step) + step.experts;
}
constexpr uint32_t ExpertTileCount(const ExpertStep& step) {
  return std::min(step.places(), step.places() / ExpertTileTokens(step) + step.experts);
}
// Of any step of up to so many tokens: the shorter tiles are, the more there may be.
constexpr uint32_t ExpertTileCountMax(const ExpertStep& step) {
  return std::min(step.places(), step.places() / kExpertTileTokensMin + step.experts);
}

}  // namespace infercept::cuda
