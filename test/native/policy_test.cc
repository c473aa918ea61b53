// Policies and waste formulas, by literals: no scheduler, no time.
#include "sched/policy.h"

#include "sched/waste.h"
#include "test.h"

namespace infercept {
namespace {

constexpr CostProfile kProfile{0.010, 50e-6, 0, {0, 0}, {1e-3, 1e-3}};

PausedContext Context(uint32_t id, uint32_t blocks, double elapsed, double residual) {
  PausedContext context;
  context.seq = SeqId{id};
  context.device_blocks = blocks;
  context.block_tokens = 16;
  context.tokens = blocks * 16;
  context.elapsed_seconds = elapsed;
  context.residual_seconds = residual;
  return context;
}

StepLoad Load() {
  StepLoad load;
  load.saturation_tokens = 400;
  load.running_tokens = 10000;
  load.swap_out_blocks = 10;
  load.host_blocks_free = 1000;
  load.bytes_per_token = 100;
  return load;
}

std::vector<Decision> Decide(PolicyKind kind, std::vector<PausedContext> paused,
                             const StepLoad& load) {
  std::vector<Decision> decisions;
  PolicyFunction(kind)(paused, load, CostModel(kProfile), decisions);
  return decisions;
}

}  // namespace

TEST(Waste, FollowsTheEquations) {
  const CostModel cost(kProfile);
  const PausedContext context = Context(1, 20, 0, 3);  // 320 tokens
  EXPECT_NEAR(WastePreserve(context, 3, Load()), 3 * 320 * 100.0, 1e-6);
  EXPECT_NEAR(WasteDiscard(context, Load(), cost), 320 * 50e-6 * (160 + 10000) * 100, 1e-6);
  // 20 blocks do not fit into a budget of 10: out and in stall 10,000 tokens for 40 ms.
  EXPECT_NEAR(WasteSwap(context, 10, Load(), cost), 0.040 * 10000 * 100, 1e-6);
  EXPECT_EQ(WasteSwap(context, 20, Load(), cost), 0.0);
}

// A window of 320 tokens that 3,200 came before: it holds 320, copies 320, and recomputes all,
// while no more than 320 are held.
TEST(Waste, AWindowHoldsLittleAndIsComputedAgainFromTheBeginning) {
  CostProfile profile = kProfile;
  profile.window_tokens = 320;
  const CostModel cost(profile);
  PausedContext context = Context(1, 20, 0, 3);
  context.tokens = 3520;
  context.released_blocks = 200;
  EXPECT_NEAR(WastePreserve(context, 3, Load()), 3 * 320 * 100.0, 1e-6);
  EXPECT_NEAR(WasteSwap(context, 10, Load(), cost), 0.040 * 10000 * 100, 1e-6);
  const double held = 320.0 - 320.0 * 320 / (2 * 3520);
  EXPECT_NEAR(WasteDiscard(context, Load(), cost), 3520 * 50e-6 * (held + 10000) * 100, 1e-6);
}

TEST(Policy, NamesParseBack) {
  for (PolicyKind kind : {PolicyKind::kDiscardRequeue, PolicyKind::kAdaptive}) {
    EXPECT_TRUE(ParsePolicy(PolicyName(kind)) == kind);
  }
  EXPECT_FALSE(ParsePolicy("greedy").has_value());
}

TEST(Policy, BaselinesDoTheSameToEverybody) {
  const std::vector<PausedContext> paused = {Context(1, 5, 0, 1), Context(2, 0, 0, 1)};
  EXPECT_EQ(Decide(PolicyKind::kDiscard, paused, Load()).size(), 1u);
  EXPECT_TRUE(Decide(PolicyKind::kSwap, paused, Load())[0].disposition == Disposition::kSwap);
  EXPECT_TRUE(Decide(PolicyKind::kPreserve, paused, Load()).empty());
}

// §4.3: the largest waste is swapped first; once the budget is used up each one compares preserve
// with discard.
TEST(Policy, InferceptSwapsTheLargestWasteAndWeighsTheRest) {
  const std::vector<PausedContext> paused = {Context(1, 10, 0.001, 9), Context(2, 10, 100, 9),
                                             Context(3, 8, 100, 9)};
  const auto decisions = Decide(PolicyKind::kInfercept, paused, Load());
  ASSERT_EQ(decisions.size(), 2u);
  EXPECT_TRUE(decisions[0].seq == SeqId{2} && decisions[0].disposition == Disposition::kSwap);
  EXPECT_TRUE(decisions[1].seq == SeqId{3} && decisions[1].disposition == Disposition::kDiscard);
}

TEST(Policy, InferceptWritesOutAPartWhenTheBudgetIsSmall) {
  const auto decisions = Decide(PolicyKind::kInfercept, {Context(1, 30, 100, 9)}, Load());
  ASSERT_EQ(decisions.size(), 1u);
  EXPECT_EQ(decisions[0].blocks, 10u);
}

TEST(Policy, AdaptiveGivesUpOnlyWhatIsMissingLongestResidualFirst) {
  std::vector<PausedContext> paused = {Context(1, 10, 0, 1), Context(2, 10, 0, 60)};
  for (PausedContext& context : paused) context.backed_blocks = 10;
  StepLoad load = Load();
  load.backed_blocks = 20;
  EXPECT_TRUE(Decide(PolicyKind::kAdaptive, paused, load).empty());
  load.shortage_blocks = 4;
  const auto decisions = Decide(PolicyKind::kAdaptive, paused, load);
  ASSERT_EQ(decisions.size(), 1u);
  EXPECT_TRUE(decisions[0].seq == SeqId{2} && decisions[0].disposition == Disposition::kSwap);
  EXPECT_EQ(decisions[0].blocks, 4u);
}

TEST(Policy, AdaptiveDiscardsOnlyWithoutHostMemoryAndOnlyWhatWaitsLong) {
  StepLoad load = Load();
  load.shortage_blocks = 100;
  load.host_blocks_free = 0;
  const auto decisions =
      Decide(PolicyKind::kAdaptive, {Context(1, 10, 0, 0.001), Context(2, 10, 0, 60)}, load);
  ASSERT_EQ(decisions.size(), 1u);
  EXPECT_TRUE(decisions[0].seq == SeqId{2} && decisions[0].disposition == Disposition::kDiscard);
}

// What is on the host already leaves without the link; what the link has left prepares the next.
TEST(Policy, AdaptiveTakesBackedBlocksAndCopiesAhead) {
  PausedContext backed = Context(1, 10, 0, 60);
  backed.backed_blocks = 6;
  StepLoad load = Load();
  load.shortage_blocks = 8;
  load.ahead_blocks = 100;
  load.swap_out_blocks = 5;
  load.backed_blocks = 6;
  const auto decisions = Decide(PolicyKind::kAdaptive, {Context(2, 10, 0, 1), backed}, load);
  ASSERT_EQ(decisions.size(), 2u);
  EXPECT_TRUE(decisions[0].seq == SeqId{1} && decisions[0].disposition == Disposition::kSwap);
  EXPECT_EQ(decisions[0].blocks, 6u);
  EXPECT_EQ(decisions[0].ahead, 4u);
  EXPECT_TRUE(decisions[1].disposition == Disposition::kPreserve);
  EXPECT_EQ(decisions[1].blocks, 0u);
  EXPECT_EQ(decisions[1].ahead, 1u);  // what is left of the link
}

TEST(Policy, AdaptiveNeverDiscardsToPrepare) {
  StepLoad load = Load();
  load.ahead_blocks = 100;
  load.host_blocks_free = 0;
  EXPECT_TRUE(Decide(PolicyKind::kAdaptive, {Context(1, 10, 0, 60)}, load).empty());
}

// Who is on the host and stays away longest makes room for who comes back sooner.
TEST(Policy, AdaptiveGivesUpOnTheFullHostWhoReturnsLast) {
  PausedContext away = Context(1, 0, 0, 600);
  away.tokens = 160;
  away.host_blocks = 10;
  StepLoad load = Load();
  load.shortage_blocks = load.ahead_blocks = load.host_room_blocks = 4;
  load.host_blocks_free = 0;
  const auto decisions = Decide(PolicyKind::kAdaptive, {Context(2, 10, 0, 60), away}, load);
  ASSERT_EQ(decisions.size(), 2u);
  EXPECT_TRUE(decisions[0].seq == SeqId{1} && decisions[0].disposition == Disposition::kDiscard);
  EXPECT_EQ(decisions[0].blocks, 4u);
  EXPECT_TRUE(decisions[1].seq == SeqId{2});
  EXPECT_EQ(decisions[1].ahead, 4u);
}

// A context that is back before its blocks could be brought back stays where it is.
TEST(Policy, AdaptiveMovesNobodyWhoReturnsBeforeTheLinkIsFree) {
  PausedContext context = Context(1, 10, 0, 0.5);  // Bringing it back takes 10 ms.
  context.backed_blocks = 10;
  StepLoad load = Load();
  load.shortage_blocks = 4;
  load.backed_blocks = 10;
  EXPECT_EQ(Decide(PolicyKind::kAdaptive, {context}, load).size(), 1u);
  load.returning_blocks = 500;
  EXPECT_TRUE(Decide(PolicyKind::kAdaptive, {context}, load).empty());
}

}  // namespace infercept
