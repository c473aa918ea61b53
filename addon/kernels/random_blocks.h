// Random weights for tests and benchmarks: any bytes are valid codes, only the scales of a block
// must be chosen.
#pragma once

#include <cstddef>
#include <span>

#include "base/dtype.h"
#include "base/rng.h"

namespace infercept {

// Sets the scale (and minimum) of one block so that codes and inner scales of uniformly random
// bits stand for values around zero with about this deviation. REQUIRES: IsQuantized(dtype).
void SetBlockScales(DType dtype, float deviation, std::byte* block);

// Whole blocks of such bits and scales.
void FillRandomBlocks(DType dtype, float deviation, Rng& random, std::span<std::byte> blocks);

}  // namespace infercept
