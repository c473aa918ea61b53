// Stories that sequences tell: prompts, interceptions of random length, and what is returned. Told
// on a scheduler, an executor and a model, with time that follows the steps, under memory of any
// size.
#pragma once

#include <algorithm>
#include <bit>
#include <map>
#include <memory>
#include <vector>

#include "base/rng.h"
#include "engine/generation.h"
#include "engine/model_executor.h"
#include "engine/step.h"
#include "sched/scheduler.h"
#include "tiny_model.h"

namespace infercept::stories {

inline constexpr Nanos kStep = 1'000'000;
inline constexpr uint32_t kVocabulary = 80;
inline constexpr uint32_t kContextMax = 96;

struct Pause {
  uint32_t after_tokens = 1;  // generated in all
  std::vector<TokenId> returned;
  uint32_t steps = 0;  // how long it lasts
};

struct Story {
  std::vector<TokenId> prompt;
  std::vector<Pause> pauses;
  uint32_t max_tokens = 1;
  uint32_t arrival_step = 0;
  SamplingParams sampling = {.logprobs = 5};
};

struct World {
  PolicyKind policy = PolicyKind::kPreserve;
  uint32_t block_tokens = 4;
  uint32_t device_blocks = 64;
  uint32_t host_blocks = 0;
  uint32_t step_tokens_max = 64;
  uint32_t saturation_tokens = 64;
  bool prefix_cache = false;
  uint32_t context_max = kContextMax;
  LayerGroups groups = {};  // none: all positions are kept, whatever the model sees
};

// What was sampled, and the bits of the five largest log probabilities (each a function of every
// logit).
struct Sampled {
  TokenId token = 0;
  std::vector<uint32_t> logprob_bits;
  bool operator==(const Sampled&) const = default;
};
using Transcript = std::vector<Sampled>;

inline std::vector<TokenId> RandomTokens(Rng& random, uint32_t count) {
  std::vector<TokenId> tokens(count);
  for (TokenId& token : tokens) token = static_cast<TokenId>(random.Below(kVocabulary));
  return tokens;
}

// Every third one takes the best token, the others draw and look back; every third one so far that
// no device samples it.
inline SamplingParams StorySampling(uint32_t number) {
  SamplingParams sampling = {.seed = number, .logprobs = 5};
  if (number % 3 == 0) return sampling;
  sampling.temperature = 1;
  sampling.top_k = 40;
  sampling.repetition_penalty = 1.5f;
  sampling.presence_penalty = 0.5f;
  sampling.penalty_tokens = number % 3 == 1 ? 8 : 1'000'000;
  return sampling;
}

// Stories that begin alike, so that blocks are shared.
inline std::vector<Story> RandomStories(Rng& random, uint32_t prefix_tokens) {
  const std::vector<TokenId> prefix = RandomTokens(random, random.Below(prefix_tokens));
  std::vector<Story> stories(1 + random.Below(6));
  for (Story& story : stories) {
    if (random.Below(2) == 0) story.prompt = prefix;
    const auto own = RandomTokens(random, 1 + random.Below(12));
    story.prompt.insert(story.prompt.end(), own.begin(), own.end());
    story.arrival_step = random.Below(8);
    story.max_tokens = 2 + random.Below(10);
    story.sampling = StorySampling(static_cast<uint32_t>(&story - stories.data()));
    for (uint32_t after = 1 + random.Below(3); after < story.max_tokens;
         after += 1 + random.Below(4)) {
      story.pauses.push_back({after, RandomTokens(random, random.Below(9)), random.Below(12)});
    }
  }
  return stories;
}

inline World RandomWorld(Rng& random, uint32_t context_max, const LayerGroups& groups = {}) {
  World world;
  world.context_max = context_max;
  world.policy = static_cast<PolicyKind>(random.Below(6));
  world.block_tokens = 1u << random.Below(5);
  // From barely enough for one story to ample for all.
  uint32_t least = DivCeil(context_max, world.block_tokens);
  if (groups.window_tokens > 0) {
    // Beside layers that see everything, what slides takes up to two windows.
    const uint32_t slides = (groups.full == 0 ? 1 : 2) * groups.window_tokens;
    least = least * groups.full +
            (DivCeil(slides, world.block_tokens) + 2) * (groups.count - groups.full);
  }
  world.groups = groups;
  world.device_blocks = least + random.Below(3 * least);
  world.host_blocks = random.Below(2) * random.Below(2 * least);
  world.step_tokens_max = 32 + random.Below(33);
  world.saturation_tokens = 1 + random.Below(40);
  world.prefix_cache = random.Below(3) > 0;
  return world;
}

class Teller {
 public:
  // On the model's device.
  Teller(Model& model, DType kv, ThreadPool& pool, const World& world,
         std::span<const Story> stories)
      : stories_(stories),
        transcripts_(stories.size()),
        next_pause_(stories.size(), 0),
        storage_(KvStorage::Create(Shape(model, kv, world), world.device_blocks, world.host_blocks,
                                   model.device())
                     .Take()),
        generations_(TokenTable{}, kVocabulary, world.context_max),
        executor_(ModelExecutor::Create(model, *storage_, generations_, pool).Take()),
        scheduler_(Config(world), CostModel()) {}

