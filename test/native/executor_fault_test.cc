// Executors that fail, throw, answer something else than what the plan asked, or lie about time:
// wrong answers are typed errors that leave every block accounted for, wrong times change nothing
// but times.
#include <array>
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "engine/step.h"
#include "random_world.h"
#include "test.h"
#include "world_runner.h"

namespace infercept::test {
namespace {

enum class Fault : uint8_t {
  kError,
  kException,
  kNoSamples,
  kLastSampleMissing,
  kSampleTooMany,
  kUnknownSequence,
  kSamplesSwapped,
  kNeverFinishes,
};
constexpr uint32_t kFaults = 8;
constexpr uint32_t kTokens = 6;  // that a sequence says, unless it never finishes

// Answers as it should until a step, and wrongly in that one.
class FaultyExecutor final : public Executor {
 public:
  FaultyExecutor(Fault fault, uint32_t good_steps) : fault_(fault), good_steps_(good_steps) {}

  Status Execute(const StepPlan& plan, StepResult& result) override {
    for (const Slice& slice : plan.slices) {
      if (!slice.sample) continue;
      const bool over = ++said_[Index(slice.seq)] % kTokens == 0 && fault_ != Fault::kNeverFinishes;
      result.sampled.push_back({slice.seq, 1, over ? Outcome::kFinish : Outcome::kContinue});
    }
    result.compute = result.total = 1'000'000;
    if (steps_++ < good_steps_) return {};
    return Err(result.sampled);
  }

 private:
  Status Err(std::vector<SampledToken>& sampled) {
    if (fault_ == Fault::kError) return {StatusCode::kDevice, "the device is gone"};
    if (fault_ == Fault::kException) throw std::runtime_error("broken on purpose");
    if (fault_ == Fault::kSampleTooMany) sampled.push_back({SeqId{0}, 1});
    if (sampled.empty()) return {};
    if (fault_ == Fault::kNoSamples) sampled.clear();
    if (fault_ == Fault::kLastSampleMissing) sampled.pop_back();
    if (fault_ == Fault::kUnknownSequence) sampled.back().seq = SeqId{999};
    if (fault_ == Fault::kSamplesSwapped) std::swap(sampled.front(), sampled.back());
    return {};
  }

  const Fault fault_;
  const uint32_t good_steps_;
  uint32_t steps_ = 0;
  std::array<uint32_t, 8> said_{};
};

class StepClock final : public Clock {
 public:
  Nanos Now() override { return now_; }
  void Advance(Nanos duration) override { now_ += duration; }

 private:
  Nanos now_ = 0;
};

// Also while a plan is under way that will never be committed.
void CheckBlocks(const Scheduler& scheduler) {
  std::vector<const BlockTable*> tables;
  for (const Sequence* sequence : scheduler.Sequences()) tables.push_back(&sequence->blocks);
  scheduler.kv().CheckIntegrity(tables);
}

void Populate(Scheduler& scheduler, Rng& random) {
  for (uint32_t i = 0; i < 6; ++i) {
    const std::vector<TokenId> prompt(1 + random.Below(scheduler.context_tokens_max() / 2),
                                      static_cast<TokenId>(random.Below(2)));
    ASSERT_TRUE(scheduler.Submit(SeqId{i}, prompt, 0, /*keep=*/i % 2 == 0, i).ok());
  }
}

// "": nothing went wrong.
std::string RunUntilFault(Scheduler& scheduler, Executor& executor) {
  StepClock clock;
  StepResult result;
  for (;;) {
    try {
      const Result<StepOutcome> outcome = StepOnce(scheduler, executor, clock, result);
      if (!outcome.ok()) return std::string(CodeName(outcome.status().code()));
      if (outcome.value() == StepOutcome::kIdle) return "";
    } catch (const InternalError&) {
      return "InternalError";
    } catch (const std::runtime_error&) {
      return "std::runtime_error";
    }
    scheduler.CheckIntegrity();
  }
}

void CheckAfterFault(Scheduler& scheduler) {
  CheckBlocks(scheduler);
  for (const Sequence* sequence : scheduler.Sequences()) {
    EXPECT_TRUE(scheduler.Release(sequence->id).ok());
    CheckBlocks(scheduler);
  }
}

}  // namespace

TEST(ExecutorFault, IsATypedErrorAndEveryBlockIsAccountedFor) {
  std::array<uint32_t, kFaults> seen{};
  for (uint64_t seed = 0; seed < 4000; ++seed) {
    Rng random(seed);
    const auto fault = static_cast<Fault>(random.Below(kFaults));
    Scheduler scheduler(RandomWorld(seed).config, CostModel());
    Populate(scheduler, random);
    FaultyExecutor executor(fault, random.Below(20));
    const std::string error = RunUntilFault(scheduler, executor);
    const std::string expected = fault == Fault::kError       ? "ERR_DEVICE"
                                 : fault == Fault::kException ? "std::runtime_error"
                                                              : "InternalError";
    // With few steps nothing may go wrong: all are done before, or nobody samples in that step.
    ASSERT_TRUE(error == expected || (error.empty() && fault != Fault::kNeverFinishes))
        << "seed " << seed << " fault " << static_cast<int>(fault) << ": " << error;
    seen[static_cast<size_t>(fault)] += !error.empty();
    CheckAfterFault(scheduler);
  }
  for (const uint32_t count : seen) EXPECT_GT(count, 50u);
}

// Every property of world_runner.h under clocks that stand still, leap and run backwards, and
// executors that report nothing or centuries.
TEST(ExecutorFault, WrongTimesChangeNothingButTimes) {
  for (const TimeFault fault : {TimeFault::kZeroDurations, TimeFault::kHugeDurations,
                                TimeFault::kLateCopies, TimeFault::kWildClock}) {
    for (uint64_t seed = 0; seed < 400; ++seed) {
      const World world = RandomWorld(seed);
      RunOptions options;
      options.time_fault = fault;
      const WorldOutcome outcome = RunWorld(world, options);
      ASSERT_EQ(outcome.violation, "") << static_cast<int>(fault) << "\n" << world.DebugString();
      ASSERT_TRUE(std::isfinite(outcome.stats.waste.wasted())) << "seed " << seed;
      ASSERT_TRUE(std::isfinite(outcome.stats.cost_error)) << "seed " << seed;
    }
  }
}

}  // namespace infercept::test
