// The scheduler under virtual time: random worlds, every policy, integrity after every step, and
// everybody finishes.
#include "sched/scheduler.h"

#include "base/rng.h"
#include "plan_checker.h"
#include "sim/sim_executor.h"
#include "sim/simulation.h"
#include "test.h"

namespace infercept {
namespace {

constexpr PolicyKind kPolicies[] = {PolicyKind::kDiscardRequeue, PolicyKind::kDiscard,
                                    PolicyKind::kPreserve,       PolicyKind::kSwap,
                                    PolicyKind::kInfercept,      PolicyKind::kAdaptive};

SimOptions SmallWorld(PolicyKind policy, uint32_t device_blocks, uint32_t host_blocks) {
  SimOptions options;
  options.scheduler.kv.device_blocks = device_blocks;
  options.scheduler.kv.host_blocks = host_blocks;
  options.scheduler.kv.block_tokens = 4;
  options.scheduler.kv.block_bytes = 1024;
  options.scheduler.policy = policy;
  options.scheduler.context_tokens_max = 1000;
  options.scheduler.step_tokens_max = 64;
  options.check_integrity = true;
  return options;
}

std::vector<SimSession> RandomSessions(Rng& random, uint32_t count, uint32_t tokens_max) {
  std::vector<SimSession> sessions(count);
  for (SimSession& session : sessions) {
    session.arrival = random.Below(20) * 1'000'000;
    session.prompt_tokens = 1 + random.Below(tokens_max / 2);
    session.prefix = random.Below(2);
    session.prefix_tokens = random.Below(session.prompt_tokens + 1);
    session.priority = static_cast<int32_t>(random.Below(2));
    uint32_t context = session.prompt_tokens;
    for (;;) {
      SimSegment segment;
      segment.decode_tokens = 1 + random.Below(8);
      segment.kind = KindId{1 + random.Below(3)};
      segment.duration = static_cast<Nanos>(random.Below(4) * random.Below(10'000'000));
      segment.returned_tokens = random.Below(10);
      context += segment.decode_tokens + segment.returned_tokens;
      if (context >= tokens_max) break;
      session.segments.push_back(segment);
    }
    if (session.segments.empty()) session.segments.emplace_back();
  }
  return sessions;
}

}  // namespace

TEST(Scheduler, RandomWorldsFinishUnderEveryPolicy) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Rng random(seed);
    const uint32_t device_blocks = 10 + random.Below(60);
    const uint32_t host_blocks = random.Below(2) * random.Below(60);
    const auto sessions = RandomSessions(random, 1 + random.Below(24), device_blocks * 4 - 1);
    for (PolicyKind policy : kPolicies) {
      SimOptions options = SmallWorld(policy, device_blocks, host_blocks);
      options.scheduler.kv.prefix_cache = random.Below(4) > 0;
      PlanChecker checker(sessions, options.scheduler.kv, /*copies_first=*/seed % 2 == 0);
      options.on_plan = [&](const StepPlan& plan) { checker.Execute(plan); };
      const Result<SimReport> report = Simulate(sessions, options);
      ASSERT_TRUE(report.ok()) << "seed " << seed << " " << PolicyName(policy) << " "
                               << report.status().DebugString();
      for (const SimSessionReport& session : report.value().sessions) {
        ASSERT_TRUE(session.finished >= 0) << "seed " << seed << " " << PolicyName(policy);
      }
      const SchedulerStats& stats = report.value().stats;
      ASSERT_EQ(stats.device_blocks_free + stats.device_blocks_cached, device_blocks);
      ASSERT_EQ(stats.host_blocks_free, host_blocks);
    }
  }
}

TEST(Scheduler, IsDeterministic) {
  Rng random(5);
  const auto sessions = RandomSessions(random, 20, 100);
  const SimOptions options = SmallWorld(PolicyKind::kAdaptive, 30, 30);
  const SimReport first = std::move(Simulate(sessions, options)).Take();
  const SimReport second = std::move(Simulate(sessions, options)).Take();
  EXPECT_EQ(first.steps, second.steps);
  EXPECT_EQ(first.virtual_time, second.virtual_time);
  EXPECT_EQ(first.stats.swapped_out_blocks, second.stats.swapped_out_blocks);
}

