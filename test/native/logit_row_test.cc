// Goal: the vector loops over logits against the standard library, at every length, with NaN and
// infinities among the numbers.
#include "model/logit_row.h"

#include <cmath>
#include <limits>
#include <vector>

#include "base/rng.h"
#include "test.h"

namespace infercept {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

}  // namespace

TEST(LogitRow, BestTokenIsTheFirstOfTheLargest) {
  for (size_t size = 1; size < 70; ++size) {
    for (size_t best = 0; best < size; ++best) {
      std::vector<float> logits(size, -kInfinity);
      if (best > 0) logits[best - 1] = std::nanf("");
      logits[best] = -3;
      if (best + 1 < size) logits.back() = -3;
      EXPECT_EQ(BestToken(logits), static_cast<TokenId>(best));
    }
  }
  EXPECT_EQ(BestToken(std::vector<float>(20, -kInfinity)), 0);
  EXPECT_EQ(BestToken(std::vector<float>(20, std::nanf(""))), 0);
}

TEST(LogitRow, WeightsAreExponentials) {
  Rng random(1);
  std::vector<float> logits(10000);
  for (float& logit : logits) logit = static_cast<float>(100 * random.Uniform()) - 70;
  logits[0] = -kInfinity;
  logits[1] = std::nanf("");
  logits[2] = 30;
  const float floor = -50;
  std::vector<float> weights(logits.size());
  WeighLogits(logits, 30, floor, weights);
  double sum = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double exact = logits[i] >= floor ? std::exp(double{logits[i]} - 30) : 0;
    sum += exact;
    EXPECT_LE(std::abs(weights[i] - exact), 1e-5 * exact) << logits[i];
  }
  EXPECT_EQ(weights[2], 1.0f);
  EXPECT_LE(std::abs(SumWeights(weights) - sum), 1e-6 * sum);
  EXPECT_EQ(SumWeights(std::vector<float>(37, 0.5f)), 18.5);
}

// Far below the largest there is nothing, not a wrong exponent.
TEST(LogitRow, TinyWeightsAreZero) {
  const std::vector<float> logits = {0, -84, -86, -90, -1e30f, -kInfinity};
  std::vector<float> weights(logits.size());
  WeighLogits(logits, 0, -kInfinity, weights);
  EXPECT_GT(weights[1], 0.0f);
  for (size_t i = 2; i < weights.size(); ++i) EXPECT_EQ(weights[i], 0.0f);
}

}  // namespace infercept
