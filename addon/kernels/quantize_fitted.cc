#include "kernels/quantize_fitted.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace infercept {
namespace {

// Sums run in this many lanes, so that the compiler can use vectors without changing the order of
// additions: the results are the same on every machine.
constexpr uint32_t kLanes = 8;

using Lanes = float[kLanes];

float Total(const Lanes& lanes) {
  float total = 0;
  for (const float lane : lanes) total += lane;
  return total;
}

// NaN becomes lowest.
float Clamp(float value, float lowest, float highest) {
  const float above = value > lowest ? value : lowest;
  return above < highest ? above : highest;
}

// To the nearest whole number: at 1.5 * 2^23 the unit in the last place is 1. REQUIRES:
// |value| < 2^22.
float Nearest(float value) {
  constexpr float kShift = 0x1.8p23f;
  return (value + kShift) - kShift;
}

float Inverse(float scale) { return scale == 0 ? 0.0f : 1 / scale; }

template <uint32_t kCount>
float PeakOf(const float* x) {
  float peak = 0;
  for (uint32_t i = 0; i < kCount; ++i) {
    if (std::abs(x[i]) > std::abs(peak)) peak = x[i];
  }
  return peak;
}

// The three ways from a value in units of the scale to a code. Level: what the code stands for.

// Levels 0 to highest: their own codes.
struct Unsigned {
  float highest;
  float Level(float value) const { return Clamp(Nearest(value), 0, highest); }
};

// Levels -lowest to lowest - 1.
struct Signed {
  float lowest;
  float Level(float value) const { return Clamp(Nearest(value), -lowest, lowest - 1); }
};

// The code of the level that is nearest to (i - 256) / 2 + 1/4. No middle between two levels is
// inside of a half, so that this is right for the whole half.
constexpr std::array<uint8_t, 512> MakeIq4Codes() {
  std::array<uint8_t, 512> codes = {};
  for (int i = 0; i < 512; ++i) {
    const int quarters = 2 * (i - 256) + 1;
    int code = 0;
    while (code < 15 && 2 * quarters > 4 * (kIq4Values[code] + kIq4Values[code + 1])) ++code;
    codes[static_cast<size_t>(i)] = static_cast<uint8_t>(code);
  }
  return codes;
}
constexpr std::array<uint8_t, 512> kIq4Codes = MakeIq4Codes();

struct Iq4 {
  static uint8_t Code(float value) {
    return kIq4Codes[static_cast<size_t>(Clamp(2 * value + 256, 0, 511))];
  }
  float Level(float value) const { return static_cast<float>(kIq4Values[Code(value)]); }
};

// Sums over a run for one candidate.
struct Moments {
  float levels;   // sum of level
  float squares;  // sum of level^2
  float product;  // sum of level * x
};

template <uint32_t kCount, typename Grid>
Moments MomentsOf(const float* x, float lowest, float inverse, const Grid& grid) {
  float level[kCount];  // One short loop per sum: the compiler makes vectors of these.
  for (uint32_t i = 0; i < kCount; ++i) level[i] = grid.Level((x[i] - lowest) * inverse);
  Lanes levels = {};
  Lanes squares = {};
  Lanes product = {};
  for (uint32_t i = 0; i < kCount; i += kLanes) {
    for (uint32_t lane = 0; lane < kLanes; ++lane) levels[lane] += level[i + lane];
    for (uint32_t lane = 0; lane < kLanes; ++lane)
      squares[lane] += level[i + lane] * level[i + lane];
    for (uint32_t lane = 0; lane < kLanes; ++lane) product[lane] += level[i + lane] * x[i + lane];
  }
  return {Total(levels), Total(squares), Total(product)};
}

// Sum of (x - (scale * level - minimum))^2 with the nearest levels.
template <uint32_t kCount, typename Grid>
float ErrorOf(const float* x, float scale, float minimum, const Grid& grid) {
  const float inverse = Inverse(scale);
  Lanes errors = {};
  for (uint32_t i = 0; i < kCount; i += kLanes) {
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      const float level = grid.Level((x[i + lane] + minimum) * inverse);
      const float error = x[i + lane] - (scale * level - minimum);
      errors[lane] += error * error;
    }
  }
  return Total(errors);
}

