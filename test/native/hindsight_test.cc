// What an interception cost and would have cost, by literals: no scheduler, no time.
#include "sched/hindsight.h"

#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "test.h"

namespace infercept {
namespace {

// 50 us per token, 2 ms to bring a block back.
constexpr CostProfile kProfile{0.010, 50e-6, 0, {0, 0}, {1e-3, 2e-3}};

// 320 tokens in 20 blocks that were all its own; work was refused for 3 s of it.
PastInterception Past() {
  PastInterception past;
  past.context_tokens = 320;
  past.own_blocks = 20;
  past.refused_seconds = 3;
  return past;
}

// The same, with all blocks on the device all the time.
PastInterception Kept() {
  PastInterception past = Past();
  past.held_refused = 3 * 20;
  return past;
}

// All were given up at once, and others used them.
PastInterception GivenUp() {
  PastInterception past = Past();
  past.given_wanted = 3 * 20;
  return past;
}

HindsightLoad Load() {
  HindsightLoad load;
  load.other_tokens = 10000;
  load.bytes_per_token = 100;
  load.block_tokens = 16;
  load.host_blocks = 20;
  return load;
}

Hindsight Look(const PastInterception& past, const HindsightLoad& load = Load()) {
  return LookBack(past, load, CostModel(kProfile));
}

constexpr double kWholeContext = 320 * 100.0;  // bytes
constexpr double kDiscardWaste = 320 * 50e-6 * (160 + 10000) * 100;
constexpr double kSwapWaste = 20 * 2e-3 * kWholeContext / 2;

}  // namespace

// Of 320 tokens a window of 64 was kept: all are computed again, while no more than 64 are held.
TEST(Hindsight, AWindowIsComputedAgainFromTheBeginning) {
  PastInterception past = GivenUp();
  past.released_blocks = 16;
  past.own_blocks = 4;
  CostProfile profile = kProfile;
  profile.window_tokens = 64;
  const Hindsight hindsight = LookBack(past, Load(), CostModel(profile));
  const double held = 64.0 - 64.0 * 64 / (2 * 320);
  EXPECT_NEAR(hindsight.discard, 320 * 50e-6 * (held + 10000) * 100, 1e-6);
  EXPECT_NEAR(hindsight.swap, 4 * 2e-3 * 64 * 100 / 2, 1e-6);
}

TEST(Hindsight, AlternativesFollowTheFormulas) {
  for (const PastInterception& past : {Kept(), GivenUp()}) {
    const Hindsight hindsight = Look(past);
    EXPECT_NEAR(hindsight.preserve, 3 * kWholeContext, 1e-6);
    EXPECT_NEAR(hindsight.swap, kSwapWaste, 1e-6);
    EXPECT_NEAR(hindsight.discard, kDiscardWaste, 1e-6);
  }
}

TEST(Hindsight, WhoeverKeptAllWastedWhatPreservingWastes) {
  const Hindsight hindsight = Look(Kept());
  EXPECT_NEAR(hindsight.waste, hindsight.preserve, 1e-6);
  EXPECT_NEAR(hindsight.regret, hindsight.preserve - kSwapWaste, 1e-6);
}

TEST(Hindsight, KeepingIsFreeWhileNobodyWantsTheMemory) {
  PastInterception past = Past();
  past.refused_seconds = 0;
  EXPECT_EQ(Look(past).regret, 0.0);
  // But who discarded computes for nothing.
  past.recompute_tokens = 320;
  const Hindsight hindsight = Look(past);
  EXPECT_EQ(hindsight.preserve, 0.0);
  EXPECT_NEAR(hindsight.waste, kDiscardWaste, 1e-6);
  EXPECT_NEAR(hindsight.regret, kDiscardWaste, 1e-6);
}

TEST(Hindsight, DiscardingWasRightWhereNothingElseWasBetter) {
  PastInterception past = GivenUp();
  past.given_wanted = 3600 * 20;
  past.recompute_tokens = 320;
  HindsightLoad load = Load();
  load.host_blocks = 19;
  const Hindsight hindsight = Look(past, load);
  EXPECT_TRUE(std::isinf(hindsight.swap));
  EXPECT_EQ(hindsight.regret, 0.0);
}

TEST(Hindsight, ChargesWhatCopiesWereChargedAndWhatStayedMeanwhile) {
  PastInterception past = Past();
  past.held_refused = 1.5 * 20;  // Half of the time; then it was given up, and nobody used it.
  past.copy_waste = 1000;
  const Hindsight hindsight = Look(past);
  EXPECT_NEAR(hindsight.waste, 1.5 * kWholeContext + 1000, 1e-6);
  EXPECT_NEAR(hindsight.preserve, 1.5 * kWholeContext, 1e-6);
}

// Five blocks are somebody else's as well: they stay whatever is done about this context.
TEST(Hindsight, SharedBlocksCostNothing) {
  PastInterception past = Kept();
  past.own_blocks = 15;
  past.shared_blocks = 5;
  const Hindsight kept = Look(past);
  EXPECT_NEAR(kept.preserve, 3 * 240 * 100.0, 1e-6);
  EXPECT_NEAR(kept.waste, kept.preserve, 1e-6);
  EXPECT_NEAR(kept.discard, 240 * 50e-6 * (120 + 10000) * 100, 1e-6);
  past.held_refused = 3 * 5;
  EXPECT_NEAR(Look(past).waste, 0, 1e-6);
}

TEST(Hindsight, RegretIsNeverNegativeNorMoreThanTheWaste) {
  Rng random(1);
  for (int i = 0; i < 10000; ++i) {
    PastInterception past;
    past.context_tokens = random.Below(1000);
    past.own_blocks = random.Below(70);
    past.shared_blocks = random.Below(10);
    past.refused_seconds = random.Below(4) * 0.1 * random.Below(100);
    past.held_refused = past.refused_seconds * random.Below(80);
    past.given_wanted = random.Below(2) * 0.1 * random.Below(1000);
    past.copy_waste = random.Below(2) * 1e3 * random.Below(100);
    past.recompute_tokens = random.Below(2) * random.Below(past.context_tokens + 1);
    past.recompute_first = past.context_tokens - past.recompute_tokens;
    HindsightLoad load = Load();
    load.other_tokens = random.Below(10000);
    load.host_blocks = random.Below(70);
    const Hindsight hindsight = Look(past, load);
    ASSERT_TRUE(hindsight.regret >= 0 && hindsight.regret <= hindsight.waste) << "case " << i;
    const double best = std::min({hindsight.preserve, hindsight.swap, hindsight.discard});
    ASSERT_TRUE(hindsight.waste - hindsight.regret <= best + 1e-9 * hindsight.waste)
        << "case " << i;
  }
}

}  // namespace infercept
