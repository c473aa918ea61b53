// The 16 levels that 4-bit codes of some formats stand for, as the dot product wants them.
#pragma once

#include <cstdint>

#include "kernels/blocks.h"

namespace infercept::cpu {

struct LevelBytes {
  alignas(16) uint8_t at[16];  // level + bias, one byte each
};

constexpr LevelBytes BiasedLevels(const int8_t (&levels)[16], int32_t bias) {
  LevelBytes bytes = {};
  for (uint32_t i = 0; i < 16; ++i) bytes.at[i] = static_cast<uint8_t>(levels[i] + bias);
  return bytes;
}

}  // namespace infercept::cpu
