// A lane's part of packed quantized weights (weight_layout.h), taken apart into fragments of A.
#pragma once

#include "kernels/cuda/device/numbers.cuh"
#include "kernels/cuda/device/vector.cuh"
#include "kernels/cuda/weight_layout.h"

namespace infercept::cuda {

// Scales and minimums of the two rows of a lane, in one chunk.
template <Scales scales>
struct RowScales {
  static constexpr bool kHalves =
      scales == Scales::kHalf || scales == Scales::kHalfMinimum || scales == Scales::kBrain;
  static constexpr uint32_t kFactorBytes = kHalves                            ? 16
                                           : scales == Scales::kByte32        ? 8
                                           : scales == Scales::kByte16Minimum ? 32
                                                                              : 16;

  uint32_t factors[2][kFactorBytes / 4];  // of rows g and g + 8
  uint32_t minimums[2][scales == Scales::kHalfMinimum ? 4 : 1];
  float scale[2];
  float minimum_scale[2];

  __device__ __forceinline__ void Load(const std::byte* from, uint32_t g) {
#pragma unroll
    for (uint32_t half = 0; half < 2; ++half) {
      const uint32_t row = g + 8 * half;
      LoadWords(from + row * kFactorBytes, factors[half]);
      if constexpr (scales == Scales::kHalfMinimum) {
        LoadWords(from + 256 + row * 16, minimums[half]);
      } else if constexpr (HasMinimum(scales)) {
        const auto* halves =
            reinterpret_cast<const F16*>(from + kTileRows * kFactorBytes + row * 4);
        scale[half] = AsFloat(halves[0]);
        minimum_scale[half] = AsFloat(halves[1]);
      } else if constexpr (!kHalves) {
        scale[half] = AsFloat(reinterpret_cast<const F16*>(from + kTileRows * kFactorBytes)[row]);
      }
    }
  }

  // `run`: number of the run of ScaleColumns(scales) columns in the chunk.
  __device__ __forceinline__ float Scale(uint32_t half, uint32_t run) const {
    if constexpr (kHalves) {
      return HalfAt(factors[half], run);
    } else if constexpr (HasMinimum(scales)) {
      return scale[half] * static_cast<float>(ByteAt(factors[half], run));
    } else {
      return scale[half] * static_cast<float>(static_cast<int32_t>(
                               static_cast<int8_t>(ByteAt(factors[half], run))));
    }
  }

  __device__ __forceinline__ float Minimum(uint32_t half, uint32_t run) const {
    if constexpr (scales == Scales::kHalfMinimum) {
      return HalfAt(minimums[half], run);
    } else {
      constexpr uint32_t kRuns = kChunkColumns / ScaleColumns(scales);
      return minimum_scale[half] * static_cast<float>(ByteAt(factors[half], kRuns + run));
    }
  }

 private:
  template <uint32_t words>
  static __device__ __forceinline__ void LoadWords(const std::byte* from, uint32_t (&to)[words]) {
    constexpr uint32_t kAtOnce = words < 4 ? words : 4;
#pragma unroll
    for (uint32_t i = 0; i < words; i += kAtOnce) {
      const auto part = LoadVector<Vector<uint32_t, kAtOnce>>(from + i * 4);
#pragma unroll
      for (uint32_t k = 0; k < kAtOnce; ++k) to[i + k] = part[k];
    }
  }
  template <uint32_t words>
  static __device__ __forceinline__ uint32_t ByteAt(const uint32_t (&from)[words], uint32_t i) {
    return from[i / 4] >> (i % 4 * 8) & 0xFFu;
  }
  template <uint32_t words>
  static __device__ __forceinline__ float HalfAt(const uint32_t (&from)[words], uint32_t i) {
    const auto bits = static_cast<uint16_t>(from[i / 2] >> (i % 2 * 16));
    if constexpr (scales == Scales::kBrain) return AsFloat(static_cast<BF16>(bits));
    return AsFloat(static_cast<F16>(bits));
  }
};

// A lane's codes of `units` neighbouring units: a whole chunk, or a part of one.
template <uint32_t low_bits, uint32_t high_bits, uint32_t zero, uint32_t units = kChunkUnits>
struct Codes {
  static constexpr uint32_t kLow = low_bits * units / 8;    // vectors of 4 words
  static constexpr uint32_t kHigh = high_bits * units / 2;  // words

