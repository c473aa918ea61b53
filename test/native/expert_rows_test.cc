// Goal: tokens get the experts with the largest scores, with the right weights, and every expert
// the rows that chose it. Method: cases by hand, and random ones against a sort.
#include "model/expert_rows.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/ops.h"
#include "ops_support.h"
#include "test.h"

namespace infercept::test {
namespace {

struct Choice {
  std::vector<uint32_t> chosen;
  std::vector<float> weights;
};

Choice Choose(const std::vector<float>& scores, uint32_t experts, uint32_t used, bool normalized) {
  const auto tokens = static_cast<uint32_t>(scores.size()) / experts;
  Choice choice{std::vector<uint32_t>(tokens * used), std::vector<float>(tokens * used)};
  ReferenceOps().ChooseExperts({.scores = scores.data(),
                                .experts = experts,
                                .used = used,
                                .normalized = normalized,
                                .chosen = choice.chosen.data(),
                                .weights = choice.weights.data()},
                               tokens);
  return choice;
}

TEST(ChooseExperts, TakesTheLargestScoresAndOfEqualOnesTheFirst) {
  const Choice choice = Choose({1, 3, 2, 3, 0, 0, 0, 0}, 4, 2, true);
  EXPECT_TRUE(choice.chosen == (std::vector<uint32_t>{1, 3, 0, 1}));
  for (const float weight : choice.weights) EXPECT_EQ(weight, 0.5f);
}

TEST(ChooseExperts, WeightsAreASoftmax) {
  Random random(1);
  const std::vector<float> scores = random.Activations(20 * 9);
  for (const bool normalized : {false, true}) {
    const Choice choice = Choose(scores, 9, 4, normalized);
    for (uint32_t t = 0; t < 20; ++t) {
      const float* row = scores.data() + size_t{t} * 9;
      std::vector<uint32_t> order(9);
      std::iota(order.begin(), order.end(), 0u);
      std::ranges::stable_sort(order, std::greater(), [&](uint32_t e) { return row[e]; });
      double total = 0;
      for (uint32_t i = 0; i < (normalized ? 4u : 9u); ++i) {
        total += std::exp(double{row[order[i]]});
      }
      for (uint32_t i = 0; i < 4; ++i) {
        EXPECT_EQ(choice.chosen[t * 4 + i], order[i]);
        const double expected = std::exp(double{row[order[i]]}) / total;
        EXPECT_LE(std::abs(choice.weights[t * 4 + i] - expected), 1e-6 * expected);
      }
    }
  }
}

TEST(ExpertRows, PutsTheRowsOfEachExpertSideBySide) {
  ExpertRows rows(6, 3);
  const std::vector<uint32_t> chosen = {2, 0, 0, 2, 2, 0};
  std::ranges::copy(chosen, rows.chosen());
  rows.Assign(3, 2);
  const std::vector<uint32_t> begins = {0, 3, 3, 6};
  for (uint32_t e = 0; e < 4; ++e) EXPECT_EQ(rows.begin(e), begins[e]);
  EXPECT_TRUE(std::ranges::equal(rows.rows(), std::vector<TokenId>{0, 1, 2, 0, 1, 2}));
  for (uint32_t i = 0; i < 6; ++i) {
    const uint32_t place = rows.places()[i];
    EXPECT_TRUE(place >= rows.begin(chosen[i]) && place < rows.begin(chosen[i] + 1));
    EXPECT_EQ(rows.rows()[place], static_cast<TokenId>(i / 2));
  }
}

TEST(MixRows, AddsWeightedRows) {
  const std::vector<float> x = {1, 2, 10, 20, 100, 200};
  const uint32_t places[] = {2, 0, 1, 1};
  const float weights[] = {0.5f, 2, 1, 3};
  std::vector<float> out(4, -1.0f);
  ReferenceOps().MixRows(x.data(), places, weights, 2, 2, 2, out.data());
  EXPECT_TRUE(out == (std::vector<float>{52, 104, 40, 80}));
}

}  // namespace
}  // namespace infercept::test
