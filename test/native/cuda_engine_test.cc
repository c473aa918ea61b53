// Goal: whether steps begin before the one before them has finished cannot be seen in what an
// engine says. Method: the same sequences through two engines on the CUDA kernels (in emulation),
// one of which has steps ahead: pauses at triggers, stops, limits and aborts while the next step is
// under way, under memory that makes contexts move to the host and back.
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>

#include "cuda_model.h"
#include "engine/engine.h"
#include "engine/model_executor.h"
#include "stories.h"
#include "test.h"

namespace infercept::test {
namespace {

constexpr uint32_t kSequences = 8;
constexpr uint32_t kBlocks = 9;  // three sequences of the longest context
constexpr uint32_t kContextMax = 48;
// Stand in a sequence's story for its pauses; its last entry says how it ended.
constexpr TokenId kPaused = -10;
constexpr TokenId kEnded = -20;

// Tokens as they came.
using Stories = std::map<SeqId, std::vector<TokenId>>;

// The same executor without its second half.
class InOneGo final : public Executor {
 public:
  explicit InOneGo(std::unique_ptr<Executor> executor) : executor_(std::move(executor)) {}
  Status Execute(const StepPlan& plan, StepResult& result) override {
    return executor_->Execute(plan, result);
  }

 private:
  std::unique_ptr<Executor> executor_;
};

// Counts what was computed for nobody.
class Counting final : public Executor {
 public:
  Counting(std::unique_ptr<Executor> executor, std::atomic<uint32_t>& voids)
      : executor_(std::move(executor)), voids_(voids) {}
  Status Execute(const StepPlan& plan, StepResult& result) override {
    return executor_->Execute(plan, result);
  }
  bool runs_ahead() const override { return executor_->runs_ahead(); }
  Status Begin(const StepPlan& plan) override { return executor_->Begin(plan); }
  Status Finish(StepResult& result) override {
    Status status = executor_->Finish(result);
    for (const SampledToken& sampled : result.sampled) voids_ += sampled.outcome == Outcome::kVoid;
    return status;
  }

 private:
  std::unique_ptr<Executor> executor_;
  std::atomic<uint32_t>& voids_;
};

Turn TurnOf(uint32_t number) {
  Turn turn;
  turn.sampling = stories::StorySampling(number);
  turn.max_tokens = 14;
  // Of 80 tokens.
  for (const TokenId token : {3, 14, 25, 36, 47, 58, 69, 70}) {
    turn.triggers.push_back({.tokens = {token}});
  }
  turn.stop_tokens = {9, 31, 53, 75};
  return turn;
}

// One engine, with everything that it said.
class Session {
 public:
  Session(CudaModel& cuda, bool ahead)
      : engine_([this, &cuda, ahead](const ReportProgress&) { return MakeRuntime(cuda, ahead); },
                [this] { Notify(); }) {}

  Stories Run() {
    Rng random(3);
    for (uint32_t number = 0; number < kSequences; ++number) {
      const auto prompt = stories::RandomTokens(random, 3 + random.Below(20));
      EXPECT_TRUE(
          engine_.Post(SubmitCommand{SeqId{number}, prompt, TurnOf(number), 0, false}).ok());
    }
    while (ended_ < kSequences) {
      Take();
      // Some together, so that others can have their memory meanwhile.
      if (paused_.size() >= 3 || paused_.size() + ended_ == kSequences) ResumeAll();
    }
    return stories_;
  }

  const std::string& failure() const { return failure_; }
  uint32_t voids() const { return voids_; }
  uint64_t swapped() { return engine_.Stats().swapped_in_blocks; }

  // Of the last ones it is aborted while it speaks.
  static bool Aborted(uint32_t number) { return number + 2 >= kSequences; }

