// Goal: tokens get the experts with the largest scores, with the right weights, and every expert
// the rows that chose it. Method: cases by hand, and random ones against a sort.
#include <algorithm>
#include <cmath>
#include <numeric>

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

TEST(AssignPlaces, PutsTheRowsOfEachExpertSideBySide) {
  std::vector<uint32_t> chosen = {2, 0, 0, 2, 2, 0};
  std::vector<uint32_t> rows(6);
  std::vector<uint32_t> of_choices(6);
  AlignedBytes bounds(ReferenceOps().ExpertBoundsBytes(3, 3, 2));
  ReferenceOps().AssignPlaces({.experts = 3,
                               .used = 2,
                               .chosen = chosen.data(),
                               .rows = rows.data(),
                               .places = of_choices.data(),
                               .bounds = bounds.span().data()},
                              3);
  EXPECT_TRUE(rows == (std::vector<uint32_t>{0, 1, 2, 0, 1, 2}));
  EXPECT_TRUE(of_choices == (std::vector<uint32_t>{3, 0, 1, 4, 5, 2}));
}

// Experts with rows of their own and of all tokens; one without any.
TEST(MatMulExperts, MultipliesRowsByTheMatricesOfTheirExperts) {
  constexpr uint32_t kTokens = 3;
  constexpr uint32_t kColumns = 40;
  constexpr uint32_t kRows = 7;
  const Ops& ops = ReferenceOps();
  Random random(2);
  std::vector<Matrix> matrices;
  std::vector<BiasedMatrix> experts;
  const std::vector<float> bias = random.Activations(kRows);
  for (uint32_t e = 0; e < 4; ++e) {
    matrices.push_back(MakeMatrix(random, DType::kF32, kRows, kColumns));
  }
  for (const Matrix& matrix : matrices) {
    experts.push_back({{DType::kF32, matrix.bytes.data(), kRows, kColumns},
                       experts.size() == 2 ? bias.data() : nullptr});
  }
  std::vector<uint32_t> chosen = {2, 0, 3, 0, 0, 2};
  std::vector<uint32_t> rows(6);
  std::vector<uint32_t> of_choices(6);
  AlignedBytes bounds(ops.ExpertBoundsBytes(kTokens, 4, 2));
  const ExpertPlaces places = {.experts = 4,
                               .used = 2,
                               .chosen = chosen.data(),
                               .rows = rows.data(),
                               .places = of_choices.data(),
                               .bounds = bounds.span().data()};
  ops.AssignPlaces(places, kTokens);
  AlignedBytes scratch(ops.ExpertScratchBytes(kTokens, 2, kColumns) +
                       ops.MatMulScratchBytes(DType::kF32, kTokens, kColumns));
  const std::vector<float> x = random.Activations(6 * kColumns);
  for (const bool of_tokens : {true, false}) {
    std::vector<float> out(6 * kRows, NAN);
    const ExpertProduct product = {experts, out.data()};
    ops.MatMulExperts({.products = {&product, 1},
                       .places = places,
                       .tokens = kTokens,
                       .x = x.data(),
                       .rows = of_tokens ? rows.data() : nullptr},
                      scratch.span(), TestPool());
    for (uint32_t place = 0; place < 6; ++place) {
      const uint32_t expert = place < 3 ? 0 : place < 5 ? 2 : 3;
      const auto from = x.begin() + (of_tokens ? rows[place] : place) * kColumns;
      std::vector<float> expected =
          MatMul(ops, matrices[expert], std::vector<float>(from, from + kColumns), 1);
      for (uint32_t r = 0; r < kRows && expert == 2; ++r) expected[r] += bias[r];
      ExpectSameBits(expected, std::span(out).subspan(place * kRows, kRows),
                     "place " + std::to_string(place));
    }
  }
}

TEST(MixRows, AddsWeightedRows) {
  const std::vector<float> x = {1, 2, 10, 20, 100, 200};
  const uint32_t places[] = {2, 0, 1, 1};
  const float weights[] = {0.5f, 2, 1, 3};
  std::vector<float> out(4, -1.0f);
  ReferenceOps().MixRows({x.data(), places, weights, 2, 2, out.data()}, 2);
  EXPECT_TRUE(out == (std::vector<float>{52, 104, 40, 80}));
}

}  // namespace
}  // namespace infercept::test
