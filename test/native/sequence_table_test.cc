// What SequenceTable and BlockTable keep up to date instead of computing it: after every command
// and every step of random lives it is what it would be if it were made anew
// (Scheduler::CheckIntegrity).
#include "sched/sequence_table.h"

#include "base/check.h"
#include "base/rng.h"
#include "sched/scheduler.h"
#include "test.h"

namespace infercept {
namespace {

constexpr uint32_t kBlockTokens = 4;
constexpr uint32_t kDeviceBlocks = 24;

SchedulerConfig RandomConfig(Rng& random) {
  SchedulerConfig config;
  config.kv = {kDeviceBlocks, random.Below(2) * 16, kBlockTokens, 1024,
               /*prefix_cache=*/random.Below(4) > 0};
  config.policy = static_cast<PolicyKind>(random.Below(6));
  config.step_tokens_max = 32;
  return config;
}

// Everything that can happen to sequences, with arguments that are often refused.
class RandomLife {
 public:
  explicit RandomLife(uint64_t seed)
      : random_(seed),
        scheduler_(RandomConfig(random_), CostModel({1e-3, 1e-4, 1e-7, {0, 0}, {1e-3, 1e-3}})) {}

  void Go() {
    now_ += random_.Below(3) * 1'000'000;
    if (random_.Below(2) == 0) {
      Step();
    } else {
      Command();
    }
    scheduler_.CheckIntegrity();
    scheduler_.TakeEvents();
  }

 private:
  void Step() {
    const StepPlan& plan = scheduler_.Plan(now_);
    if (plan.empty()) return;
    StepResult result;
    for (const Slice& slice : plan.slices) {
      if (!slice.sample) continue;
      SampledToken sampled;
      sampled.seq = slice.seq;
      sampled.token = Token();
      sampled.outcome = static_cast<Outcome>(random_.Below(8) < 6 ? 0 : 1 + random_.Below(2));
      result.sampled.push_back(sampled);
    }
    result.compute = result.total = 1'000'000;
    now_ += result.total;
    scheduler_.Commit(result, now_);
  }

  void Command() {
    const SeqId seq{random_.Below(kSequences)};
    const SeqId other{random_.Below(kSequences)};
    switch (random_.Below(9)) {
      case 0:
      case 1:
        Try(scheduler_.Submit(seq, Tokens(1 + random_.Below(40)), 0, random_.Below(2) == 0, now_));
        break;
      case 2:
        Try(scheduler_.Resume(seq, Tokens(random_.Below(6)), random_.Below(4) == 0, now_));
        break;
      case 3:
        Try(scheduler_.Mark(seq, RandomFacts(), now_));
        break;
      case 4:
        Try(scheduler_.Pause(seq, RandomFacts(), now_));
        break;
      case 5:
        Try(scheduler_.Abort(seq, 1 + random_.Below(40), now_));
        break;
      case 6:
        Try(scheduler_.Rewind(seq, random_.Below(40)));
        break;
      case 7:
        Try(scheduler_.Fork(seq, other, now_));
        break;
      default:
        Try(random_.Below(3) == 0 ? scheduler_.Release(seq) : scheduler_.Suspend(seq));
    }
  }

  static void Try(const Status&) {}

  InterceptionFacts RandomFacts() {
    InterceptionFacts facts;
    facts.kind = KindPath{KindId{random_.Below(2)}, KindId{random_.Below(3)}, kUnknownKind};
    if (random_.Below(2) == 0) facts.remaining = random_.Below(10) * 1'000'000;
    if (random_.Below(2) == 0) facts.disposition = static_cast<Disposition>(random_.Below(3));
    return facts;
  }

  // Few different ones: prefixes are shared.
  TokenId Token() { return static_cast<TokenId>(random_.Below(2)); }

  std::vector<TokenId> Tokens(uint32_t count) {
    std::vector<TokenId> tokens(count);
    for (TokenId& token : tokens) token = Token();
    return tokens;
  }

  static constexpr uint32_t kSequences = 8;
  Rng random_;
  Scheduler scheduler_;
  Nanos now_ = 0;
};

}  // namespace

TEST(SequenceTable, KeepsItsSumsThroughEveryCommand) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    RandomLife life(seed);
    for (int i = 0; i < 400; ++i) {
      std::string failure;
      try {
        life.Go();
      } catch (const InternalError& error) {
        failure = error.what();
      }
      ASSERT_EQ(failure, "") << "seed " << seed << ", action " << i;
    }
  }
}

}  // namespace infercept
