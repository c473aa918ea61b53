// Goal: the CUDA sampler chooses what model/sampler.h chooses. Method: in emulation, in every order
// of threads, the same token for random rows and parameters, and the edges by hand.
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "cuda_support.h"
#include "kernels/cuda/kernels.h"
#include "model/philox.h"
#include "model/sampler.h"
#include "test.h"

namespace infercept::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// One row with everything that decides about it.
struct Problem {
  std::vector<float> logits;
  std::vector<TokenId> context;
  SamplingParams params;
  std::vector<uint32_t> mask;  // empty: all
};

std::vector<SampleResult> SampleOnDevice(const std::vector<Problem>& problems) {
  const size_t vocabulary = problems.front().logits.size();
  const size_t stride = vocabulary + 3;
  std::vector<float> logits(problems.size() * stride, 1000.0f);
  std::vector<SampleRow> rows;
  std::vector<TokenId> recent;
  std::vector<TokenBias> biases;
  std::vector<DeviceArray<uint32_t>> masks;
  uint32_t top_count = 0;
  for (size_t i = 0; i < problems.size(); ++i) {
    const auto& [row_logits, context, params, mask] = problems[i];
    std::copy(row_logits.begin(), row_logits.end(),
              logits.begin() + static_cast<ptrdiff_t>(i * stride));
    SampleRow row = {.temperature = params.temperature,
                     .top_k = params.top_k,
                     .top_p = params.top_p,
                     .min_p = params.min_p,
                     .repetition_penalty = params.repetition_penalty,
                     .presence_penalty = params.presence_penalty,
                     .frequency_penalty = params.frequency_penalty};
    const SampleRequest request = RequestSample(context, params);
    row.recent_first = static_cast<uint32_t>(recent.size());
    row.recent_count = static_cast<uint32_t>(request.recent.size());
    recent.insert(recent.end(), request.recent.begin(), request.recent.end());
    row.bias_first = static_cast<uint32_t>(biases.size());
    row.bias_count = static_cast<uint32_t>(params.logit_bias.size());
    for (const auto& [token, bias] : params.logit_bias) biases.push_back({token, bias});
    row.uniform = request.uniform;
    if (!mask.empty()) row.mask = masks.emplace_back(mask).data();
    row.wants_logprob = params.logprobs >= 0;
    row.top_first = top_count;
    row.top_count = static_cast<uint32_t>(std::max(params.logprobs, 0));
    top_count += row.top_count;
    rows.push_back(row);
  }
  const DeviceArray<float> device_logits(logits);
  const DeviceArray<SampleRow> device_rows(rows);
  const DeviceArray<TokenId> device_recent(recent);
  const DeviceArray<TokenBias> device_biases(biases);
  DeviceArray<float> adjusted(problems.size() * vocabulary, NAN);
  DeviceArray<RowSample> samples(problems.size(), RowSample{-1, NAN});
  DeviceArray<RowSample> top(top_count, RowSample{-2, NAN});
  cuda::Sample(
      {device_logits.data(), stride, static_cast<uint32_t>(vocabulary), device_rows.data(),
       device_recent.data(), device_biases.data(), adjusted.data(), samples.data(), top.data()},
      static_cast<uint32_t>(problems.size()), kNullStream);
  std::vector<SampleResult> results;
  for (const RowSample& sample : samples.Read())
    results.push_back({sample.token, sample.logprob, {}});
  const std::vector<RowSample> all = top.Read();
  for (size_t i = 0; i < rows.size(); ++i) {
    for (uint32_t k = 0; k < rows[i].top_count; ++k) {
      const auto& [token, logprob] = all[rows[i].top_first + k];
      results[i].top.push_back({token, logprob});
    }
  }
  return results;
}

SampleResult SampleOnHost(const Problem& problem) {
  SamplerScratch scratch;
  SampleResult result;
  Sample(problem.logits, RequestSample(problem.context, problem.params), scratch, result);
  return result;
}

