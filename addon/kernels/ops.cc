#include "kernels/ops.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace infercept {
namespace {

// The largest score that is not chosen yet.
uint32_t BestOfRest(const float* scores, uint32_t experts, std::span<const uint32_t> chosen) {
  uint32_t best = experts;
  for (uint32_t e = 0; e < experts; ++e) {
    if (std::ranges::find(chosen, e) != chosen.end()) continue;
    if (best == experts || scores[e] > scores[best]) best = e;
  }
  IC_CHECK(best < experts);
  return best;
}

}  // namespace

void Ops::ChooseExperts(const ExpertChoice& choice, uint32_t tokens) const {
  const uint32_t used = choice.used;
  IC_CHECK(used > 0 && used <= choice.experts);
  for (size_t t = 0; t < tokens; ++t) {
    const float* scores = choice.scores + t * choice.experts;
    uint32_t* chosen = choice.chosen + t * used;
    for (uint32_t i = 0; i < used; ++i) {
      chosen[i] = BestOfRest(scores, choice.experts, {chosen, i});
    }
    const double largest = scores[chosen[0]];
    double total = 0;
    const uint32_t terms = choice.normalized ? used : choice.experts;
    for (uint32_t i = 0; i < terms; ++i) {
      total += std::exp(scores[choice.normalized ? chosen[i] : i] - largest);
    }
    for (uint32_t i = 0; i < used; ++i) {
      choice.weights[t * used + i] =
          static_cast<float>(std::exp(scores[chosen[i]] - largest) / total);
    }
  }
}

void Ops::MixRows(const float* x, const uint32_t* places, const float* weights, uint32_t used,
                  uint32_t tokens, uint32_t width, float* out) const {
  for (size_t t = 0; t < tokens; ++t) {
    float* row = out + t * width;
    std::fill_n(row, width, 0.0f);
    for (size_t i = t * used; i < (t + 1) * used; ++i) {
      const float* from = x + size_t{places[i]} * width;
      for (uint32_t c = 0; c < width; ++c) row[c] += weights[i] * from[c];
    }
  }
}

void Ops::Sample(const SampleRows&, uint32_t) const { IC_CHECK(false); }

std::span<TokenId> Ops::BoundTokens() const {
  IC_CHECK(false);
  return {};
}

void Ops::PickTokens(const TokenPicks&, std::span<TokenId>) const { IC_CHECK(false); }

}  // namespace infercept
