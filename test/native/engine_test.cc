// The engine thread with executors that count, wait, fail or throw instead of computing: every
// sequence gets exactly one end, errors are sticky, queues are bounded, and Stop works in every
// state.
#include "engine/engine.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <tuple>
#include <utility>

#include "base/rng.h"
#include "engine/json_writer.h"
#include "test.h"

namespace infercept {
namespace {

constexpr uint32_t kVocabulary = 100;

// Samples token 1 for everybody and finishes a sequence after kTokens of them.
class ScriptedExecutor final : public Executor {
 public:
  static constexpr uint32_t kTokens = 3;

  bool runs_ahead() const override { return ahead; }
  Status Begin(const StepPlan& plan) override {
    StepResult result;
    Status status = Execute(plan, result);
    begun_.emplace_back(std::move(result), std::move(status));
    return Status();
  }
  Status Finish(StepResult& result) override {
    Status status;
    std::tie(result, status) = std::move(begun_.front());
    begun_.pop_front();
    return status;
  }

  Status Execute(const StepPlan& plan, StepResult& result) override {
    {
      std::unique_lock lock(mutex_);
      gate_.wait(lock, [this] { return open_; });
    }
    ++steps;
    if (steps == fail_at) return Status(StatusCode::kDevice, "the device is gone");
    if (steps == throw_at) throw InternalError("broken on purpose");
    if (steps == silent_at) return Status();
    for (const Slice& slice : plan.slices) {
      if (!slice.sample) continue;
      if (Leaves(slice.seq)) {
        result.sampled.push_back({slice.seq, 1, Outcome::kVoid});
        continue;
      }
      const bool short_one = varied && Index(slice.seq) % 3 == 0;
      const bool last = ++sampled_[slice.seq] == (short_one ? 1 : kTokens);
      const bool pause = !last && varied && Index(slice.seq) % 2 == 0;
      result.sampled.push_back({slice.seq, 1,
                                last    ? Outcome::kFinish
                                : pause ? Outcome::kPause
                                        : Outcome::kContinue});
    }
    return Status();
  }

  void SetOpen(bool open) {
    const std::lock_guard lock(mutex_);
    open_ = open;
    gate_.notify_all();
  }

  std::atomic<uint32_t> steps = 0;
  uint32_t fail_at = 0;    // Constant once the engine runs.
  uint32_t throw_at = 0;   // Likewise.
  uint32_t silent_at = 0;  // Likewise: in this step it samples nothing.
  // Likewise: every third sequence finishes with its first token, even ones pause after it.
  bool varied = false;
  // Likewise: every step begins before the one before it has finished.
  bool ahead = false;

 private:
  // It does not go on after the step under way.
  bool Leaves(SeqId seq) const {
    if (begun_.empty()) return false;
    const std::vector<SampledToken>& samples = begun_.back().first.sampled;
    const auto sampled = std::ranges::find(samples, seq, &SampledToken::seq);
    return sampled != samples.end() && sampled->outcome != Outcome::kContinue;
  }

  std::deque<std::pair<StepResult, Status>> begun_;
  std::map<SeqId, uint32_t> sampled_;
  std::mutex mutex_;
  std::condition_variable gate_;
  bool open_ = true;  // Guarded by mutex_.
};

// An engine around a ScriptedExecutor, and everything it said so far.
class Harness {
 public:
  explicit Harness(
      std::unique_ptr<ScriptedExecutor> executor = std::make_unique<ScriptedExecutor>())
      : executor_(executor.get()),
        engine_([this,
                 owned = std::make_shared<std::unique_ptr<ScriptedExecutor>>(std::move(executor))](
                    const ReportProgress&) { return MakeRuntime(std::move(*owned)); },
                [this] { Notify(); }) {}

  Engine& engine() { return engine_; }
  ScriptedExecutor& executor() { return *executor_; }