// NaN has no place among the most probable tokens of the device: -1 stands where they are fewer.
void ExpectSameTop(const Problem& problem, const std::vector<TokenLogprob>& top,
                   std::vector<TokenLogprob> expected, const std::string& what) {
  std::erase_if(expected, [&](const TokenLogprob& entry) {
    return std::isnan(problem.logits[static_cast<size_t>(entry.token)]);
  });
  expected.resize(top.size(), {-1, 0});
  for (size_t k = 0; k < top.size(); ++k) {
    EXPECT_EQ(top[k].token, expected[k].token) << what << ", place " << k;
    if (std::isfinite(expected[k].logprob)) {
      EXPECT_NEAR(top[k].logprob, expected[k].logprob, 2e-5f) << what << ", place " << k;
    }
  }
}

void ExpectSameChoices(const std::vector<Problem>& problems, const std::string& what) {
  const std::vector<SampleResult> results = SampleOnDevice(problems);
  for (size_t i = 0; i < problems.size(); ++i) {
    const SampleResult expected = SampleOnHost(problems[i]);
    const SamplingParams& params = problems[i].params;
    EXPECT_EQ(results[i].token, expected.token)
        << what << ", row " << i << ", temperature " << params.temperature << ", top-k "
        << params.top_k << ", top-p " << params.top_p << ", min-p " << params.min_p;
    EXPECT_NEAR(results[i].logprob, expected.logprob, 2e-5f) << what << ", row " << i;
    ExpectSameTop(problems[i], results[i].top, expected.top, what + ", row " + std::to_string(i));
  }
}

// Whole numbers every other time: then many logits are equal.
std::vector<float> RandomLogits(Random& random, size_t count, float spread) {
  std::vector<float> logits(count);
  const bool whole = random.Below(2) == 0;
  for (float& logit : logits) {
    logit = random.Bell() * spread;
    if (whole) logit = std::round(logit);
    if (random.Below(100) == 0) logit = random.Below(2) == 0 ? NAN : -kInfinity;
  }
  return logits;
}

Problem RandomProblem(Random& random, uint32_t vocabulary) {
  constexpr float kTemperatures[] = {0, 0.3f, 1, 2};
  constexpr uint32_t kTopKs[] = {0, 1, 2, 40, 1000, 100000};
  constexpr float kTopPs[] = {1, 0.1f, 0.5f, 0.95f, 0.999f};
  constexpr float kMinPs[] = {0, 0.05f, 0.5f};
  Problem problem;
  const float spread = random.Below(3) == 0 ? 0.3f : 3.0f;
  problem.logits = RandomLogits(random, vocabulary, spread);
  for (uint32_t i = random.Below(60); i > 0; --i) {
    problem.context.push_back(static_cast<TokenId>(random.Below(std::min(vocabulary, 40u))));
  }
  SamplingParams& params = problem.params;
  params.temperature = kTemperatures[random.Below(4)];
  params.top_k = kTopKs[random.Below(6)];
  params.top_p = kTopPs[random.Below(5)];
  params.min_p = kMinPs[random.Below(3)];
  params.seed = random.Next();
  constexpr int32_t kLogprobs[] = {-1, 0, 3, 20};
  params.logprobs = kLogprobs[random.Below(4)];
  if (random.Below(3) == 0) {
    params.repetition_penalty = 1.3f;
    params.presence_penalty = 0.5f;
    params.frequency_penalty = 0.25f;
    params.penalty_tokens = 32;
  }
  if (random.Below(3) == 0) params.logit_bias = {{0, 3.0f}, {7, -kInfinity}, {9, 0.5f}};
  return problem;
}

// Around warps, blocks of threads and the candidates that fit.
TEST(CudaSample, ChoosesAsTheHostDoes) {
  ForEachOrder([](const std::string& order) {
    Random random(71);
    for (const uint32_t vocabulary : {10u, 33u, 1024u, 1500u, 5001u, 9000u}) {
      std::vector<Problem> problems;
      const uint32_t rows = vocabulary < 2000 ? 20 : 5;
      for (uint32_t i = 0; i < rows; ++i) problems.push_back(RandomProblem(random, vocabulary));
      ExpectSameChoices(problems, order + ", vocabulary " + std::to_string(vocabulary));
    }
  });
}