 private:
  Result<Runtime> MakeRuntime(CudaModel& cuda, bool ahead) {
    SchedulerConfig config;
    config.kv.device_blocks = kBlocks;
    config.kv.host_blocks = 2 * kBlocks;
    config.kv.block_tokens = CudaModel::kBlockTokens;
    config.policy = PolicyKind::kSwap;
    config.context_tokens_max = kContextMax;
    config.step_tokens_max = 64;
    config.saturation_tokens = 32;
    Runtime runtime;
    runtime.scheduler = std::make_unique<Scheduler>(config, CostModel());
    runtime.storage = KvStorage::Create(cuda.model->kv_shape(CudaModel::kBlockTokens, DType::kF16),
                                        kBlocks, 2 * kBlocks, *cuda.device)
                          .Take();
    runtime.generations =
        std::make_unique<GenerationTable>(TokenTable{}, stories::kVocabulary, kContextMax);
    std::unique_ptr<Executor> executor =
        ModelExecutor::Create(*cuda.model, *runtime.storage, *runtime.generations, cuda.pool)
            .Take();
    if (ahead) {
      runtime.executor = std::make_unique<Counting>(std::move(executor), voids_);
    } else {
      runtime.executor = std::make_unique<InOneGo>(std::move(executor));
    }
    return runtime;
  }

  void Notify() {
    const std::lock_guard lock(mutex_);
    notified_ = true;
    changed_.notify_one();
  }

  void Take() {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return std::exchange(notified_, false); });
    }
    const EventBatch batch = engine_.Take();
    for (const Event& event : batch.events) {
      if (const auto* token = std::get_if<TokenEvent>(&event)) NoteToken(*token);
      if (const auto* pause = std::get_if<PauseEvent>(&event)) {
        stories_[pause->seq].push_back(kPaused);
        // Who is aborted is not to be resumed.
        if (!aborted_.contains(pause->seq)) paused_.push_back(pause->seq);
      }
      if (const auto* finish = std::get_if<FinishEvent>(&event)) {
        stories_[finish->seq].push_back(kEnded - static_cast<TokenId>(finish->reason));
        std::erase(paused_, finish->seq);
        ++ended_;
      }
      if (const auto* failure = std::get_if<FailureEvent>(&event)) {
        failure_ = failure->status.DebugString();
      }
    }
    for (const Notice& notice : batch.notices) {
      if (const auto* failed = std::get_if<FailedNotice>(&notice)) {
        failure_ = failed->status.DebugString();
      }
    }
    if (!failure_.empty()) ended_ = kSequences;
  }

  void NoteToken(const TokenEvent& event) {
    std::vector<TokenId>& story = stories_[event.seq];
    story.push_back(event.token);
    if (Aborted(Index(event.seq)) && story.size() >= 2 && aborted_.insert(event.seq).second) {
      EXPECT_TRUE(engine_.Post(AbortCommand{event.seq, {}}).ok());
    }
  }

  void ResumeAll() {
    for (const SeqId seq : paused_) {
      EXPECT_TRUE(engine_.Post(ResumeCommand{seq, {1, 2}, {}}).ok());
    }
    paused_.clear();
  }

  Stories stories_;
  std::vector<SeqId> paused_;
  std::set<SeqId> aborted_;  // the command was given
  uint32_t ended_ = 0;
  std::string failure_;
  std::atomic<uint32_t> voids_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool notified_ = false;  // Guarded by mutex_.
  Engine engine_;          // Last: its thread uses what stands above.
};

}  // namespace

TEST(CudaEngine, StepsAheadCannotBeSeen) {
  CudaModel cuda({.seed = 5, .weights = DType::kQ8_0});
  Stories plain;
  {
    Session session(cuda, /*ahead=*/false);
    plain = session.Run();
    ASSERT_EQ(session.failure(), "");
    EXPECT_GT(session.swapped(), 0u);
  }
  Session session(cuda, /*ahead=*/true);
  const Stories ahead = session.Run();
  ASSERT_EQ(session.failure(), "");
  EXPECT_GT(session.swapped(), 0u);
  EXPECT_GT(session.voids(), 0u);
  size_t pauses = 0;
  for (uint32_t number = 0; number < kSequences; ++number) {
    auto expected = plain.at(SeqId{number});
    auto found = ahead.at(SeqId{number});
    if (Session::Aborted(number)) {  // As far as both came.
      expected.pop_back();
      found.pop_back();
      const size_t both = std::min(expected.size(), found.size());
      expected.resize(both);
      found.resize(both);
    }
    EXPECT_TRUE(found == expected) << "sequence " << number;
    pauses += static_cast<size_t>(std::ranges::count(found, kPaused));
  }
  EXPECT_GT(pauses, 3u);
  EXPECT_EQ(FirstViolation(*cuda.device), "");
}

}  // namespace infercept::test