// A context of 900 tokens in a pool for 60, under every policy: no plan uses more, all of it is
// computed, and one that fits beside it is served, too.
TEST(Scheduler, AWindowedContextOutgrowsThePool) {
  for (PolicyKind policy : kPolicies) {
    std::vector<SimSession> sessions(2);
    sessions[0].prompt_tokens = 600;
    sessions[0].segments = {{20, KindId{1}, kNanosPerSecond, 200}, {79, kUnknownKind, 0, 0}};
    sessions[1].arrival = kNanosPerSecond / 2;
    sessions[1].prompt_tokens = 100;
    sessions[1].segments = {{10, kUnknownKind, 0, 0}};
    SimOptions options = SmallWorld(policy, 15, 15);
    options.scheduler.kv.window_tokens = 24;
    uint32_t least_available = 15;
    options.on_plan = [&](const StepPlan& plan) {
      for (size_t i = 0; i < plan.slices.size(); ++i) {
        const auto table = plan.block_tables[i];
        const auto live = std::ranges::count_if(table, [](BlockId id) { return id != kNoBlock; });
        least_available = std::min(least_available, 15 - static_cast<uint32_t>(live));
      }
    };
    const Result<SimReport> report = Simulate(sessions, options);
    ASSERT_TRUE(report.ok()) << report.status().DebugString();
    EXPECT_EQ(report.value().sessions[0].output_tokens, 99u);
    EXPECT_GE(report.value().sessions[1].finished, 0);
    EXPECT_LE(report.value().stats.recomputed_tokens, 620u) << PolicyName(policy);
    EXPECT_LT(least_available, 10u);
  }
}

// A pool that a window does not fit into keeps all, and so contexts are no longer than it.
TEST(Scheduler, AWindowLargerThanThePoolBoundsContexts) {
  SchedulerConfig config = SmallWorld(PolicyKind::kAdaptive, 15, 0).scheduler;
  // Of 57 positions one is sure that 15 blocks hold them, wherever they begin: 53 and a block's.
  config.kv.window_tokens = 54;
  EXPECT_EQ(Scheduler(config, CostModel()).context_tokens_max(), 60u);
  config.kv.window_tokens = 53;
  EXPECT_EQ(Scheduler(config, CostModel()).context_tokens_max(), 1000u);
}

// Every session pauses at once for long while the pool is full of paused contexts, and a newcomer
// needs all of it.
TEST(Scheduler, AllPausedAndFullDoesNotBlockANewcomer) {
  for (PolicyKind policy : kPolicies) {
    std::vector<SimSession> sessions(4);
    for (uint32_t i = 0; i < 3; ++i) {
      sessions[i].prompt_tokens = 30;
      sessions[i].segments = {{2, KindId{1}, 3600 * kNanosPerSecond, 1}, {1, KindId{1}, 0, 0}};
    }
    sessions[3].arrival = kNanosPerSecond;
    sessions[3].prompt_tokens = 90;
    sessions[3].segments.resize(1);
    const Result<SimReport> report = Simulate(sessions, SmallWorld(policy, 25, 0));
    ASSERT_TRUE(report.ok());
    EXPECT_LT(report.value().sessions[3].finished, kNanosPerSecond) << PolicyName(policy);
  }
}

TEST(Scheduler, AdaptiveLeavesContextsAloneWhileMemorySuffices) {
  std::vector<SimSession> sessions(1);
  sessions[0].prompt_tokens = 40;
  sessions[0].segments = {{2, KindId{1}, kNanosPerSecond, 4}, {3, KindId{1}, 0, 0}};
  const Result<SimReport> report = Simulate(sessions, SmallWorld(PolicyKind::kAdaptive, 25, 25));
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report.value().stats.swapped_out_blocks, 0u);
  EXPECT_EQ(report.value().stats.recomputed_tokens, 0u);
  EXPECT_EQ(report.value().stats.Interceptions(Disposition::kPreserve), 1u);
}