  std::vector<Transcript> Tell() {
    for (step_ = 0; finished_ < stories_.size(); ++step_) {
      IC_CHECK(step_ < 20000);
      Submit();
      Wake();
      const StepPlan& plan = scheduler_.Plan(now());
      if (plan.empty()) continue;
      IC_CHECK(executor_->Execute(plan, result_).ok());
      result_.compute = result_.total = kStep;
      result_.swap_in = result_.swap_out = kStep / 10;
      scheduler_.Commit(result_, now());
      scheduler_.CheckIntegrity();
      Record();
    }
    IC_CHECK(scheduler_.kv().available() == scheduler_.kv().config().device_blocks);
    return transcripts_;
  }

  // The same with every step begun before the one before it has finished. What comes from outside
  // waits until none is under way, which would pause a story too late: each pause is the end of a
  // turn here.
  std::vector<Transcript> TellAhead() {
    TimedExecutor executor(*executor_);
    StepClock clock(step_);
    StepsAhead steps(scheduler_, executor, clock);
    for (step_ = 0; finished_ < stories_.size(); ++step_) {
      IC_CHECK(step_ < 20000);
      if (HearsFromOutside()) {
        IC_CHECK(steps.Finish().ok());
        RecordTurns();
        ReleaseTold();
        SubmitTurns();
        WakeTurns();
      }
      IC_CHECK(steps.Step().ok());
      scheduler_.CheckIntegrity();
      RecordTurns();
    }
    IC_CHECK(scheduler_.kv().available() == scheduler_.kv().config().device_blocks);
    voids_ = executor.voids;
    return transcripts_;
  }

  // Tokens that were sampled for nobody.
  uint64_t voids() const { return voids_; }

  const SchedulerStats& Stats() { return stats_ = scheduler_.Stats(); }

 private:
  static KvShape Shape(const Model& model, DType kv, const World& world) {
    KvShape shape = model.kv_shape(world.block_tokens, kv);
    shape.groups = world.groups;
    return shape;
  }

  static SchedulerConfig Config(const World& world) {
    SchedulerConfig config;
    config.kv.device_blocks = world.device_blocks;
    config.kv.host_blocks = world.host_blocks;
    config.kv.block_tokens = world.block_tokens;
    config.kv.prefix_cache = world.prefix_cache;
    config.kv.groups = world.groups.count;
    config.kv.full_groups = world.groups.full;
    config.kv.window_tokens = world.groups.window_tokens;
    config.policy = world.policy;
    config.context_tokens_max = world.context_max;
    config.step_tokens_max = world.step_tokens_max;
    config.saturation_tokens = world.saturation_tokens;
    return config;
  }

  // Every step takes as long as every other.
  class TimedExecutor final : public Executor {
   public:
    explicit TimedExecutor(Executor& executor) : executor_(executor) {}
    Status Execute(const StepPlan& plan, StepResult& result) override {
      return executor_.Execute(plan, result);
    }
    bool runs_ahead() const override { return true; }
    Status Begin(const StepPlan& plan) override { return executor_.Begin(plan); }
    Status Finish(StepResult& result) override {
      Status status = executor_.Finish(result);
      result.compute = result.total = kStep;
      result.swap_in = result.swap_out = kStep / 10;
      for (const SampledToken& sampled : result.sampled) voids += sampled.outcome == Outcome::kVoid;
      return status;
    }
    uint64_t voids = 0;

   private:
    Executor& executor_;
  };

  class StepClock final : public Clock {
   public:
    explicit StepClock(const uint32_t& step) : step_(step) {}
    Nanos Now() override { return step_ * kStep; }
    void Advance(Nanos) override {}

   private:
    const uint32_t& step_;
  };

  Nanos now() const { return step_ * kStep; }

  bool HearsFromOutside() const {
    return !told_.empty() || (!wake_.empty() && wake_.begin()->first <= step_) ||
           std::ranges::find(stories_, step_, &Story::arrival_step) != stories_.end();
  }

  // The turn that ends where the story pauses next.
  Turn NextTurn(uint32_t story) const {
    const Story& all = stories_[story];
    const bool last = next_pause_[story] == all.pauses.size();
    const uint32_t end = last ? all.max_tokens : all.pauses[next_pause_[story]].after_tokens;
    Turn turn;
    turn.max_tokens = end - static_cast<uint32_t>(transcripts_[story].size());
    turn.sampling = all.sampling;
    return turn;
  }

  void SubmitTurns() {
    for (uint32_t i = 0; i < stories_.size(); ++i) {
      if (stories_[i].arrival_step != step_) continue;
      IC_CHECK(generations_.BeginTurn(SeqId{i}, NextTurn(i), stories_[i].prompt).ok());
      IC_CHECK(scheduler_.Submit(SeqId{i}, stories_[i].prompt, 0, true, now()).ok());
    }
  }

