// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
// 1, 2, 3", SC 2011). A draw is a pure function of key and counter, so nothing needs to be stored,
// saved or restored.
#pragma once

#include <array>
#include <cstdint>

namespace infercept {

std::array<uint32_t, 4> Philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// Uniform in [0, 1), multiples of 2^-53.
double UniformDraw(uint64_t seed, uint64_t position);

}  // namespace infercept