// x = scale * level, fitted. peaks: the levels that the value of the largest magnitude is tried at.
template <uint32_t kCount, typename Grid, size_t kPeaks>
float FitScale(const float* x, const std::array<float, kPeaks>& peaks, const Grid& grid) {
  const float peak = PeakOf<kCount>(x);
  if (peak == 0) return 0;
  float best = 0;
  float most = 0;
  for (const float level : peaks) {
    const Moments sums = MomentsOf<kCount>(x, 0, level / peak, grid);
    // The best scale for these levels takes product^2 / squares off the sum of x^2.
    const float gain = sums.product * sums.product * Inverse(sums.squares);
    if (!(gain > most)) continue;
    most = gain;
    best = sums.product / sums.squares;
  }
  return best;
}

// x = scale * level - minimum.
struct AffineFit {
  float scale = 0;
  float minimum = 0;  // never negative: the formats have no sign for it
  float gain = 0;     // what the fit takes off the sum of x^2
};

// The best fit for given levels: linear least squares in two unknowns; where the minimum would be
// negative, in one.
template <uint32_t kCount>
AffineFit Solve(const Moments& sums, float total) {
  constexpr float kValues = static_cast<float>(kCount);
  const float determinant = kValues * sums.squares - sums.levels * sums.levels;
  if (determinant > 0) {
    const float scale = (kValues * sums.product - total * sums.levels) / determinant;
    const float offset = (total - scale * sums.levels) / kValues;
    if (offset <= 0) return {scale, -offset, scale * sums.product + offset * total};
  }
  const float scale = sums.product * Inverse(sums.squares);
  return {scale, 0, scale * sums.product};
}

// Scales are tried that put the largest value at so many codes beyond the highest one: the last
// ones clip it, the first one leaves codes unused. Twice as many lower the error by less than 1 %.
constexpr float kAffineSteps[] = {-0.9f, -0.4f, 0.1f, 0.6f, 1.2f};

template <uint32_t kCount>
AffineFit FitAffine(const float* x, const Unsigned& grid) {
  float lowest = 0;
  float highest = x[0];
  Lanes sums = {};
  for (uint32_t i = 0; i < kCount; ++i) {
    lowest = std::min(lowest, x[i]);
    highest = std::max(highest, x[i]);
    sums[i % kLanes] += x[i];
  }
  if (!(highest > lowest)) return {0, -lowest, 0};
  const float total = Total(sums);
  AffineFit best;
  for (const float step : kAffineSteps) {
    const float inverse = (grid.highest + step) / (highest - lowest);
    const AffineFit fit = Solve<kCount>(MomentsOf<kCount>(x, lowest, inverse, grid), total);
    if (fit.gain > best.gain) best = fit;
  }
  return best;
}

// A block of affine runs, its scales as they are stored.
template <uint32_t kRuns>
struct AffineBlock {
  static constexpr uint32_t kCount = 256 / kRuns;
  HalfBytes scale;
  HalfBytes minimum;
  uint8_t scales[kRuns];
  uint8_t minimums[kRuns];
  uint8_t codes[256];
};

// Of the rounded inner scale and minimum of a run, and their neighbours, those with the least
// error.
template <uint32_t kRuns>
void RoundInner(const float* x, const AffineFit& fit, float inner_highest, const Unsigned& grid,
                uint32_t run, AffineBlock<kRuns>& block) {
  const float scale = block.scale.Load();
  const float minimum = block.minimum.Load();
  const float scale_at = Nearest(Clamp(fit.scale * Inverse(scale), 0, inner_highest));
  const float minimum_at = Nearest(Clamp(fit.minimum * Inverse(minimum), 0, inner_highest));
  float least = HUGE_VALF;
  for (float s = std::max(0.0f, scale_at - 1); s <= std::min(inner_highest, scale_at + 1); ++s) {
    for (float m = std::max(0.0f, minimum_at - 1); m <= std::min(inner_highest, minimum_at + 1);
         ++m) {
      const float error = ErrorOf<AffineBlock<kRuns>::kCount>(x, scale * s, minimum * m, grid);
      if (!(error < least)) continue;
      least = error;
      block.scales[run] = static_cast<uint8_t>(s);
      block.minimums[run] = static_cast<uint8_t>(m);
    }
  }
}

template <uint32_t kRuns>
AffineBlock<kRuns> FitAffineBlock(const float* x, float highest, float inner_highest) {
  constexpr uint32_t kCount = AffineBlock<kRuns>::kCount;
  const Unsigned grid = {highest};
  AffineBlock<kRuns> block = {};
  AffineFit fits[kRuns];
  float scale = 0;
  float minimum = 0;
  for (uint32_t run = 0; run < kRuns; ++run) {
    fits[run] = FitAffine<kCount>(x + run * kCount, grid);
    scale = std::max(scale, fits[run].scale);
    minimum = std::max(minimum, fits[run].minimum);
  }
  block.scale.Store(scale / inner_highest);
  block.minimum.Store(minimum / inner_highest);
  for (uint32_t run = 0; run < kRuns; ++run) {
    const float* values = x + run * kCount;
    RoundInner(values, fits[run], inner_highest, grid, run, block);
    const float inverse = Inverse(block.scale.Load() * static_cast<float>(block.scales[run]));
    const float run_minimum = block.minimum.Load() * static_cast<float>(block.minimums[run]);
    for (uint32_t i = 0; i < kCount; ++i) {
      block.codes[run * kCount + i] =
          static_cast<uint8_t>(grid.Level((values[i] + run_minimum) * inverse));
    }
  }
  return block;
}