// More candidates than fit: the cutoff is looked for among all.
TEST(CudaSample, FlatDistributionsAreCutAmongAll) {
  Random random(72);
  std::vector<Problem> problems;
  for (const uint32_t top_k : {0u, 4500u, 6000u}) {
    for (const float top_p : {0.3f, 0.9f, 1.0f}) {
      Problem problem;
      problem.logits = RandomLogits(random, 8000, 0.05f);
      problem.params.temperature = 1;
      problem.params.top_k = top_k;
      problem.params.top_p = top_p;
      problem.params.seed = random.Next();
      problems.push_back(problem);
    }
  }
  ExpectSameChoices(problems, "flat");
}

TEST(CudaSample, EqualLogitsAreTakenById) {
  for (const uint32_t top_k : {1u, 3u}) {
    std::vector<Problem> problems;
    for (uint64_t seed = 0; seed < 20; ++seed) {
      Problem problem;
      problem.logits.assign(100, 0.0f);
      problem.logits[50] = -0.0f;
      problem.params.temperature = 1;
      problem.params.top_k = top_k;
      problem.params.seed = seed;
      problems.push_back(problem);
    }
    for (const SampleResult& result : SampleOnDevice(problems)) {
      EXPECT_TRUE(result.token >= 0 && result.token < static_cast<TokenId>(top_k));
    }
    ExpectSameChoices(problems, "equal");
  }
}

TEST(CudaSample, NothingToChooseFrom) {
  for (const float temperature : {0.0f, 1.0f}) {
    Problem none;
    none.logits.assign(40, -kInfinity);
    none.params.temperature = temperature;
    Problem infinite = none;
    infinite.logits[7] = kInfinity;
    Problem not_numbers = none;
    not_numbers.logits.assign(40, NAN);
    ExpectSameChoices({none, infinite, not_numbers}, "nothing");
  }
}

TEST(CudaSample, OnlyTokensOfTheMaskFollow) {
  Random random(73);
  std::vector<Problem> problems;
  for (uint32_t i = 0; i < 12; ++i) {
    Problem problem = RandomProblem(random, 70);
    problem.params.logprobs = -1;
    problem.mask = {1u << 5, 0x80000001u, 1u << 3};  // 5, 32, 63, 67
    problems.push_back(problem);
  }
  const std::vector<SampleResult> results = SampleOnDevice(problems);
  for (size_t i = 0; i < problems.size(); ++i) {
    // As if no other logit were there.
    for (size_t token = 0; token < 70; ++token) {
      if (token != 5 && token != 32 && token != 63 && token != 67) {
        problems[i].params.logit_bias.push_back({static_cast<TokenId>(token), -kInfinity});
      }
    }
    EXPECT_EQ(results[i].token, SampleOnHost(problems[i]).token) << "row " << i;
  }
}

TEST(CudaSample, PicksTokensForTheNextStep) {
  constexpr uint32_t kCount = 300;  // more than a block of threads
  std::vector<RowSample> samples;
  std::vector<TokenPick> picks;
  std::vector<TokenId> expected(2 * kCount, -7);
  for (uint32_t i = 0; i < kCount; ++i) {
    samples.push_back({static_cast<TokenId>(1000 + i), 0});
    picks.push_back({2 * i, kCount - 1 - i});
    expected[2 * i] = static_cast<TokenId>(1000 + kCount - 1 - i);
  }
  ForEachOrder([&](const std::string& order) {
    const DeviceArray<RowSample> device_samples(samples);
    const DeviceArray<TokenPick> device_picks(picks);
    DeviceArray<TokenId> target(2 * kCount, -7);
    cuda::PickTokens(device_picks.data(), kCount, device_samples.data(), target.data(),
                     kNullStream);
    EXPECT_TRUE(target.Read() == expected) << order;
  });
}

TEST(CudaSample, WrongShapesThrow) {
  DeviceArray<float> logits(10, 0.0f);
  cuda::SampleCall call{.logits = logits.data(), .logits_stride = 5, .vocabulary = 10};
  EXPECT_THROW(cuda::Sample(call, 1, kNullStream), InternalError);
  call.logits_stride = 10;
  EXPECT_THROW(cuda::Sample(call, 1, kNullStream), InternalError);  // no rows
  cuda::Sample(call, 0, kNullStream);
}

}  // namespace
}  // namespace infercept::test
