// CostModel: finds the line behind samples, follows a machine that changes, and shrugs off
// outliers.
#include "sched/cost_model.h"

#include <vector>

#include "base/rng.h"
#include "test.h"

namespace infercept {
namespace {

constexpr CostProfile kTruth{0.010, 46e-6, 0.24e-6, {50e-6, 20e-6}, {700e-6, 650e-6}};

ForwardSample Sample(const CostProfile& truth, uint32_t query, uint64_t kv, double factor = 1) {
  const double seconds =
      truth.step + truth.per_query_token * query + truth.per_kv_token * static_cast<double>(kv);
  return {query, kv, static_cast<Nanos>(seconds * factor * 1e9)};
}

std::vector<ForwardSample> ForwardSamples(const CostProfile& truth) {
  std::vector<ForwardSample> samples;
  for (uint32_t query : {1u, 16u, 64u, 256u}) {
    for (uint64_t kv : {0ull, 4096ull, 65536ull}) samples.push_back(Sample(truth, query, kv));
  }
  return samples;
}

std::vector<CopySample> CopySamples(const CostProfile& truth, size_t direction) {
  std::vector<CopySample> samples;
  for (uint32_t blocks : {1u, 8u, 64u}) {
    const double seconds = truth.copy_start[direction] + truth.copy_block[direction] * blocks;
    samples.push_back({blocks, static_cast<Nanos>(seconds * 1e9)});
  }
  return samples;
}

CostModel Calibrated(const CostProfile& truth) {
  CostModel cost;
  cost.Calibrate(ForwardSamples(truth), CopySamples(truth, 0), CopySamples(truth, 1));
  return cost;
}

}  // namespace

TEST(CostModel, CalibrationFindsTheLine) {
  const CostModel cost = Calibrated(kTruth);
  for (double query : {1.0, 30.0, 200.0}) {
    const double truth = kTruth.step + kTruth.per_query_token * query + kTruth.per_kv_token * 20000;
    EXPECT_NEAR(cost.Forward(query, 20000) / truth, 1, 0.02) << "query " << query;
  }
  EXPECT_NEAR(cost.Copy(CopyDirection::kOut, 32) / (50e-6 + 32 * 700e-6), 1, 0.02);
  EXPECT_NEAR(cost.CopyBlocksWithin(CopyDirection::kIn, 0.0201), 30.0, 1.0);
}

TEST(CostModel, SaturationIsWhereTokensAreTwoThirdsOfTheStep) {
  EXPECT_EQ(CostModel(kTruth).SaturationTokens(), static_cast<uint32_t>(2 * 0.010 / 46e-6));
}

TEST(CostModel, FollowsAMachineThatBecomesHalfAsFastInFortySteps) {
  CostModel cost = Calibrated(kTruth);
  Rng random(3);
  for (int i = 0; i < 40; ++i) {
    cost.Observe(Sample(kTruth, 1 + random.Below(200), random.Below(60000), 2));
  }
  for (double query : {1.0, 100.0}) {
    const double truth =
        2 * (kTruth.step + kTruth.per_query_token * query + kTruth.per_kv_token * 30000);
    EXPECT_NEAR(cost.Forward(query, 30000) / truth, 1, 0.1) << "query " << query;
  }
}

TEST(CostModel, ReportsHowFarOffItsPredictionsAre) {
  CostModel cost = Calibrated(kTruth);
  Rng random(4);
  const auto observe = [&](int steps, double factor) {
    for (int i = 0; i < steps; ++i)
      cost.Observe(Sample(kTruth, 1 + random.Below(200), random.Below(60000), factor));
  };
  observe(100, 1);
  EXPECT_LT(cost.relative_error(), 0.02);
  observe(5, 2);
  EXPECT_GT(cost.relative_error(), 0.05);
  observe(200, 2);
  EXPECT_LT(cost.relative_error(), 0.02);
}

TEST(CostModel, FiveStepsTwentyTimesTooLongMoveLittle) {
  CostModel cost = Calibrated(kTruth);
  const double before = cost.Forward(100, 30000);
  Rng random(5);
  for (int i = 0; i < 100; ++i) {
    cost.Observe(Sample(kTruth, 1 + random.Below(200), random.Below(60000), i % 20 == 19 ? 20 : 1));
    EXPECT_NEAR(cost.Forward(100, 30000) / before, 1, 0.1) << "step " << i;
  }
}

TEST(CostModel, CalibrationForgetsWhatItBeganWith) {
  const CostModel usual = Calibrated(kTruth);
  for (double scale : {1e-6, 1e6}) {
    CostModel cost({scale, scale, scale, {scale, scale}, {scale, scale}});
    cost.Calibrate(ForwardSamples(kTruth), CopySamples(kTruth, 0), CopySamples(kTruth, 1));
    EXPECT_EQ(cost.Forward(100, 30000), usual.Forward(100, 30000));
    EXPECT_EQ(cost.Copy(CopyDirection::kIn, 30), usual.Copy(CopyDirection::kIn, 30));
  }
}

TEST(CostModel, KeepsWhatNoSampleIsAbout) {
  CostModel cost(kTruth);
  cost.Calibrate(ForwardSamples(kTruth), {}, {});
  EXPECT_EQ(cost.Copy(CopyDirection::kOut, 10), CostModel(kTruth).Copy(CopyDirection::kOut, 10));
}

TEST(CostModel, NeverPredictsNegativeTimes) {
  CostModel cost = Calibrated(kTruth);
  Rng random(9);
  for (int i = 0; i < 500; ++i) {
    cost.Observe({1 + random.Below(300), random.Below(90000), 1 + random.Below(50'000'000)});
    EXPECT_GE(cost.Forward(1, 0), 0.0);
    EXPECT_GE(cost.ForwardMarginal(64, 1000), 0.0);
    EXPECT_GE(cost.CopyBlocksWithin(CopyDirection::kOut, 0), 1u);
  }
}

TEST(CostModel, ReadsAContextOncePerTile) {
  CostProfile profile;
  // Each token by itself: 11 + 12 + 13.
  EXPECT_EQ(CostModel(profile).KvReads(10, 3), 36u);
  profile.query_tile = 2;
  // Two tokens together up to 12, the third one up to 13.
  EXPECT_EQ(CostModel(profile).KvReads(10, 3), 25u);
  EXPECT_EQ(CostModel(profile).KvReads(10, 4), 26u);
  EXPECT_EQ(CostModel(profile).KvReads(10, 0), 0u);
  EXPECT_EQ(CostModel(CostModel(profile).profile()).KvReads(10, 1), 11u);
  EXPECT_EQ(CostModel(profile).profile().query_tile, 2u);
}

// Counted tile by tile.
uint64_t CountReads(const CostProfile& profile, uint64_t first, uint64_t count) {
  uint64_t reads = 0;
  for (uint64_t begin = first; begin < first + count; begin += profile.query_tile) {
    const uint64_t end = std::min(begin + profile.query_tile, first + count);
    const uint64_t hidden = begin + 1 - std::min<uint64_t>(begin + 1, profile.window_tokens);
    reads += end - (profile.window_tokens == 0 ? 0 : hidden);
  }
  return reads;
}

TEST(CostModel, AWindowBoundsWhatIsRead) {
  for (const uint32_t tile : {1u, 2u, 5u}) {
    for (const uint32_t window : {0u, 1u, 3u, 8u, 100u}) {
      CostProfile profile;
      profile.query_tile = tile;
      profile.window_tokens = window;
      const CostModel cost(profile);
      for (uint64_t first = 0; first < 14; ++first) {
        for (uint64_t count = 0; count < 12; ++count) {
          ASSERT_EQ(cost.KvReads(first, count), CountReads(profile, first, count))
              << "tile " << tile << " window " << window << " first " << first << " count "
              << count;
        }
      }
      EXPECT_EQ(cost.profile().window_tokens, window);
    }
  }
}

}  // namespace infercept
