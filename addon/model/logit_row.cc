#include "model/logit_row.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <limits>

#include "base/check.h"

namespace infercept {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// Independent results of one loop: four vector registers of any processor.
constexpr size_t kChains = 16;

// 2^y for y in [-126, 0]: 2^n by its exponent, 2^f by the first terms of its power series (with
// |f| <= 0.5 the next one is below 2e-7).
inline float PowerOfTwo(float y) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves no place for a fraction
  const float shifted = y + kRound;
  const float f = y - (shifted - kRound);
  float power = 1.54035304e-4f;
  power = power * f + 1.33335581e-3f;
  power = power * f + 9.61812911e-3f;
  power = power * f + 5.55041087e-2f;
  power = power * f + 2.40226507e-1f;
  power = power * f + 6.93147181e-1f;
  power = power * f + 1.0f;
  const uint32_t exponent = std::bit_cast<uint32_t>(shifted) << 23;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(power) + exponent);
}

constexpr float kLog2E = 1.44269504f;
constexpr float kSmallestPower = -126;  // of normal numbers
// e to it is above 2^kSmallestPower and 1e-37.
constexpr float kSmallestLogit = -85;

}  // namespace

float LargestLogit(std::span<const float> logits) {
  float chains[kChains];
  std::fill_n(chains, kChains, kMinusInfinity);
  const size_t whole = logits.size() / kChains * kChains;
  for (size_t i = 0; i < whole; i += kChains) {
    for (size_t c = 0; c < kChains; ++c) {
      const float logit = logits[i + c];
      chains[c] = logit > chains[c] ? logit : chains[c];
    }
  }
  float largest = kMinusInfinity;
  for (const float logit : chains) largest = std::max(largest, logit);
  for (const float logit : logits.subspan(whole)) largest = logit > largest ? logit : largest;
  return largest;
}

TokenId BestToken(std::span<const float> logits) {
  const auto best = std::ranges::find(logits, LargestLogit(logits));
  return best == logits.end() ? 0 : static_cast<TokenId>(best - logits.begin());
}

void WeighLogits(std::span<const float> logits, float largest, float floor,
                 std::span<float> weights) {
  IC_CHECK(weights.size() == logits.size());
  // What is below is zero, so that no power below comes out wrong.
  const float least = std::max(floor, largest + kSmallestLogit);
  for (size_t i = 0; i < logits.size(); ++i) {
    const float y = (logits[i] - largest) * kLog2E;
    const float power = PowerOfTwo(y > kSmallestPower ? y : kSmallestPower);
    weights[i] = logits[i] >= least ? power : 0.0f;
  }
}

double SumWeights(std::span<const float> weights) {
  double chains[kChains] = {};
  const size_t whole = weights.size() / kChains * kChains;
  for (size_t i = 0; i < whole; i += kChains) {
    for (size_t c = 0; c < kChains; ++c) chains[c] += double{weights[i + c]};
  }
  double sum = 0;
  for (const double chain : chains) sum += chain;
  for (const float weight : weights.subspan(whole)) sum += double{weight};
  return sum;
}

}  // namespace infercept