  Words low[kLow];
  Words high[kHigh <= 4 ? 1 : kHigh / 4];

  __device__ __forceinline__ void Load(const std::byte* chunk, uint32_t lane) {
    static_assert(units == kChunkUnits);
#pragma unroll
    for (uint32_t i = 0; i < kLow; ++i) low[i] = LoadStreaming(chunk + (i * kWarp + lane) * 16);
    if constexpr (kHigh > 0) {
#pragma unroll
      for (uint32_t i = 0; i < kHigh / 4; ++i) {
        high[i] = LoadStreaming(chunk + ((kLow + i) * kWarp + lane) * 16);
      }
    }
  }

  // From shared memory: the low vectors of these units, then the high vector that has theirs, of
  // which they are the `part`th units.
  __device__ __forceinline__ void LoadStaged(const std::byte* staged, uint32_t part,
                                             uint32_t lane) {
#pragma unroll
    for (uint32_t i = 0; i < kLow; ++i) {
      low[i] = LoadVector<Words>(staged + (i * kWarp + lane) * 16);
    }
    if constexpr (kHigh > 0) {
      const auto words = LoadVector<Vector<uint32_t, kHigh>>(staged + (kLow * kWarp + lane) * 16 +
                                                             part % (4 / kHigh) * kHigh * 4);
#pragma unroll
      for (uint32_t i = 0; i < kHigh; ++i) high[0][i] = words[i];
    }
  }

  // Codes less zero of one step of one unit, exact in BF16, as the lane's part of A.
  __device__ __forceinline__ void Fragment(uint32_t unit, uint32_t step, uint32_t (&a)[4]) const {
    if constexpr (low_bits == 8) {
#pragma unroll
      for (uint32_t half = 0; half < 2; ++half) {
        const uint32_t word = 4 * unit + 2 * step + half;
        const uint32_t codes = low[word / 4][word % 4];
        a[half] = PackPair(ByteValue<0>(codes), ByteValue<1>(codes));
        a[half + 2] = PackPair(ByteValue<2>(codes), ByteValue<3>(codes));
      }
    } else {
      const uint32_t word = 2 * unit + step;
      const uint32_t codes = low[word / 4][word % 4];
      // 128 + code: a BF16 with this exponent counts in units.
      constexpr uint32_t kBase = 0x43004300u;
      constexpr uint32_t kZero = kBase + zero * 0x00010001u;
#pragma unroll
      for (uint32_t n = 0; n < 4; ++n) {
        const uint32_t pair = (codes >> (4 * n) & 0x000F000Fu) | HighBits(unit, 4 * step + n);
        a[n] = SubtractPairs(pair | kBase, kZero);
      }
    }
  }

 private:
  // In bits 4 and 5 of both halves.
  __device__ __forceinline__ uint32_t HighBits(uint32_t unit, uint32_t field) const {
    if constexpr (high_bits == 2) {
      const uint32_t bits = high[unit / 4][unit % 4];
      return (field < 2 ? bits << (4 - 2 * field) : bits >> (2 * field - 4)) & 0x00300030u;
    } else if constexpr (high_bits == 1) {
      const uint32_t bits = high[unit / 8][unit / 2 % 4];
      const uint32_t place = unit % 2 * 8 + field;
      return (place < 4 ? bits << (4 - place) : bits >> (place - 4)) & 0x00100010u;
    } else {
      return 0;
    }
  }

  // 2^23 + byte is a float with the byte in its lowest bits.
  template <uint32_t i>
  static __device__ __forceinline__ float ByteValue(uint32_t codes) {
    static_assert(low_bits != 8 || zero == 128);
    return __uint_as_float(__byte_perm(codes, 0x4B000000u, 0x7440u | i)) - (8388608.0f + 128.0f);
  }
};

}  // namespace infercept::cuda
