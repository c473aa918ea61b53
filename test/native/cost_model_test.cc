// CostModel: finds the line behind samples, follows a machine that changes, and shrugs off
// outliers.
#include "sched/cost_model.h"

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

CostModel Calibrated(const CostProfile& truth) {
  std::vector<ForwardSample> forward;
  for (uint32_t query : {1u, 16u, 64u, 256u}) {
    for (uint64_t kv : {0ull, 4096ull, 65536ull}) forward.push_back(Sample(truth, query, kv));
  }
  std::vector<CopySample> out;
  std::vector<CopySample> in;
  for (uint32_t blocks : {1u, 8u, 64u}) {
    out.push_back(
        {blocks, static_cast<Nanos>((truth.copy_start[0] + truth.copy_block[0] * blocks) * 1e9)});
    in.push_back(
        {blocks, static_cast<Nanos>((truth.copy_start[1] + truth.copy_block[1] * blocks) * 1e9)});
  }
  CostModel cost;
  cost.Calibrate(forward, out, in);
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

TEST(CostModel, FollowsAMachineThatBecomesHalfAsFast) {
  CostModel cost = Calibrated(kTruth);
  Rng random(3);
  for (int i = 0; i < 250; ++i) {
    cost.Observe(Sample(kTruth, 1 + random.Below(200), random.Below(60000), 2));
  }
  const double truth =
      2 * (kTruth.step + kTruth.per_query_token * 100 + kTruth.per_kv_token * 30000);
  EXPECT_NEAR(cost.Forward(100, 30000) / truth, 1, 0.05);
  EXPECT_LT(cost.relative_error(), 0.1);
}

TEST(CostModel, OneOutlierMovesLittle) {
  CostModel cost = Calibrated(kTruth);
  const double before = cost.Forward(100, 30000);
  cost.Observe(Sample(kTruth, 100, 30000, 50));
  EXPECT_NEAR(cost.Forward(100, 30000) / before, 1, 0.31);
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

}  // namespace infercept
