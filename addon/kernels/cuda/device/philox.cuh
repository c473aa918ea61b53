// Counter-based random numbers, as model/philox.h has them: Philox4x32-10 (Salmon et al. 2011).
#pragma once

#include "kernels/cuda/device/vector.cuh"

namespace infercept::cuda {

// Constants of the paper, table 1: multipliers, and Weyl increments of the key.
__device__ __forceinline__ Words Philox(uint64_t counter, uint64_t key) {
  Words words = {{static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), 0, 0}};
  uint32_t low = static_cast<uint32_t>(key);
  uint32_t high = static_cast<uint32_t>(key >> 32);
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const uint64_t first = uint64_t{0xD2511F53} * words[0];
    const uint64_t second = uint64_t{0xCD9E8D57} * words[2];
    words = {{static_cast<uint32_t>(second >> 32) ^ words[1] ^ low, static_cast<uint32_t>(second),
              static_cast<uint32_t>(first >> 32) ^ words[3] ^ high, static_cast<uint32_t>(first)}};
    low += 0x9E3779B9;
    high += 0xBB67AE85;
  }
  return words;
}

}  // namespace infercept::cuda