// Run scales of one sign or the other, in units of a common scale.
template <uint32_t kRuns>
struct ScaledRuns {
  HalfBytes scale;
  int32_t scales[kRuns];
};

float Product(const HalfBytes& common, int32_t scale) {
  return common.Load() * static_cast<float>(scale);
}

// Inner scales from -inner_lowest to inner_lowest - 1.
template <uint32_t kRuns, typename Grid, size_t kPeaks>
ScaledRuns<kRuns> FitRuns(const float* x, const std::array<float, kPeaks>& peaks, const Grid& grid,
                          float inner_lowest) {
  constexpr uint32_t kCount = 256 / kRuns;
  const Signed inner = {inner_lowest};
  ScaledRuns<kRuns> runs = {};
  float fits[kRuns];
  for (uint32_t run = 0; run < kRuns; ++run)
    fits[run] = FitScale<kCount>(x + run * kCount, peaks, grid);
  runs.scale.Store(PeakOf<kRuns>(fits) / -inner_lowest);
  const float scale = runs.scale.Load();
  for (uint32_t run = 0; run < kRuns; ++run) {
    const float at = inner.Level(fits[run] * Inverse(scale));
    float least = HUGE_VALF;
    for (float s = std::max(-inner_lowest, at - 1); s <= std::min(inner_lowest - 1, at + 1); ++s) {
      const float error = ErrorOf<kCount>(x + run * kCount, scale * s, 0, grid);
      if (!(error < least)) continue;
      least = error;
      runs.scales[run] = static_cast<int32_t>(s);
    }
  }
  return runs;
}

// Levels that the value of the largest magnitude is tried at. Beyond the last level it is clipped;
// before it, codes stay unused. Twice as many lower the error by less than 1 %.
constexpr std::array<float, 5> kQ3Peaks = {-3.0f, -3.4f, -3.8f, -4.2f, -4.6f};
constexpr std::array<float, 5> kQ6Peaks = {-31.0f, -31.5f, -32.0f, -32.5f, -33.0f};
// The levels are not symmetric, so that either end may take the largest value.
constexpr std::array<float, 8> kIq4Peaks = {-144, -132, -120, -108, 98, 110, 122, 134};

// Puts a code where RunCode of dequantize.cc reads it. REQUIRES: the bits there are zero.
template <uint32_t kBits>
void PutRunCode(uint8_t* codes, uint32_t c, uint32_t code) {
  constexpr uint32_t kShared = 8 / kBits;
  const uint32_t run = c / 32;
  uint8_t& byte = codes[run / kShared * 32 + c % 32];
  byte = static_cast<uint8_t>(byte | (code & ((1u << kBits) - 1)) << (run % kShared * kBits));
}

// As RunScale and RunMinimum read them.
void PutRunScales(const AffineBlock<8>& fitted, uint8_t scales[12]) {
  for (uint32_t run = 0; run < 4; ++run) {
    const uint32_t scale = fitted.scales[run + 4];
    const uint32_t minimum = fitted.minimums[run + 4];
    scales[run] = static_cast<uint8_t>(fitted.scales[run] | scale >> 4 << 6);
    scales[run + 4] = static_cast<uint8_t>(fitted.minimums[run] | minimum >> 4 << 6);
    scales[run + 8] = static_cast<uint8_t>((scale & 15) | (minimum & 15) << 4);
  }
}

// A signed code as the unsigned one that is `offset` larger.
uint32_t Shifted(float level, float offset) { return static_cast<uint32_t>(level + offset); }

void PackIq4Run(const float* x, float scale, uint8_t codes[16]) {
  const float inverse = Inverse(scale);
  for (uint32_t i = 0; i < 16; ++i) {
    codes[i] =
        static_cast<uint8_t>(Iq4::Code(x[i] * inverse) | Iq4::Code(x[16 + i] * inverse) << 4);
  }
}

}  // namespace

