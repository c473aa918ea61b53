// WasteAccount: each kind of waste by a world in which only that kind occurs, in byte-seconds that
// one can work out.
#include "sched/waste_account.h"

#include "sched/scheduler.h"
#include "sim/simulation.h"
#include "test.h"

namespace infercept {
namespace {

// 1 s per step, 1 s per query token, blocks of 4 tokens and 8 bytes, copies of 0.25 s.
SimOptions World(PolicyKind policy, uint32_t device_blocks, uint32_t host_blocks) {
  SimOptions options;
  options.profile = {1, 1, 0, {0, 0}, {0.25, 0.25}};
  options.scheduler.kv = {device_blocks, host_blocks, 4, 8, /*prefix_cache=*/false};
  options.scheduler.policy = policy;
  options.scheduler.step_tokens_max = 64;
  options.scheduler.saturation_tokens = 64;
  return options;
}

// Twelve tokens, one decoded, then an hour's interception (nothing returned), one more decoded.
SimSession Interrupted() {
  SimSession session;
  session.prompt_tokens = 12;
  session.segments = {{1, KindId{1}, 3600 * kNanosPerSecond, 0}, {1, KindId{1}, 0, 0}};
  return session;
}

SchedulerStats RunStats(const std::vector<SimSession>& sessions, const SimOptions& options) {
  return Simulate(sessions, options).value().stats;
}

WasteStats Run(const std::vector<SimSession>& sessions, const SimOptions& options) {
  return RunStats(sessions, options).waste;
}

KindWaste OfKind(const SchedulerStats& stats, KindId kind) {
  for (const KindWaste& waste : stats.kinds) {
    if (waste.kind == kind) return waste;
  }
  return {};
}

}  // namespace

TEST(WasteAccount, MemoryThatNobodyWantedIsNotWaste) {
  const WasteStats waste = Run({Interrupted()}, World(PolicyKind::kPreserve, 10, 0));
  // Three blocks of 8 bytes for an hour, while nothing else was runnable.
  EXPECT_NEAR(waste.paused_unwanted, 3 * 8 * 3600.0, 1);
  EXPECT_NEAR(waste.paper_preserved, 3 * 8 * 3600.0, 1);
  EXPECT_EQ(waste.preserved_idle, 0.0);
  EXPECT_EQ(waste.wasted(), 0.0);
}

TEST(WasteAccount, PausedMemoryIsWasteWhileSomebodyIsRefused) {
  // The second session decodes in what is left; the third wants more than that and may not take it.
  SimSession decoding;
  decoding.arrival = 20 * kNanosPerSecond;
  decoding.prompt_tokens = 1;
  decoding.segments = {{3, KindId{1}, 0, 0}};
  SimSession refused = decoding;
  refused.arrival += 1;
  refused.prompt_tokens = 12;
  const WasteStats waste =
      Run({Interrupted(), decoding, refused}, World(PolicyKind::kPreserve, 6, 0));
  EXPECT_GT(waste.preserved_idle, 0.0);
  // Three paused blocks during the two or three steps of 2 s that the second session took.
  EXPECT_LE(waste.preserved_idle, 3 * 8 * 3 * 2.0);
}

TEST(WasteAccount, RecomputeHoldsEverybodysMemory) {
  const WasteStats waste = Run({Interrupted()}, World(PolicyKind::kDiscard, 10, 0));
  // Thirteen tokens in one step of 14 s, twelve of them for the second time, in four blocks.
  EXPECT_NEAR(waste.recompute, 14.0 * 12 / 13 * 4 * 8, 1e-6);
}

TEST(WasteAccount, SynchronousSwapStalls) {
  const WasteStats waste = Run({Interrupted()}, World(PolicyKind::kSwap, 10, 10));
  EXPECT_EQ(waste.recompute, 0.0);
  // Bringing three blocks back takes 0.75 s during which they can not be used.
  EXPECT_NEAR(waste.stall, 0.75 * 3 * 8, 1e-6);
}

TEST(WasteAccount, BlamesTheKindThatWasWaitedFor) {
  SimSession other = Interrupted();
  other.arrival = 7200 * kNanosPerSecond;
  other.segments[0].kind = KindId{2};
  other.segments[0].duration /= 2;
  const SchedulerStats kept = RunStats({Interrupted(), other}, World(PolicyKind::kPreserve, 10, 0));
  EXPECT_NEAR(OfKind(kept, KindId{1}).paused_unwanted, 3 * 8 * 3600.0, 1);
  EXPECT_NEAR(OfKind(kept, KindId{2}).paused_unwanted, 3 * 8 * 1800.0, 1);
  const SchedulerStats discarded =
      RunStats({Interrupted(), other}, World(PolicyKind::kDiscard, 10, 0));
  EXPECT_NEAR(OfKind(discarded, KindId{2}).recompute, 14.0 * 12 / 13 * 4 * 8, 1e-6);
  const SchedulerStats swapped = RunStats({Interrupted(), other}, World(PolicyKind::kSwap, 10, 10));
  EXPECT_NEAR(OfKind(swapped, KindId{1}).stall, 0.75 * 3 * 8, 1e-6);
  EXPECT_NEAR(OfKind(swapped, KindId{2}).stall, 0.75 * 3 * 8, 1e-6);
}

// Nobody else was there: preserving would have cost nothing, and who discarded regrets it all.
TEST(WasteAccount, CountsInterceptionsAndTheirRegretByKind) {
  const auto at = [](Disposition disposition) { return static_cast<size_t>(disposition); };
  const KindWaste kept =
      OfKind(RunStats({Interrupted()}, World(PolicyKind::kPreserve, 10, 0)), KindId{1});
  EXPECT_EQ(kept.interceptions[at(Disposition::kPreserve)], 1u);
  EXPECT_EQ(kept.regret[at(Disposition::kPreserve)], 0.0);
  const KindWaste discarded =
      OfKind(RunStats({Interrupted()}, World(PolicyKind::kDiscard, 10, 0)), KindId{1});
  EXPECT_EQ(discarded.interceptions[at(Disposition::kDiscard)], 1u);
  // Twelve tokens of 2 bytes and one second each; half of them are there on average.
  EXPECT_NEAR(discarded.regret[at(Disposition::kDiscard)], 12.0 * 6 * 2, 1e-6);
}

// Two sequences decode until one has to give way to the other: no interception is to blame.
TEST(WasteAccount, PreemptionsAreNoKindsFault) {
  SimSession first;
  first.prompt_tokens = 8;
  first.segments = {{16, KindId{1}, 0, 0}};
  SimSession second = first;
  second.arrival = 1;
  const SchedulerStats stats = RunStats({first, second}, World(PolicyKind::kAdaptive, 6, 0));
  EXPECT_GT(stats.preemptions, 0u);
  EXPECT_GT(stats.waste.recompute, 0.0);
  EXPECT_NEAR(OfKind(stats, kPreemptionKind).recompute, stats.waste.recompute, 1e-6);
}

}  // namespace infercept