  Status Submit(uint32_t seq, bool keep = false) {
    return engine_.Post(SubmitCommand{SeqId{seq}, {1, 2, 3}, Turn{}, 0, keep});
  }

  // Takes batches until `done(*this)` holds.
  template <typename Done>
  void TakeUntil(const Done& done) {
    while (!done(*this)) {
      {
        std::unique_lock lock(mutex_);
        notified_.wait(lock, [this] { return outstanding_ > 0; });
        EXPECT_EQ(outstanding_, 1);  // Never more than one.
        outstanding_ = 0;
      }
      EventBatch batch = engine_.Take();
      for (const Event& event : batch.events) {
        if (const auto* finish = std::get_if<FinishEvent>(&event)) ++finishes[finish->seq];
        if (const auto* pause = std::get_if<PauseEvent>(&event)) ++pauses[pause->seq];
        if (const auto* failure = std::get_if<FailureEvent>(&event)) {
          ++failures[failure->seq];
          last_code = failure->status.code();
        }
      }
      for (const Notice& notice : batch.notices) {
        if (std::holds_alternative<LoadedNotice>(notice)) loaded = true;
        if (std::holds_alternative<StoppedNotice>(notice)) stopped = true;
        if (const auto* dump = std::get_if<DumpNotice>(&notice)) last_dump = dump->json;
        if (const auto* failed = std::get_if<FailedNotice>(&notice)) {
          failed_code = failed->status.code();
        }
      }
    }
  }

  std::map<SeqId, int> finishes;
  std::map<SeqId, uint32_t> pauses;
  std::map<SeqId, int> failures;
  StatusCode last_code = StatusCode::kOk;
  StatusCode failed_code = StatusCode::kOk;
  std::string last_dump;
  bool loaded = false;
  bool stopped = false;

 private:
  static Result<Runtime> MakeRuntime(std::unique_ptr<ScriptedExecutor> executor) {
    SchedulerConfig config;
    config.kv.device_blocks = 64;
    config.kv.block_tokens = 4;
    Runtime runtime;
    runtime.scheduler = std::make_unique<Scheduler>(config, CostModel());
    runtime.generations = std::make_unique<GenerationTable>(
        TokenTable{}, kVocabulary, runtime.scheduler->context_tokens_max());
    runtime.executor = std::move(executor);
    runtime.sequences_max = 8;
    return runtime;
  }

  void Notify() {
    const std::lock_guard lock(mutex_);
    ++outstanding_;
    notified_.notify_one();
  }