void QuantizeBlock(const float* x, Q2_KBlock& block) {
  const AffineBlock<16> fitted = FitAffineBlock<16>(x, 3, 15);
  block = {.scales = {}, .codes = {}, .scale = fitted.scale, .minimum = fitted.minimum};
  for (uint32_t run = 0; run < 16; ++run) {
    block.scales[run] = static_cast<uint8_t>(fitted.scales[run] | fitted.minimums[run] << 4);
  }
  for (uint32_t c = 0; c < 256; ++c) PutRunCode<2>(block.codes, c, fitted.codes[c]);
}

void QuantizeBlock(const float* x, Q3_KBlock& block) {
  const Signed grid = {4};
  const ScaledRuns<16> runs = FitRuns<16>(x, kQ3Peaks, grid, 32);
  block = {.high = {}, .codes = {}, .scales = {}, .scale = runs.scale};
  for (uint32_t run = 0; run < 16; ++run) {
    const auto code = static_cast<uint32_t>(runs.scales[run] + 32);
    uint8_t& low = block.scales[run % 8];
    uint8_t& high = block.scales[8 + run % 4];
    low = static_cast<uint8_t>(low | (code & 15) << (run / 8 * 4));
    high = static_cast<uint8_t>(high | code >> 4 << (run / 4 * 2));
  }
  for (uint32_t c = 0; c < 256; ++c) {
    const uint32_t code =
        Shifted(grid.Level(x[c] * Inverse(Product(runs.scale, runs.scales[c / 16]))), 4);
    PutRunCode<2>(block.codes, c, code);
    PutRunCode<1>(block.high, c, code >> 2);
  }
}

void QuantizeBlock(const float* x, Q4_KBlock& block) {
  const AffineBlock<8> fitted = FitAffineBlock<8>(x, 15, 63);
  block = {.scale = fitted.scale, .minimum = fitted.minimum, .scales = {}, .codes = {}};
  PutRunScales(fitted, block.scales);
  for (uint32_t c = 0; c < 256; ++c) PutRunCode<4>(block.codes, c, fitted.codes[c]);
}

void QuantizeBlock(const float* x, Q5_KBlock& block) {
  const AffineBlock<8> fitted = FitAffineBlock<8>(x, 31, 63);
  block = {.scale = fitted.scale, .minimum = fitted.minimum, .scales = {}, .high = {}, .codes = {}};
  PutRunScales(fitted, block.scales);
  for (uint32_t c = 0; c < 256; ++c) {
    PutRunCode<4>(block.codes, c, fitted.codes[c]);
    PutRunCode<1>(block.high, c, fitted.codes[c] >> 4);
  }
}

void QuantizeBlock(const float* x, Q6_KBlock& block) {
  const Signed grid = {32};
  const ScaledRuns<16> runs = FitRuns<16>(x, kQ6Peaks, grid, 128);
  block = {.codes = {}, .high = {}, .scales = {}, .scale = runs.scale};
  for (uint32_t run = 0; run < 16; ++run) block.scales[run] = static_cast<int8_t>(runs.scales[run]);
  for (uint32_t c = 0; c < 256; ++c) {
    const uint32_t code =
        Shifted(grid.Level(x[c] * Inverse(Product(runs.scale, runs.scales[c / 16]))), 32);
    uint8_t& low = block.codes[c / 128 * 64 + c % 64];
    low = static_cast<uint8_t>(low | (code & 15) << (c % 128 / 64 * 4));
    PutRunCode<2>(block.high, c, code >> 4);
  }
}

void QuantizeBlock(const float* x, IQ4_NLBlock& block) {
  block.scale.Store(FitScale<32>(x, kIq4Peaks, Iq4()));
  PackIq4Run(x, block.scale.Load(), block.codes);
}

void QuantizeBlock(const float* x, IQ4_XSBlock& block) {
  const ScaledRuns<8> runs = FitRuns<8>(x, kIq4Peaks, Iq4(), 32);
  block = {.scale = runs.scale, .scales_high = {}, .scales_low = {}, .codes = {}};
  for (uint32_t run = 0; run < 8; ++run) {
    const auto code = static_cast<uint32_t>(runs.scales[run] + 32);
    uint8_t& low = block.scales_low[run / 2];
    uint8_t& high = block.scales_high[run / 4];
    low = static_cast<uint8_t>(low | (code & 15) << (run % 2 * 4));
    high = static_cast<uint8_t>(high | code >> 4 << (run % 4 * 2));
    PackIq4Run(x + 32 * run, Product(runs.scale, runs.scales[run]), block.codes + 16 * run);
  }
}

}  // namespace infercept
