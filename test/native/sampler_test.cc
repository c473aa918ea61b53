// Sampling: each parameter by hand, random cases against a sampler that sorts everything, and
// observed frequencies against probabilities.
#include "model/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "base/rng.h"
#include "model/philox.h"
#include "test.h"

namespace infercept {
namespace {

TokenId SampleOne(const std::vector<float>& logits, const std::vector<TokenId>& context,
                  const SamplingParams& params) {
  SamplerScratch scratch;
  SampleResult result;
  Sample(logits, RequestSample(context, params), scratch, result);
  return result.token;
}

// The definition, with a full sort and no cleverness.
TokenId NaiveSample(std::vector<float> logits, const std::vector<TokenId>& context,
                    const SamplingParams& params) {
  for (size_t id = 0; id < logits.size(); ++id) {
    const auto window = std::min<size_t>(context.size(), params.penalty_tokens);
    const auto count = std::count(context.end() - static_cast<ptrdiff_t>(window), context.end(),
                                  static_cast<TokenId>(id));
    if (count == 0) continue;
    logits[id] = logits[id] > 0 ? logits[id] / params.repetition_penalty
                                : logits[id] * params.repetition_penalty;
    logits[id] -= params.presence_penalty;
    logits[id] -= params.frequency_penalty * static_cast<float>(count);
  }
  for (const auto& [token, bias] : params.logit_bias) logits[static_cast<size_t>(token)] += bias;
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const bool greedy = params.temperature == 0;
  if (!greedy)
    for (float& logit : logits) logit /= params.temperature;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  if (greedy) return static_cast<TokenId>(order[0]);
  const double largest = logits[order[0]];
  const auto weight = [&](size_t id) { return std::exp(double{logits[id]} - largest); };
  if (params.top_k > 0) order.resize(std::min<size_t>(order.size(), params.top_k));
  double total = 0;
  for (size_t id : order) total += weight(id);
  std::vector<size_t> kept;
  double sum = 0;
  for (size_t id : order) {
    if (params.top_p < 1 && !kept.empty() && sum >= double{params.top_p} * total) break;
    kept.push_back(id);
    sum += weight(id);
  }
  std::erase_if(kept, [&](size_t id) { return weight(id) < double{params.min_p} * (1 - 1e-6); });
  std::ranges::sort(kept);
  double kept_total = 0;
  for (size_t id : kept) kept_total += weight(id);
  double rest = UniformDraw(params.seed, context.size()) * kept_total;
  for (size_t id : kept) {
    if (rest < weight(id)) return static_cast<TokenId>(id);
    rest -= weight(id);
  }
  return static_cast<TokenId>(kept.back());
}

SamplingParams RandomParams(Rng& random, uint32_t vocabulary) {
  SamplingParams params;
  if (random.Uniform() < 0.9) params.temperature = static_cast<float>(0.2 + 2 * random.Uniform());
  if (random.Uniform() < 0.5) params.top_k = 1 + random.Below(vocabulary + 5);
  if (random.Uniform() < 0.5) params.top_p = static_cast<float>(0.05 + 0.95 * random.Uniform());
  if (random.Uniform() < 0.3) params.min_p = static_cast<float>(0.3 * random.Uniform());
  if (random.Uniform() < 0.3) params.repetition_penalty = static_cast<float>(1 + random.Uniform());
  if (random.Uniform() < 0.3) params.presence_penalty = static_cast<float>(random.Uniform());
  if (random.Uniform() < 0.3) params.frequency_penalty = static_cast<float>(random.Uniform());
  if (random.Uniform() < 0.5) params.penalty_tokens = random.Below(20);
  if (random.Uniform() < 0.3) {
    params.logit_bias = {{static_cast<TokenId>(random.Below(vocabulary)), 3.0f}};
  }
  params.seed = random.Next();
  return params;
}

}  // namespace

TEST(Sampler, GreedyTakesTheFirstOfEqualLogitsAndIgnoresNaN) {
  EXPECT_EQ(SampleOne({1, 3, 3, 2}, {}, {}), 1);
  EXPECT_EQ(SampleOne({std::nanf(""), -2, std::nanf(""), -1}, {}, {}), 3);
}

TEST(Sampler, AppliesBiasAndPenalties) {
  EXPECT_EQ(SampleOne({1, 3, 2}, {}, {.logit_bias = {{0, 5.0f}}}), 0);
  EXPECT_EQ(SampleOne({1, 3, 2}, {1}, {.repetition_penalty = 2.0f}), 2);
  EXPECT_EQ(SampleOne({-1, -3, -1.5f}, {0}, {.repetition_penalty = 2.0f}), 2);
  EXPECT_EQ(SampleOne({1, 3, 2}, {1}, {.presence_penalty = 1.5f}), 2);
  EXPECT_EQ(SampleOne({1, 3, 2}, {1, 1}, {.frequency_penalty = 0.6f}), 2);
  EXPECT_EQ(SampleOne({1, 3, 2}, {1, 0}, {.presence_penalty = 1.5f, .penalty_tokens = 1}), 1);
}

TEST(Sampler, DrawDependsOnSeedAndPositionAlone) {
  const std::vector<float> logits(50, 1.0f);
  const SamplingParams params = {.temperature = 1, .seed = 3};
  const TokenId token = SampleOne(logits, {1, 2, 3}, params);
  EXPECT_EQ(SampleOne(logits, {7, 8, 9}, params), token);
  int differences = 0;
  for (TokenId i = 0; i < 20; ++i) {
    differences +=
        SampleOne(logits, std::vector<TokenId>(static_cast<size_t>(i), 0), params) != token;
  }
  EXPECT_GT(differences, 10);
}

TEST(Sampler, AgreesWithTheSortingSampler) {
  for (uint64_t seed = 0; seed < 5000; ++seed) {
    Rng random(seed);
    // The larger ones have more groups and stretches than one.
    const uint32_t vocabulary = 1 + random.Below(seed % 50 == 0 ? 5000 : 60);
    std::vector<float> logits(vocabulary);
    // Few distinct values, so that ties occur.
    for (float& logit : logits) logit = static_cast<float>(random.Below(40)) * 0.25f - 5.0f;
    std::vector<TokenId> context(random.Below(30));
    for (TokenId& token : context) token = static_cast<TokenId>(random.Below(vocabulary));
    const SamplingParams params = RandomParams(random, vocabulary);
    ASSERT_EQ(SampleOne(logits, context, params), NaiveSample(logits, context, params))
        << "seed " << seed;
  }
}

TEST(Sampler, FrequenciesFollowTheSoftmax) {
  const std::vector<float> logits = {0.0f, 1.0f, 2.0f, -1.0f, 0.5f};
  const SamplingParams params = {.temperature = 1, .seed = 11};
  constexpr int kDraws = 20000;
  const std::vector<TokenId> context(kDraws, 0);
  std::array<int, 5> counts{};
  SamplerScratch scratch;
  SampleResult result;
  for (size_t i = 0; i < kDraws; ++i) {
    Sample(logits, RequestSample(std::span(context).first(i), params), scratch, result);
    ++counts[static_cast<size_t>(result.token)];
  }
  double total = 0;
  for (const float logit : logits) total += std::exp(logit);
  double chi_square = 0;
  for (size_t id = 0; id < counts.size(); ++id) {
    const double expected = kDraws * std::exp(logits[id]) / total;
    chi_square += (counts[id] - expected) * (counts[id] - expected) / expected;
  }
  EXPECT_LT(chi_square, 18.5);  // 99.9 % quantile with 4 degrees of freedom
}

// What is asked for ahead, with the token that was missing, is what is asked for when it is there.
TEST(Sampler, AsksAheadForTheSame) {
  const std::vector<TokenId> context = {4, 8, 15, 16, 23, 42};
  for (const float penalty : {1.0f, 1.5f}) {
    for (uint32_t window = 0; window < 8; ++window) {
      const SamplingParams params = {
          .repetition_penalty = penalty, .penalty_tokens = window, .seed = 3};
      for (size_t known = 0; known < context.size(); ++known) {
        const std::span<const TokenId> all(context);
        const SampleRequest expected = RequestSample(all.first(known + 1), params);
        const SampleRequest ahead = RequestSampleAhead(all.first(known), params);
        std::vector<TokenId> recent(ahead.recent.begin(), ahead.recent.end());
        if (ahead.lacks_newest) recent.push_back(context[known]);
        EXPECT_TRUE(std::ranges::equal(recent, expected.recent)) << "window " << window;
        EXPECT_EQ(ahead.uniform, expected.uniform);
        EXPECT_EQ(recent.empty(), penalty == 1 || window == 0);
      }
    }
  }
}

TEST(Sampler, ReportsTheModelsOwnLogprobs) {
  const std::vector<float> logits = {std::log(0.1f), std::log(0.6f), std::log(0.3f)};
  SamplerScratch scratch;
  SampleResult result;
  const SamplingParams params = {.logit_bias = {{0, 9.0f}}, .logprobs = 2};
  Sample(logits, RequestSample({}, params), scratch, result);
  EXPECT_EQ(result.token, 0);
  EXPECT_NEAR(result.logprob, std::log(0.1), 1e-5);
  ASSERT_EQ(result.top.size(), 2u);
  EXPECT_EQ(result.top[0].token, 1);
  EXPECT_NEAR(result.top[1].logprob, std::log(0.3), 1e-5);
}

}  // namespace infercept