  ScriptedExecutor* executor_;
  std::mutex mutex_;
  std::condition_variable notified_;
  int outstanding_ = 0;  // Guarded by mutex_.
  Engine engine_;        // Last: its thread uses what stands above.
};

TEST(Engine, FinishesEverySequenceOnceAndFreesItsBlocks) {
  Harness harness;
  for (uint32_t seq = 1; seq <= 5; ++seq) EXPECT_TRUE(harness.Submit(seq).ok());
  harness.TakeUntil([](const Harness& h) { return h.finishes.size() == 5; });
  for (const auto& [seq, count] : harness.finishes) EXPECT_EQ(count, 1);
  const SchedulerStats stats = harness.engine().Stats();
  EXPECT_EQ(stats.device_blocks_free + stats.device_blocks_cached, stats.device_blocks);
}

// Commands come at any time, pauses and ends where the step under way expects a sequence to go on.
TEST(Engine, StepsThatBeginAheadEndEverySequenceOnce) {
  auto executor = std::make_unique<ScriptedExecutor>();
  executor->ahead = executor->varied = true;
  Harness harness(std::move(executor));
  Rng random(1);
  std::map<SeqId, int> expected;
  for (uint32_t first = 1; first < 400; first += 8) {
    const size_t ended = harness.finishes.size();
    for (uint32_t seq = first; seq < first + 8; ++seq) {
      EXPECT_TRUE(harness.Submit(seq).ok());
      expected[SeqId{seq}] = 1;
    }
    std::map<SeqId, uint32_t> told;
    harness.TakeUntil([&](Harness& h) {
      for (uint32_t seq = first; seq < first + 8; ++seq) {
        if (h.pauses[SeqId{seq}] == told[SeqId{seq}]) continue;
        told[SeqId{seq}] = h.pauses[SeqId{seq}];
        if (random.Below(4) == 0) {
          EXPECT_TRUE(harness.engine().Post(AbortCommand{SeqId{seq}, {}}).ok());
        } else {
          EXPECT_TRUE(harness.engine().Post(ResumeCommand{SeqId{seq}, {1, 2}, {}}).ok());
        }
      }
      return h.finishes.size() == ended + 8;
    });
  }
  EXPECT_TRUE(harness.finishes == expected);
  EXPECT_TRUE(harness.failures.empty());
  EXPECT_EQ(harness.failed_code, StatusCode::kOk);
}

TEST(Engine, AFailedStepFailsEverybodyOnceAndStaysFailed) {
  auto executor = std::make_unique<ScriptedExecutor>();
  executor->fail_at = 2;
  Harness harness(std::move(executor));
  EXPECT_TRUE(harness.Submit(1).ok());
  EXPECT_TRUE(harness.Submit(2).ok());
  harness.TakeUntil([](const Harness& h) { return h.failures.size() == 2; });
  EXPECT_TRUE(harness.Submit(3).ok());  // Taken in; fails at once.
  harness.TakeUntil([](const Harness& h) { return h.failures.size() == 3; });
  for (const auto& [seq, count] : harness.failures) EXPECT_EQ(count, 1) << Index(seq);
  EXPECT_EQ(harness.last_code, StatusCode::kDevice);
  EXPECT_EQ(harness.failed_code, StatusCode::kDevice);
  EXPECT_EQ(harness.executor().steps.load(), 2u);
  EXPECT_TRUE(harness.engine().RequestDump(1).ok());
  harness.TakeUntil([](const Harness& h) { return !h.last_dump.empty(); });
  EXPECT_TRUE(harness.last_dump.find("\"state\":\"failed\"") != std::string::npos);
  harness.engine().Stop();
  harness.TakeUntil([](const Harness& h) { return h.stopped; });
}

TEST(Engine, AnExceptionOnItsThreadIsAnInternalError) {
  auto executor = std::make_unique<ScriptedExecutor>();
  executor->throw_at = 1;
  Harness harness(std::move(executor));
  EXPECT_TRUE(harness.Submit(1).ok());
  harness.TakeUntil([](const Harness& h) { return h.failures.size() == 1; });
  EXPECT_EQ(harness.last_code, StatusCode::kInternal);
}

// Waiting, running, paused and kept sequences, and an executor that fails at any step in any way:
// everybody who lives fails once, nobody twice, and what is asked of the dead has no effect.
TEST(Engine, AFaultAtAnyStepEndsEverySequenceOnce) {
  for (uint32_t seed = 0; seed < 150; ++seed) {
    Rng random(seed);
    auto executor = std::make_unique<ScriptedExecutor>();
    const uint32_t step = 1 + random.Below(3);
    const uint32_t fault = random.Below(3);
    executor->fail_at = fault == 0 ? step : 0;
    executor->throw_at = fault == 1 ? step : 0;
    executor->silent_at = fault == 2 ? step : 0;
    executor->varied = true;
    executor->ahead = seed % 2 == 1;
    executor->SetOpen(false);
    Harness harness(std::move(executor));
    const uint32_t count = 1 + random.Below(8);
    std::map<SeqId, bool> kept;
    for (uint32_t seq = 1; seq <= count; ++seq) {
      kept[SeqId{seq}] = random.Below(2) == 0;
      EXPECT_TRUE(harness.Submit(seq, kept[SeqId{seq}]).ok());
    }
    harness.executor().SetOpen(true);  // The first sequence runs until the fault.
    harness.TakeUntil([&](const Harness& h) { return h.failed_code != StatusCode::kOk; });
    for (uint32_t seq = 1; seq <= count; ++seq) {
      EXPECT_TRUE(harness.engine().Post(ResumeCommand{SeqId{seq}, {1}, {}}).ok());
      EXPECT_TRUE(harness.engine().Post(AbortCommand{SeqId{seq}, {}}).ok());
      EXPECT_TRUE(harness.engine().Post(ReleaseCommand{SeqId{seq}}).ok());
    }
    EXPECT_TRUE(harness.engine().RequestDump(seed).ok());  // Answered after all of them.
    harness.TakeUntil([](const Harness& h) { return !h.last_dump.empty(); });
    for (const auto& [seq, keep] : kept) {
      const int ends = harness.failures[seq] + (keep ? 0 : harness.finishes[seq]);
      EXPECT_EQ(ends, 1) << "seed " << seed << " sequence " << Index(seq);
    }
    EXPECT_EQ(harness.failed_code, fault == 0 ? StatusCode::kDevice : StatusCode::kInternal);
    harness.engine().Stop();
    harness.TakeUntil([](const Harness& h) { return h.stopped; });
  }
}

TEST(Engine, RefusesMoreThanItsSequences) {
  Harness harness;
  harness.executor().SetOpen(false);
  for (uint32_t seq = 1; seq <= 9; ++seq) EXPECT_TRUE(harness.Submit(seq).ok());
  harness.executor().SetOpen(true);
  harness.TakeUntil([](const Harness& h) { return h.finishes.size() + h.failures.size() == 9; });
  // The first step may begin with few of them; the last one then finds room.
  EXPECT_LE(harness.failures.size(), 1u);
  EXPECT_TRUE(harness.failures.empty() || harness.last_code == StatusCode::kOverloaded);
}

TEST(Engine, ABadCommandFailsItsSequenceOnly) {
  Harness harness;
  EXPECT_TRUE(harness.engine().Post(SubmitCommand{SeqId{1}, {kVocabulary}, Turn{}, 0, false}).ok());
  EXPECT_TRUE(harness.Submit(2).ok());
  harness.TakeUntil([](const Harness& h) { return h.finishes.size() + h.failures.size() == 2; });
  EXPECT_EQ(harness.failures.count(SeqId{1}), 1u);
  EXPECT_EQ(harness.finishes.count(SeqId{2}), 1u);
  EXPECT_EQ(harness.failed_code, StatusCode::kOk);
}

TEST(Engine, CommandsForSequencesThatAreGoneHaveNoEffect) {
  Harness harness;
  EXPECT_TRUE(harness.engine().Post(AbortCommand{SeqId{7}, {}}).ok());
  EXPECT_TRUE(harness.engine().Post(MarkCommand{SeqId{7}, {}}).ok());
  EXPECT_TRUE(harness.engine().Post(ResumeCommand{SeqId{7}, {}, {}}).ok());
  EXPECT_TRUE(harness.engine().Post(ReleaseCommand{SeqId{7}}).ok());
  EXPECT_TRUE(harness.Submit(1).ok());
  harness.TakeUntil([](const Harness& h) { return h.finishes.size() == 1; });
  EXPECT_TRUE(harness.failures.empty());
}

TEST(Engine, StopsInTheMiddleOfWork) {
  Harness harness;
  harness.executor().SetOpen(false);
  EXPECT_TRUE(harness.Submit(1).ok());
  harness.engine().Stop();
  harness.executor().SetOpen(true);
  harness.TakeUntil([](const Harness& h) { return h.stopped; });
  EXPECT_EQ(harness.Submit(2).code(), StatusCode::kDisposed);
}

TEST(Engine, AFailedLoadIsAFailedEngine) {
  std::atomic<int> notified = 0;
  Engine engine(
      [](const ReportProgress&) -> Result<Runtime> {
        return Status(StatusCode::kModelFormat, "truncated");
      },
      [&notified] { ++notified; });
  while (notified == 0) std::this_thread::yield();
  while (!engine.Take().notices.empty()) {
  }
  EXPECT_TRUE(engine.Post(SubmitCommand{SeqId{1}, {1}, Turn{}, 0, false}).ok());
  bool failed = false;
  while (!failed) {
    for (const Event& event : engine.Take().events)
      failed |= std::holds_alternative<FailureEvent>(event);
  }
}

TEST(Engine, StopCancelsALoad) {
  std::atomic<bool> cancelled = false;
  {
    Engine engine(
        [&cancelled](const ReportProgress& report) -> Result<Runtime> {
          while (report({LoadPhase::kWeights, 1, 2})) std::this_thread::yield();
          cancelled = true;
          return Status(StatusCode::kAborted, "cancelled");
        },
        [] {});
  }
  EXPECT_TRUE(cancelled.load());
}

TEST(Inbox, RefusesWhenFullButFreesAlways) {
  Inbox inbox;
  for (size_t i = 0; i < kInboxCommandsMax; ++i) {
    EXPECT_TRUE(inbox.Post(MarkCommand{SeqId{1}, {}}).ok());
  }
  EXPECT_EQ(inbox.Post(MarkCommand{SeqId{1}, {}}).code(), StatusCode::kOverloaded);
  EXPECT_TRUE(inbox.Post(ReleaseCommand{SeqId{1}}).ok());
  Inbox::Content content;
  inbox.Drain(content);
  EXPECT_EQ(content.commands.size(), kInboxCommandsMax + 1);
  EXPECT_TRUE(inbox.Post(MarkCommand{SeqId{1}, {}}).ok());
}

TEST(Inbox, TakesCommandsTogetherOrNotAtAll) {
  Inbox inbox;
  for (size_t i = 1; i < kInboxCommandsMax; ++i) {
    EXPECT_TRUE(inbox.Post(MarkCommand{SeqId{1}, {}}).ok());
  }
  std::vector<Command> two(2, MarkCommand{SeqId{1}, {}});
  EXPECT_EQ(inbox.PostTogether(two).code(), StatusCode::kOverloaded);
  Inbox::Content content;
  inbox.Drain(content);
  EXPECT_EQ(content.commands.size(), kInboxCommandsMax - 1);
  EXPECT_TRUE(inbox.PostTogether(two).ok());
}

TEST(Outbox, NotifiesOncePerTakeAndKeepsTheNewestSteps) {
  int notified = 0;
  Outbox outbox([&notified] { ++notified; });
  for (uint64_t step = 1; step <= 2 * kBatchStepsMax; ++step) {
    std::vector<Event> events;
    events.emplace_back(std::in_place_type<FinishEvent>);
    std::vector<StepRecord> steps(1);
    steps[0].step = step;
    outbox.Publish(events, steps);
  }
  EXPECT_EQ(notified, 1);
  const EventBatch batch = outbox.Take();
  EXPECT_EQ(batch.events.size(), 2 * kBatchStepsMax);
  EXPECT_EQ(batch.steps.size(), kBatchStepsMax);
  EXPECT_EQ(batch.steps.back().step, 2 * kBatchStepsMax);
  outbox.Publish(StoppedNotice{});
  EXPECT_EQ(notified, 2);
}

TEST(JsonWriter, EscapesAndSeparates) {
  JsonWriter json;
  json.BeginObject().Field("a\"b", "line\nnext\\").Key("list").BeginArray();
  json.Value(1).Value(true).Value(0.5).EndArray().EndObject();
  EXPECT_EQ(json.Take(), "{\"a\\\"b\":\"line\\u000anext\\\\\",\"list\":[1,true,0.5]}");
}

}  // namespace
}  // namespace infercept