  void WakeTurns() {
    for (auto entry = wake_.begin(); entry != wake_.end() && entry->first <= step_;
         entry = wake_.erase(entry)) {
      const uint32_t story = entry->second;
      const Pause& pause = stories_[story].pauses[next_pause_[story]++];
      IC_CHECK(generations_.BeginTurn(SeqId{story}, NextTurn(story), pause.returned).ok());
      IC_CHECK(scheduler_.Resume(SeqId{story}, pause.returned, true, now()).ok());
    }
  }

  void RecordTurns() {
    for (const Event& event : generations_.events()) {
      if (const auto* token = std::get_if<TokenEvent>(&event)) AppendToken(*token);
    }
    generations_.events().clear();
    for (const SchedulerEvent& event : scheduler_.TakeEvents()) {
      const auto* finish = std::get_if<FinishEvent>(&event);
      if (finish == nullptr) continue;
      const uint32_t story = Index(finish->seq);
      if (next_pause_[story] == stories_[story].pauses.size()) {
        told_.push_back(finish->seq);
      } else {
        const Pause& pause = stories_[story].pauses[next_pause_[story]];
        wake_.emplace(step_ + pause.steps + 1, story);
      }
    }
  }

  void ReleaseTold() {
    for (const SeqId seq : told_) {
      IC_CHECK(scheduler_.Release(seq).ok());
      generations_.Erase(seq);
    }
    finished_ += told_.size();
    told_.clear();
  }

  void Submit() {
    for (uint32_t i = 0; i < stories_.size(); ++i) {
      if (stories_[i].arrival_step != step_) continue;
      Turn turn;
      turn.max_tokens = stories_[i].max_tokens;
      turn.sampling = stories_[i].sampling;
      IC_CHECK(generations_.BeginTurn(SeqId{i}, turn, stories_[i].prompt).ok());
      IC_CHECK(scheduler_.Submit(SeqId{i}, stories_[i].prompt, 0, false, now()).ok());
    }
  }

  void Wake() {
    for (auto entry = wake_.begin(); entry != wake_.end() && entry->first <= step_;
         entry = wake_.erase(entry)) {
      const uint32_t story = entry->second;
      const Pause& pause = stories_[story].pauses[next_pause_[story]++];
      IC_CHECK(generations_.AppendReturned(SeqId{story}, pause.returned).ok());
      IC_CHECK(scheduler_.Resume(SeqId{story}, pause.returned, false, now()).ok());
    }
  }

  void Record() {
    for (const Event& event : generations_.events()) {
      if (const auto* token = std::get_if<TokenEvent>(&event)) RecordToken(*token);
    }
    generations_.events().clear();
    for (const SchedulerEvent& event : scheduler_.TakeEvents()) {
      if (const auto* finish = std::get_if<FinishEvent>(&event)) {
        generations_.Erase(finish->seq);
        ++finished_;
      }
    }
  }

  void AppendToken(const TokenEvent& event) {
    Sampled sampled{event.token, {}};
    for (const TokenLogprob& top : event.top)
      sampled.logprob_bits.push_back(std::bit_cast<uint32_t>(top.logprob));
    transcripts_[Index(event.seq)].push_back(sampled);
  }

  void RecordToken(const TokenEvent& event) {
    const uint32_t story = Index(event.seq);
    AppendToken(event);
    const auto& pauses = stories_[story].pauses;
    if (next_pause_[story] == pauses.size()) return;
    const Pause& pause = pauses[next_pause_[story]];
    if (transcripts_[story].size() != pause.after_tokens) return;
    IC_CHECK(scheduler_.Pause(event.seq, {KindId{1 + story % 3}, {}, {}}, now()).ok());
    wake_.emplace(step_ + pause.steps + 1, story);
  }

  std::span<const Story> stories_;
  std::vector<Transcript> transcripts_;
  std::vector<size_t> next_pause_;
  std::unique_ptr<KvStorage> storage_;
  GenerationTable generations_;
  std::unique_ptr<ModelExecutor> executor_;
  Scheduler scheduler_;
  SchedulerStats stats_;
  StepResult result_;
  std::multimap<uint32_t, uint32_t> wake_;  // step -> story
  uint32_t step_ = 0;
  size_t finished_ = 0;
  std::vector<SeqId> told_;  // finished, and not released yet
  uint64_t voids_ = 0;
};

// Each in ample memory, by itself.
inline std::vector<Transcript> TellAlone(Model& model, DType kv, ThreadPool& pool,
                                         const std::vector<Story>& stories, uint32_t context_max,
                                         uint32_t block_tokens = World().block_tokens) {
  World ample;
  ample.context_max = context_max;
  ample.block_tokens = block_tokens;
  ample.device_blocks = std::max(ample.device_blocks, DivCeil(context_max, block_tokens));
  std::vector<Transcript> transcripts;
  for (Story story : stories) {
    story.arrival_step = 0;
    transcripts.push_back(Teller(model, kv, pool, ample, std::span(&story, 1)).Tell().front());
  }
  return transcripts;
}

inline std::vector<Transcript> TellAlone(test::TinyModel& tiny, const std::vector<Story>& stories,
                                         uint32_t context_max) {
  return TellAlone(*tiny.model, tiny.storage->shape().dtype, tiny.pool, stories, context_max);
}

}  // namespace infercept::stories
