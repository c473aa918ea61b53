// The bytes of every token, given once per engine by the tokenizer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"

namespace infercept {

struct TokenTable {
  std::string bytes;  // of all tokens, concatenated; a token's bytes need not be whole characters
  std::vector<uint32_t> offsets;  // [tokens + 1], ascending, offsets.back() == bytes.size()

  // Empty for ids beyond the table (padding of the vocabulary).
  std::string_view BytesOf(TokenId token) const {
    const auto index = static_cast<size_t>(token);
    if (token < 0 || index + 1 >= offsets.size()) return {};
    return std::string_view(bytes).substr(offsets[index], offsets[index + 1] - offsets[index]);
  }
};

}  // namespace infercept