// One grows until there is no room for the other one, which comes back from the host, a block per
// step: with as many blocks as are free it need not wait.
TEST(Scheduler, WhatFitsComesBackBeforeTheRestDoes) {
  std::vector<SimSession> sessions(2);
  sessions[0].prompt_tokens = 40;
  sessions[0].segments = {{40, kUnknownKind, 0, 0}};
  sessions[1].prompt_tokens = 40;
  sessions[1].arrival = 1;
  sessions[1].segments = {{2, KindId{1}, kNanosPerSecond / 4, 4}, {3, kUnknownKind, 0, 0}};
  SimOptions options = SmallWorld(PolicyKind::kAdaptive, 25, 25);
  options.scheduler.kv.prefix_cache = false;
  options.profile.step = options.profile.copy_block[0] = options.profile.copy_block[1] = 0.01;
  options.wishes = {std::nullopt, Disposition::kSwap};
  const auto finished = [&](bool partial_return) {
    options.scheduler.ideas.partial_return = partial_return;
    const SimReport report = std::move(Simulate(sessions, options)).Take();
    EXPECT_EQ(report.stats.swapped_in_blocks, 11u);
    return report.sessions[1].finished;
  };
  EXPECT_LT(finished(true) + 5 * kNanosPerSecond / 100, finished(false));
}

TEST(Scheduler, DiscardRecomputesOnlyWhatWasReallyTaken) {
  std::vector<SimSession> sessions(1);
  sessions[0].prompt_tokens = 40;
  sessions[0].segments = {{2, KindId{1}, kNanosPerSecond, 4}, {3, KindId{1}, 0, 0}};
  SimOptions options = SmallWorld(PolicyKind::kDiscard, 25, 0);
  SimReport report = std::move(Simulate(sessions, options)).Take();
  // 41 tokens were computed; ten full blocks are still in the cache, one token is not.
  EXPECT_EQ(report.stats.recomputed_tokens, 1u);
  options.scheduler.kv.prefix_cache = false;
  report = std::move(Simulate(sessions, options)).Take();
  EXPECT_EQ(report.stats.recomputed_tokens, 41u);
}

