// Random strings for tests.
#pragma once

#include <string>

#include "base/rng.h"

namespace infercept {

inline std::string RandomText(Rng& random, uint32_t length, const std::string& alphabet) {
  std::string text;
  for (uint32_t i = 0; i < length; ++i) {
    text += alphabet[random.Below(static_cast<uint32_t>(alphabet.size()))];
  }
  return text;
}

}  // namespace infercept
