#include "kernels/random_blocks.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "kernels/blocks.h"

namespace infercept {
namespace {

// spread: the root mean square of a block's values for scale 1 and uniformly random bits.
template <typename Block>
void SetScale(float deviation, float spread, std::byte* block) {
  reinterpret_cast<Block*>(block)->scale.Store(deviation / spread);
}

// middle: half the largest code, times -1 where the minimum is added instead of subtracted.
template <typename Block>
void SetScaleAndMinimum(float deviation, float spread, float middle, std::byte* block) {
  SetScale<Block>(deviation, spread, block);
  reinterpret_cast<Block*>(block)->minimum.Store(deviation / spread * middle);
}

void SetExponent(float deviation, std::byte* block) {
  // The root mean square of kMxfp4Values is 5.85; Mxfp4Scale halves 2^(exponent - 127).
  const float exponent = std::round(std::log2(deviation / 5.85f)) + 128;
  reinterpret_cast<MXFP4Block*>(block)->exponent =
      static_cast<uint8_t>(std::clamp(exponent, 0.0f, 254.0f));
}

}  // namespace

void SetBlockScales(DType dtype, float deviation, std::byte* block) {
  switch (dtype) {
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
    case DType::kF8_E4M3:
      break;
    case DType::kQ8_0:
      return SetScale<Q8_0Block>(deviation, 73.9f, block);
    case DType::kQ4_0:
      return SetScale<Q4_0Block>(deviation, 4.64f, block);
    case DType::kQ4_1:
      return SetScaleAndMinimum<Q4_1Block>(deviation, 4.61f, -7.5f, block);
    case DType::kQ5_0:
      return SetScale<Q5_0Block>(deviation, 9.24f, block);
    case DType::kQ5_1:
      return SetScaleAndMinimum<Q5_1Block>(deviation, 9.23f, -15.5f, block);
    case DType::kQ2_K:
      return SetScaleAndMinimum<Q2_KBlock>(deviation, 13.9f, 1.5f, block);
    case DType::kQ3_K:
      return SetScale<Q3_KBlock>(deviation, 43.3f, block);
    case DType::kQ4_K:
      return SetScaleAndMinimum<Q4_KBlock>(deviation, 258.0f, 7.5f, block);
    case DType::kQ5_K:
      return SetScaleAndMinimum<Q5_KBlock>(deviation, 526.0f, 15.5f, block);
    case DType::kQ6_K:
      return SetScale<Q6_KBlock>(deviation, 1366.0f, block);
    case DType::kIQ4_NL:
      return SetScale<IQ4_NLBlock>(deviation, 67.4f, block);
    case DType::kIQ4_XS:
      return SetScale<IQ4_XSBlock>(deviation, 1248.0f, block);
    case DType::kMXFP4:
      return SetExponent(deviation, block);
  }
  IC_CHECK(IsQuantized(dtype));
}

void FillRandomBlocks(DType dtype, float deviation, Rng& random, std::span<std::byte> blocks) {
  for (size_t i = 0; i < blocks.size(); i += sizeof(uint64_t)) {
    const uint64_t bits = random.Next();
    std::memcpy(&blocks[i], &bits, std::min(sizeof(bits), blocks.size() - i));
  }
  for (size_t i = 0; i < blocks.size(); i += BlockBytes(dtype)) {
    SetBlockScales(dtype, deviation, &blocks[i]);
  }
}

}  // namespace infercept