TEST(Scheduler, RefusesWhatCanNeverFit) {
  Scheduler scheduler(SmallWorld(PolicyKind::kAdaptive, 4, 0).scheduler, CostModel());
  EXPECT_EQ(scheduler.Submit(SeqId{1}, std::vector<TokenId>(16), 0, false, 0).code(),
            StatusCode::kOutOfMemory);
  EXPECT_EQ(scheduler.Submit(SeqId{1}, std::vector<TokenId>(1000), 0, false, 0).code(),
            StatusCode::kContextTooLong);
  EXPECT_EQ(scheduler.Submit(SeqId{1}, {}, 0, false, 0).code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(scheduler.Submit(SeqId{1}, std::vector<TokenId>(15), 0, false, 0).ok());
}

// One step in which every sequence that samples goes on with `outcome`. The sequences of its plan.
static std::vector<SeqId> Step(Scheduler& scheduler, Outcome outcome, Nanos now) {
  StepResult result;
  std::vector<SeqId> planned;
  for (const Slice& slice : scheduler.Plan(now).slices) {
    planned.push_back(slice.seq);
    if (slice.sample) result.sampled.push_back({slice.seq, 7, outcome});
  }
  scheduler.Commit(result, now);
  scheduler.CheckIntegrity();
  return planned;
}

// Looking at each of many in each step would take longer than the step.
TEST(Scheduler, OfManyContextsThoseThatStayAwayLongestGiveWay) {
  constexpr uint32_t kContexts = 300;
  SchedulerConfig config = SmallWorld(PolicyKind::kAdaptive, 700, 700).scheduler;
  config.context_tokens_max = 1000;
  Scheduler scheduler(config, CostModel());
  for (uint32_t i = 0; i < kContexts; ++i) {
    ASSERT_TRUE(
        scheduler.Submit(SeqId{i}, std::vector<TokenId>(5, static_cast<TokenId>(i)), 0, false, i)
            .ok());
    Step(scheduler, Outcome::kPause, i);
    InterceptionFacts facts;
    facts.remaining = (i + 1) * kNanosPerSecond;
    ASSERT_TRUE(scheduler.Mark(SeqId{i}, facts, i).ok());
  }
  EXPECT_EQ(scheduler.kv().available(), 100u);
  ASSERT_TRUE(scheduler.Submit(SeqId{kContexts}, std::vector<TokenId>(700, 1), 0, false, 400).ok());
  for (Nanos now = 400; scheduler.Find(SeqId{kContexts})->computed < 700; ++now) {
    ASSERT_TRUE(now < 1000);
    Step(scheduler, Outcome::kContinue, now);
  }
  uint32_t moved = 0;
  for (uint32_t i = 0; i < kContexts; ++i) {
    const BlockTable& table = scheduler.Find(SeqId{i})->blocks;
    EXPECT_EQ(table.size(), 2u);                                // Nobody is discarded...
    EXPECT_TRUE(table.missing() == 0 || i >= kContexts - 128);  // ... nor moved who returns soon.
    moved += table.missing();
  }
  // 175 blocks were wanted; 100 were free, and one holds what context 1 begins with, too.
  EXPECT_GE(moved, 74u);
}

TEST(Scheduler, AForkQueuesBehindWhoWasThereBefore) {
  SchedulerConfig config = SmallWorld(PolicyKind::kPreserve, 40, 0).scheduler;
  config.slices_max = 1;
  Scheduler scheduler(config, CostModel());
  ASSERT_TRUE(scheduler.Submit(SeqId{5}, std::vector<TokenId>(4), 0, true, 100).ok());
  Step(scheduler, Outcome::kPause, 101);
  ASSERT_TRUE(scheduler.Submit(SeqId{6}, std::vector<TokenId>(4), 0, false, 102).ok());
  ASSERT_TRUE(scheduler.Fork(SeqId{5}, SeqId{3}, 103).ok());
  ASSERT_TRUE(scheduler.Resume(SeqId{3}, std::vector<TokenId>(2), false, 104).ok());
  EXPECT_EQ(Step(scheduler, Outcome::kContinue, 105).front(), SeqId{6});
}

// Blocks of one token: a younger sequence takes one in every step, the link frees one in every
// step, and the oldest misses one.
TEST(Scheduler, NobodyYoungerTakesWhatTheOldestWaitsFor) {
  SchedulerConfig config = SmallWorld(PolicyKind::kPreserve, 40, 40).scheduler;
  config.kv.block_tokens = 1;
  config.kv.prefix_cache = false;
  CostProfile profile;
  profile.copy_block = {1, 1};  // seconds: one block in a step
  Scheduler scheduler(config, CostModel(profile));
  ASSERT_TRUE(scheduler.Submit(SeqId{0}, std::vector<TokenId>(20), 0, true, 0).ok());
  Step(scheduler, Outcome::kPause, 1);
  ASSERT_TRUE(scheduler.Submit(SeqId{1}, std::vector<TokenId>(5), 0, false, 2).ok());
  Step(scheduler, Outcome::kContinue, 3);
  ASSERT_TRUE(scheduler.Submit(SeqId{2}, std::vector<TokenId>(16), 1, false, 4).ok());
  EXPECT_EQ(scheduler.kv().available(), 15u);
  EXPECT_TRUE(Step(scheduler, Outcome::kContinue, 5).empty());
  EXPECT_EQ(Step(scheduler, Outcome::kContinue, 6).front(), SeqId{2});
}

TEST(Scheduler, ReleaseInEveryStateFreesEveryBlock) {
  const SchedulerConfig config = SmallWorld(PolicyKind::kAdaptive, 16, 8).scheduler;
  for (int steps = 0; steps < 8; ++steps) {
    std::vector<SimSession> sessions(2);
    sessions[0].prompt_tokens = sessions[1].prompt_tokens = 20;
    sessions[0].segments = {{2, KindId{1}, 0, 1}, {2, KindId{1}, 0, 0}};
    sessions[1].segments.resize(1);
    SimExecutor executor(sessions, {});
    Scheduler scheduler(config, CostModel());
    ASSERT_TRUE(scheduler.Submit(SeqId{0}, std::vector<TokenId>(20, 1), 0, true, 0).ok());
    ASSERT_TRUE(scheduler.Submit(SeqId{1}, std::vector<TokenId>(20, 2), 0, false, 0).ok());
    for (int i = 0; i < steps; ++i) {
      StepResult result;
      const StepPlan& plan = scheduler.Plan(i);
      if (plan.empty()) break;
      ASSERT_TRUE(executor.Execute(plan, result).ok());
      scheduler.Commit(result, i);
    }
    for (const Sequence* sequence : scheduler.Sequences()) {
      EXPECT_TRUE(scheduler.Release(sequence->id).ok());
      scheduler.CheckIntegrity();
    }
    EXPECT_EQ(scheduler.kv().available(), 16u);
    EXPECT_EQ(scheduler.kv().host_free(), 8u);
  }
}

namespace {

// One step, of sequences that all pause if they sample.
void StepAndPause(Scheduler& scheduler, Nanos& now) {
  const StepPlan& plan = scheduler.Plan(now);
  StepResult result;
  for (const Slice& slice : plan.slices) {
    if (slice.sample) result.sampled.push_back({slice.seq, 1, Outcome::kPause, {}, {}});
  }
  result.compute = result.total = kNanosPerSecond;
  now += result.total;
  scheduler.Commit(result, now);
  scheduler.TakeEvents();
}

// What is decided about what has just paused, `elapsed` later.
DecisionEvent DecideAfter(Scheduler& scheduler, Nanos elapsed, Nanos& now) {
  now += elapsed;
  scheduler.Plan(now);
  for (const SchedulerEvent& event : scheduler.TakeEvents()) {
    if (const auto* decision = std::get_if<DecisionEvent>(&event)) return *decision;
  }
  return {};
}

}  // namespace

TEST(Scheduler, DecisionsTellWhatTheyWereMadeFrom) {
  using Source = WaitEstimate::Source;
  Scheduler scheduler(SmallWorld(PolicyKind::kAdaptive, 25, 7).scheduler, CostModel());
  Nanos now = 0;
  const auto pause_another = [&](uint32_t seq) {
    // Distinct tokens: no blocks are shared.
    const std::vector<TokenId> prompt(8, static_cast<TokenId>(seq));
    EXPECT_TRUE(scheduler.Submit(SeqId{seq}, prompt, 0, false, now).ok());
    StepAndPause(scheduler, now);
  };
  pause_another(1);
  const DecisionEvent unknown = DecideAfter(scheduler, 2 * kNanosPerSecond, now);
  EXPECT_TRUE(unknown.estimate.source == Source::kElapsed);
  EXPECT_NEAR(unknown.estimate.elapsed_seconds, 2, 1e-9);
  EXPECT_NEAR(unknown.estimate.expected_seconds, 2, 1e-9);
  EXPECT_NEAR(unknown.decision.waste_preserve, 2 * 2 * 1024.0, 1e-6);
  EXPECT_EQ(unknown.pressure.device_free, 23u);
  EXPECT_EQ(unknown.pressure.device_available, 23u);
  EXPECT_EQ(unknown.pressure.shortage, 0u);
  EXPECT_EQ(unknown.pressure.host_free, 7u);
  EXPECT_GT(unknown.pressure.copy_budget, 0u);

  pause_another(2);
  EXPECT_TRUE(scheduler.Mark(SeqId{2}, {{}, 5 * kNanosPerSecond, {}}, now).ok());
  const DecisionEvent announced = DecideAfter(scheduler, 2 * kNanosPerSecond, now);
  EXPECT_TRUE(announced.estimate.source == Source::kAnnounced);
  EXPECT_NEAR(announced.estimate.expected_seconds, 3, 1e-9);
  EXPECT_EQ(announced.pressure.device_free, 21u);

  EXPECT_TRUE(scheduler.Resume(SeqId{1}, std::vector<TokenId>(1, 1), false, now).ok());
  StepAndPause(scheduler, now);
  const DecisionEvent learned = DecideAfter(scheduler, kNanosPerSecond, now);
  EXPECT_TRUE(learned.estimate.source == Source::kLearned);
}

TEST(Scheduler, ThePapersRuleExpectsAsLongAsItHasLasted) {
  Scheduler scheduler(SmallWorld(PolicyKind::kInfercept, 25, 25).scheduler, CostModel());
  Nanos now = 0;
  EXPECT_TRUE(scheduler.Submit(SeqId{1}, std::vector<TokenId>(8, 1), 0, false, now).ok());
  StepAndPause(scheduler, now);
  EXPECT_TRUE(scheduler.Mark(SeqId{1}, {{}, 500 * kNanosPerSecond, {}}, now).ok());
  const DecisionEvent event = DecideAfter(scheduler, 3 * kNanosPerSecond, now);
  EXPECT_TRUE(event.decision.disposition == Disposition::kSwap);
  EXPECT_EQ(event.decision.blocks, 2u);
  EXPECT_TRUE(event.estimate.source == WaitEstimate::Source::kElapsed);
  EXPECT_NEAR(event.estimate.expected_seconds, 3, 1e-9);
}

// A context is given up although there is room: by hindsight that was all for nothing.
TEST(Scheduler, ResumesTellWhatTheInterceptionCost) {
  SchedulerConfig config = SmallWorld(PolicyKind::kDiscard, 25, 0).scheduler;
  config.kv.prefix_cache = false;
  Scheduler scheduler(config, CostModel());
  Nanos now = 0;
  EXPECT_TRUE(scheduler.Submit(SeqId{1}, std::vector<TokenId>(8, 1), 0, false, now).ok());
  StepAndPause(scheduler, now);
  EXPECT_EQ(DecideAfter(scheduler, 0, now).decision.blocks, 2u);
  now += kNanosPerSecond;
  EXPECT_TRUE(scheduler.Resume(SeqId{1}, std::vector<TokenId>(1, 1), false, now).ok());
  scheduler.Plan(now);
  const std::vector<SchedulerEvent>& events = scheduler.TakeEvents();
  ASSERT_TRUE(events.size() == 1 && std::holds_alternative<ResumeEvent>(events[0]));
  const auto& resume = std::get<ResumeEvent>(events[0]);
  EXPECT_TRUE(resume.disposition == Disposition::kDiscard);
  EXPECT_EQ(resume.given_up_blocks, 2u);
  EXPECT_GT(resume.recomputed_tokens, 0u);
  EXPECT_EQ(resume.hindsight.preserve, 0.0);
  EXPECT_GT(resume.hindsight.waste, 0.0);
  EXPECT_EQ(resume.hindsight.regret, resume.hindsight.waste);
}

// Two blocks were given up for a second, in which somebody else computed. Had they been kept, he
// would have missed them in a small pool, and not in a large one.
TEST(Scheduler, KeepingWouldHaveCostWhatOthersUsedMeanwhile) {
  for (const uint32_t device_blocks : {4u, 25u}) {
    SchedulerConfig config = SmallWorld(PolicyKind::kDiscard, device_blocks, 0).scheduler;
    config.kv.prefix_cache = false;
    Scheduler scheduler(config, CostModel());
    Nanos now = 0;
    EXPECT_TRUE(scheduler.Submit(SeqId{1}, std::vector<TokenId>(8, 1), 0, false, now).ok());
    StepAndPause(scheduler, now);
    DecideAfter(scheduler, 0, now);
    EXPECT_TRUE(scheduler.Submit(SeqId{2}, std::vector<TokenId>(13, 2), 0, false, now).ok());
    StepAndPause(scheduler, now);
    EXPECT_TRUE(scheduler.Release(SeqId{2}).ok());
    EXPECT_TRUE(scheduler.Resume(SeqId{1}, std::vector<TokenId>(1, 1), false, now).ok());
    scheduler.Plan(now);
    for (const SchedulerEvent& event : scheduler.TakeEvents()) {
      const auto* resume = std::get_if<ResumeEvent>(&event);
      ASSERT_TRUE(resume != nullptr);
      EXPECT_NEAR(resume->hindsight.preserve, device_blocks == 4 ? 2 * 1024.0 : 0.0, 1e-6);
    }
  }
}

}  // namespace infercept
