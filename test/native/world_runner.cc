#include "world_runner.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <deque>
#include <memory>
#include <queue>
#include <span>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "base/rng.h"
#include "engine/step.h"
#include "memory_model.h"
#include "sched/scheduler.h"

namespace infercept::test {
namespace {

// Far beyond what any world needs; a world that gets here does not end.
constexpr uint64_t kStepsMax = 100'000;
// Three years: sums of a few hundred leaps still fit into Nanos.
constexpr Nanos kLeapMax = 100'000'000 * kNanosPerSecond;

uint64_t Mix(uint64_t a, uint64_t b) { return Rng(a ^ std::rotl(b, 23)).Next(); }

enum class Phase : uint8_t { kUnborn, kActive, kPaused, kEnded };

// What the scheduler must believe about one life.
struct Life {
  const WorldLife* spec = nullptr;
  SeqId id{};
  Phase phase = Phase::kUnborn;
  std::vector<TokenId> tokens;
  std::vector<uint64_t> digests;  // [tokens] of each token and all before it
  uint32_t segment = 0;
  uint32_t decoded = 0;  // in this segment
  uint32_t generated = 0;
  uint32_t interceptions = 0;  // tells a stale wake from a present one
  bool interrupted = false;    // paused within a segment, which goes on afterwards
  bool between_turns = false;  // its last turn has finished
  bool resumed = false;        // its first slice since the resume is to come
  // The device has sampled its newest token, but the scheduler does not know it yet; then it
  // leaves if it does not go on after it.
  bool unsaid = false;
  bool leaves = false;
  uint32_t resumes_due = 0;  // ResumeEvents to come
  // PauseEvents and FinishEvents to come: the tokens of the context that each will tell.
  std::vector<uint32_t> pauses_due;
  std::vector<uint32_t> finishes_due;
  int32_t priority = 0;  // a fork's is its parent's
  Nanos arrival = 0;     // of the present turn
  Nanos order = 0;       // its place in the queue
  Nanos ended = -1;

  const WorldInterception& interception() const { return spec->segments[segment].interception; }
  bool on_last_segment() const { return segment + 1 == spec->segments.size(); }

  void Append(TokenId token) {
    const uint64_t before = digests.empty() ? 0 : digests.back();
    tokens.push_back(token);
    digests.push_back(Mix(before, static_cast<uint64_t>(token)) | 1);
  }
  void Cut(uint32_t count) {
    if (count >= tokens.size()) return;
    tokens.resize(count);
    digests.resize(count);
  }
};

enum class What : uint8_t { kArrive, kFork, kWake, kSuspend, kRewind, kDisturb, kRelease };

struct Happening {
  Nanos time = 0;
  uint32_t life = 0;
  What what = What::kArrive;
  uint32_t interception = 0;  // of kWake, kSuspend and kRewind: the one that it belongs to

  bool operator>(const Happening& other) const {
    return std::tuple(time, life, what) > std::tuple(other.time, other.life, other.what);
  }
};

// What a plan may spend, and whose turn it is, as of before the plan.
struct Allowance {
  uint32_t prefill_tokens = 0;
  uint32_t swap_out_blocks = 0;
  uint32_t swap_in_blocks = 0;
  uint32_t idle_out_blocks = 0;  // when nothing is computed
  uint32_t idle_in_blocks = 0;
  int64_t head = -1;              // life; -1: nobody is runnable
  uint32_t head_host_blocks = 0;  // of it, not on the device
};

class WorldRunner final : private Executor, private Clock {
 public:
  WorldRunner(const World& world, const RunOptions& options)
      : world_(world),
        options_(options),
        memory_(world.config.kv),
        scatter_(options.scatter_seed),
        scheduler_(MakeScheduler()),
        lives_(world.lives.size()),
        random_(world.seed) {
    for (uint32_t i = 0; i < lives_.size(); ++i) Prepare(i);
  }

  WorldOutcome Run() {
    try {
      Live();
      if (options_.until == 0) CheckEnd();
    } catch (const std::exception& problem) {
      outcome_.violation = std::string(problem.what()) + "\n  at step " +
                           std::to_string(outcome_.steps) + ", " + std::to_string(now_) + " ns\n" +
                           scheduler_->DebugString();
    }
    for (const Life& life : lives_) {
      outcome_.lives += life.phase == Phase::kEnded;
      outcome_.ended.push_back(life.ended);
      outcome_.generated.push_back(life.generated);
    }
    outcome_.time = now_;
    outcome_.stats = scheduler_->Stats();
    return std::move(outcome_);
  }

 private:
  std::unique_ptr<Scheduler> MakeScheduler() {
    Scatter();
    CostProfile profile = world_.device.Profile(world_.belief);
    const KvConfig& kv = world_.config.kv;
    profile.window_tokens = kv.window_tokens;
    profile.full_share = static_cast<double>(kv.full_groups) / kv.groups;
    return std::make_unique<Scheduler>(world_.config, CostModel(profile));
  }

  // Allocates, so that what comes next lies elsewhere than in a run without.
  void Scatter() {
    if (options_.scatter_seed == 0) return;
    for (uint32_t i = scatter_.Below(8); i > 0; --i) {
      scattered_.push_back(std::make_unique<char[]>(1 + scatter_.Below(700)));
      if (scatter_.Below(2) == 0) scattered_[scatter_.Below(Size(scattered_))].reset();
    }
  }

  template <typename T>
  static uint32_t Size(const std::vector<T>& vector) {
    return static_cast<uint32_t>(vector.size());
  }

  void Prepare(uint32_t i) {
    const WorldLife& spec = world_.lives[i];
    lives_[i].spec = &spec;
    lives_[i].priority = spec.priority;
    lives_[i].id = SeqId{options_.ids.empty() ? i : options_.ids[i]};
    if (Index(lives_[i].id) >= life_of_.size()) life_of_.resize(Index(lives_[i].id) + 1);
    life_of_[Index(lives_[i].id)] = i;
    if (spec.skipped || spec.parent >= 0) return;
    happenings_.push({spec.arrival, i, What::kArrive, 0});
  }

  Life& LifeOf(SeqId seq) {
    Require(Index(seq) < life_of_.size(), "every sequence of a plan or event exists");
    return lives_[life_of_[Index(seq)]];
  }

  void Live() {
    for (; outcome_.steps < kStepsMax; ++outcome_.steps) {
      while (!happenings_.empty() && happenings_.top().time <= now_) {
        FinishStep();
        const Happening next = happenings_.top();
        happenings_.pop();
        Deliver(next);
        CheckStates();
      }
      if (options_.until > 0 && now_ >= options_.until) return;
      if (!Step() && !SkipToNextHappening()) return;
    }
    throw Violation("a world ends");
  }

  bool SkipToNextHappening() {
    if (happenings_.empty()) return false;
    now_ = std::max(now_, happenings_.top().time);
    return true;
  }

  // False: nothing could be done.
  bool Step() {
    allowance_ = MeasureAllowance();
    const Result<StepOutcome> outcome =
        options_.ahead ? ahead_.Step() : StepOnce(*scheduler_, *this, *this, result_);
    Require(outcome.ok(), "a step succeeds");
    const bool ran = outcome.value() == StepOutcome::kRan;
    Require(ran || allowance_.head < 0, "there is a step while somebody is runnable");
    Record();
    TakeEvents();
    CheckStates();
    return ran;
  }

  // What happens to lives is told the scheduler when no step is under way.
  void FinishStep() {
    if (!options_.ahead) return;
    Require(ahead_.Finish().ok(), "a step succeeds");
    Record();
    TakeEvents();
    CheckStates();
  }

  // ---- What happens to lives.

  void Deliver(const Happening& next) {
    Scatter();
    Life& life = lives_[next.life];
    switch (next.what) {
      case What::kArrive:
        return Arrive(life, next);
      case What::kFork:
        return Fork(life, next);
      case What::kWake:
        return Wake(life, next);
      case What::kSuspend:
        return Suspend(life, next);
      case What::kRewind:
        return Rewind(life, next);
      case What::kDisturb:
        return Disturb(life, next);
      case What::kRelease:
        return Release(life);
    }
  }

  void Arrive(Life& life, const Happening& next) {
    std::vector<TokenId> prompt;
    for (uint32_t i = 0; i < life.spec->prompt_tokens; ++i) prompt.push_back(NextToken(life, i));
    const Status status =
        scheduler_->Submit(life.id, prompt, life.spec->priority, life.spec->keep, Told(next.time));
    Require(status.ok() == (prompt.size() + 1 <= ContextMax()), "a prompt is taken if it fits");
    if (!status.ok()) return;
    for (TokenId token : prompt) life.Append(token);
    life.phase = Phase::kActive;
    life.arrival = life.order = Told(next.time);
    ScheduleDisturbance(life, next);
  }

  void Fork(Life& child, const Happening& next) {
    const Life& parent = lives_[static_cast<size_t>(child.spec->parent)];
    const Status status = scheduler_->Fork(parent.id, child.id, Told(next.time));
    Require(status.ok() == (parent.phase == Phase::kPaused), "a paused sequence can be forked");
    if (!status.ok()) return;
    child.tokens = parent.tokens;
    child.digests = parent.digests;
    child.priority = parent.priority;
    child.phase = Phase::kPaused;
    child.arrival = child.order = Told(next.time);
    child.interrupted = true;  // Its first segment is to come.
    happenings_.push({next.time + child.spec->arrival, next.life, What::kWake, 0});
    ScheduleDisturbance(child, next);
  }

  void ScheduleDisturbance(const Life& life, const Happening& next) {
    if (life.spec->disturbance == Disturbance::kNone) return;
    happenings_.push({next.time + life.spec->disturbed_after, next.life, What::kDisturb, 0});
  }

  void Wake(Life& life, const Happening& next) {
    if (life.phase != Phase::kPaused || life.interceptions != next.interception) return;
    const bool fork_begins = life.spec->parent >= 0 && life.interceptions == 0;
    uint32_t count = fork_begins ? life.spec->prompt_tokens : 0;
    if (!std::exchange(life.interrupted, false)) {
      count = life.interception().returned_tokens;
      NextSegment(life);
    }
    std::vector<TokenId> returned;
    for (uint32_t i = 0; i < count; ++i) {
      returned.push_back(NextToken(life, Size(life.tokens) + i));
    }
    Resume(life, returned, next.time);
  }

  void NextSegment(Life& life) {
    if (!life.on_last_segment()) ++life.segment;
    life.decoded = 0;
  }

  void Resume(Life& life, const std::vector<TokenId>& returned, Nanos time) {
    const size_t pending = scheduler_->Find(life.id)->pending() + returned.size();
    const bool fits = life.tokens.size() + returned.size() + 1 <= ContextMax();
    const bool new_turn = std::exchange(life.between_turns, false);
    const Status status = scheduler_->Resume(life.id, returned, new_turn, Told(time));
    Require(status.ok() == (pending > 0 && fits), "a resume is taken if it fits and is not empty");
    if (!status.ok()) return Release(life);  // As the engine does.
    for (TokenId token : returned) life.Append(token);
    life.phase = Phase::kActive;
    life.resumed = true;
    if (new_turn) life.arrival = Told(time);
    life.order = scheduler_->Find(life.id)->order;
    CheckOrder(life, Told(time));
  }

  // queue_order.h: who lets others pass, and how many at most.
  void CheckOrder(const Life& life, Nanos resumed) {
    const Nanos later = life.order - life.arrival;
    if (world_.config.policy == PolicyKind::kDiscardRequeue) {
      Require(life.order == resumed, "who comes back is the last one");
    } else if (world_.config.policy == PolicyKind::kAdaptive) {
      const auto bound = QueueOrder::kLifetimes * static_cast<double>(longest_turn_);
      Require(later >= 0 && static_cast<double>(later) <= bound,
              "a context lets others pass for a bounded time");
    } else {
      Require(later == 0, "who comes back is as old as before");
    }
  }

  void Suspend(Life& life, const Happening& next) {
    if (life.interceptions != next.interception) return;
    const Status status = scheduler_->Suspend(life.id);
    Require(status.ok() == (life.phase == Phase::kPaused), "a paused sequence can be suspended");
  }

  void Rewind(Life& life, const Happening& next) {
    if (life.interceptions != next.interception) return;
    const uint32_t kept = Size(life.tokens) * (100 - life.interception().rewind_percent) / 100;
    const bool possible = life.phase == Phase::kPaused && kept > 0;
    Require(scheduler_->Rewind(life.id, kept).ok() == possible, "a paused sequence can be cut");
    if (possible) life.Cut(kept);
  }

  void Disturb(Life& life, const Happening& next) {
    if (life.phase == Phase::kEnded) return CheckGone(life);
    if (life.spec->disturbance == Disturbance::kRelease) return Release(life);
    if (life.spec->disturbance == Disturbance::kAbort) return Abort(life, next);
    const bool active = life.phase == Phase::kActive;
    Require(scheduler_->Pause(life.id, {KindId{1}, {}, {}}, Told(next.time)).ok(),
            "whoever lives can be paused");
    if (!active) return;
    life.interrupted = true;
    life.pauses_due.push_back(Size(life.tokens));
    BeginInterception(life, next.time);
  }

  void Abort(Life& life, const Happening& next) {
    std::optional<uint32_t> kept;
    if (life.spec->disturbed_after % 2 == 0) kept = Size(life.tokens) / 2;
    Require(scheduler_->Abort(life.id, kept, Told(next.time)).ok(), "whoever lives can be aborted");
    life.finishes_due.push_back(Size(life.tokens));
    if (!life.spec->keep) return End(life, next.time);
    if (kept) life.Cut(*kept);
    EndTurn(life, next.time);
  }

  void Release(Life& life) {
    const Status status = scheduler_->Release(life.id);
    Require(status.ok() == (life.phase != Phase::kEnded), "whoever lives can be released");
    if (life.phase == Phase::kEnded) return;
    End(life, now_);
  }

  void CheckGone(const Life& life) {
    Require(!scheduler_->Pause(life.id, {}, Told(now_)).ok() &&
                !scheduler_->Release(life.id).ok() &&
                !scheduler_->Abort(life.id, {}, Told(now_)).ok(),
            "commands for who is gone are refused");
  }

  void End(Life& life, Nanos time) {
    life.phase = Phase::kEnded;
    life.ended = time;
  }

  // A kept sequence finished its turn: the gap until the next one is an interception too.
  void EndTurn(Life& life, Nanos time) {
    life.between_turns = true;
    life.interrupted = false;
    BeginInterception(life, time);
    if (life.on_last_segment()) happenings_.push({time + 1, Number(life), What::kRelease, 0});
  }

  uint32_t Number(const Life& life) const { return static_cast<uint32_t>(&life - lives_.data()); }

  // Each life's deeds come at a moment of its own.
  void BeginInterception(Life& life, Nanos time) {
    life.phase = Phase::kPaused;
    life.resumed = false;
    const uint32_t number = Number(life);
    const uint32_t nth = ++life.interceptions;
    const WorldInterception& interception = life.interception();
    const Nanos deed = time + 1 + number;
    if (interception.suspend) happenings_.push({deed, number, What::kSuspend, nth});
    if (interception.rewind_percent > 0) happenings_.push({deed, number, What::kRewind, nth});
    happenings_.push({time + interception.duration, number, What::kWake, nth});
    for (uint32_t child = 0; child < lives_.size(); ++child) {
      const WorldLife& spec = *lives_[child].spec;
      if (spec.skipped || spec.parent != static_cast<int32_t>(number)) continue;
      if (spec.fork_at + 1 != nth || lives_[child].phase != Phase::kUnborn) continue;
      happenings_.push({time + 1 + child, child, What::kFork, 0});
    }
    Tell(life, time);
  }

  void Tell(const Life& life, Nanos time) {
    const WorldInterception& interception = life.interception();
    const InterceptionFacts facts{interception.kind, interception.announced, interception.wish};
    Require(scheduler_->Mark(life.id, facts, Told(time)).ok(), "whoever lives can be marked");
  }

  TokenId NextToken(const Life& life, uint32_t position) const {
    const WorldLife& spec = *life.spec;
    const bool shared = spec.parent < 0 && position < spec.prefix_tokens;
    const uint64_t owner = shared ? spec.prefix : 1000 + Number(life);
    const uint64_t salt = shared ? 0 : life.generated;
    return static_cast<TokenId>(Mix(Mix(owner, position), salt) % world_.alphabet);
  }

  uint32_t ContextMax() const { return scheduler_->context_tokens_max(); }

  // Window and chunk may begin and end within blocks.
  uint32_t BlocksMost() const {
    const KvConfig& kv = scheduler_->kv().config();
    if (kv.window_tokens == 0) return kv.device_blocks;
    const uint32_t window = DivCeil(kv.window_tokens - 1 + kv.chunk_tokens, kv.block_tokens) + 1;
    const uint32_t rows = DivCeil(ContextMax(), kv.block_tokens);
    return rows * kv.full_groups + window * (kv.groups - kv.full_groups);
  }

  // ---- The device, and the clock that follows it.

  Nanos Now() override { return Told(now_); }
  void Advance(Nanos) override {
    now_ += took_;
    if (options_.time_fault != TimeFault::kWildClock || random_.Below(4) > 0) return;
    clock_offset_ = static_cast<Nanos>(random_.Next() % (2 * kLeapMax)) - kLeapMax;
  }
  // What the scheduler is told of a time.
  Nanos Told(Nanos time) const { return time + clock_offset_; }

  bool runs_ahead() const override { return options_.ahead; }
  Status Begin(const StepPlan& plan) override { return Execute(plan, begun_.emplace_back()); }
  Status Finish(StepResult& result) override {
    result_ = result = std::move(begun_.front());
    begun_.pop_front();
    took_ = result.total;
    return {};
  }

  Status Execute(const StepPlan& plan, StepResult& result) override {
    Require(plan.slices.size() <= world_.config.slices_max, "a step has at most slices_max");
    // The state that a plan was made for ahead of time is not there to be measured.
    if (!options_.ahead) {
      CheckBudgets(plan);
      CheckLiveness(plan);
    }
    contexts_.clear();
    uint64_t kv_tokens = 0;
    size_t first_token = 0;
    for (const Slice& slice : plan.slices) {
      CheckSlice(plan, slice, first_token);
      first_token += slice.count;
      contexts_.push_back(LifeOf(slice.seq).digests);
      kv_tokens += scheduler_->cost_model().KvReads(slice.first_position, slice.count);
      if (slice.sample) result.sampled.push_back(Sample(LifeOf(slice.seq)));
    }
    Require(first_token == plan.tokens.size(), "a plan has the tokens of its slices");
    memory_.Execute(plan, contexts_, world_.copies_first);
    for (const SampledToken& sampled : result.sampled) Say(sampled);
    Time(plan, kv_tokens, result);
    outcome_.plans = Digest(plan);
    return {};
  }

  void Time(const StepPlan& plan, uint64_t kv_tokens, StepResult& result) {
    result.compute = world_.device.Compute(plan.tokens.size(), kv_tokens);
    result.swap_out = world_.device.Copy(CopyDirection::kOut, plan.swap_out.size());
    result.swap_in = world_.device.Copy(CopyDirection::kIn, plan.swap_in.size());
    const Nanos copies = std::max(result.swap_out, result.swap_in);
    result.total = plan.swaps_block_compute ? result.swap_out + result.swap_in + result.compute
                                            : std::max(result.compute, copies);
    took_ = result.total;
    Distort(result);
  }

  void Distort(StepResult& result) {
    switch (options_.time_fault) {
      case TimeFault::kZeroDurations:
        result.compute = result.swap_out = result.swap_in = result.total = 0;
        return;
      case TimeFault::kHugeDurations:
        for (Nanos* time : {&result.compute, &result.swap_out, &result.swap_in, &result.total}) {
          *time = static_cast<Nanos>(random_.Next() >> (1 + random_.Below(63)));
        }
        return;
      case TimeFault::kLateCopies:
        result.swap_out *= 1000;
        result.swap_in *= 1000;
        return;
      case TimeFault::kNone:
      case TimeFault::kWildClock:
        return;
    }
  }

  SampledToken Sample(const Life& life) const {
    SampledToken sampled;
    sampled.seq = life.id;
    sampled.token = NextToken(life, Size(life.tokens));
    if (life.leaves) {
      sampled.outcome = Outcome::kVoid;
    } else if (life.tokens.size() + 1 == ContextMax()) {
      sampled.outcome = Outcome::kFinish;
      sampled.finish_reason = FinishReason::kContextLength;
    } else if (life.decoded + 1 >= life.spec->segments[life.segment].decode_tokens) {
      sampled.outcome = EndOfSegment(life);
    }
    return sampled;
  }

  static Outcome EndOfSegment(const Life& life) {
    if (life.on_last_segment() || life.interception().ends_turn) return Outcome::kFinish;
    return life.interception().from_code ? Outcome::kContinue : Outcome::kPause;
  }

  // ---- What the scheduler must have recorded of the step.

  void Say(const SampledToken& sampled) {
    if (sampled.outcome == Outcome::kVoid) return;
    Life& life = LifeOf(sampled.seq);
    life.Append(sampled.token);
    ++life.decoded;
    ++life.generated;
    life.unsaid = true;
    life.leaves = sampled.outcome != Outcome::kContinue;
  }

  // Pauses from code come last: facts are told when no step is under way.
  void Record() {
    std::vector<uint32_t> paused;
    for (const SampledToken& sampled : std::exchange(result_.sampled, {})) {
      if (sampled.outcome == Outcome::kVoid) continue;
      Life& life = LifeOf(sampled.seq);
      // Still there, if it has a sample in the step under way.
      life.unsaid = life.leaves = false;
      if (RecordSample(life, sampled)) paused.push_back(Number(life));
    }
    for (const StepResult& result : begun_) {
      for (const SampledToken& sampled : result.sampled) NoteUnsaid(sampled);
    }
    if (paused.empty()) return;
    FinishStep();
    for (const uint32_t number : paused) PauseFromCode(lives_[number]);
  }

  bool HasSampleUnderWay(const Life& life) const {
    return std::ranges::any_of(begun_, [&](const StepResult& result) {
      const auto sampled = std::ranges::find(result.sampled, life.id, &SampledToken::seq);
      return sampled != result.sampled.end() && sampled->outcome != Outcome::kVoid;
    });
  }

  void NoteUnsaid(const SampledToken& sampled) {
    if (sampled.outcome == Outcome::kVoid) return;
    LifeOf(sampled.seq).unsaid = true;
    LifeOf(sampled.seq).leaves = sampled.outcome != Outcome::kContinue;
  }

  // True: it is to be paused from code.
  bool RecordSample(Life& life, const SampledToken& sampled) {
    const uint32_t tokens = Size(life.tokens) - HasSampleUnderWay(life);
    if (sampled.outcome == Outcome::kFinish) {
      life.finishes_due.push_back(tokens);
      if (life.spec->keep) {
        EndTurn(life, now_);
      } else {
        End(life, now_);
      }
      return false;
    }
    if (sampled.outcome == Outcome::kContinue)
      return life.decoded >= life.spec->segments[life.segment].decode_tokens;
    life.pauses_due.push_back(tokens);
    BeginInterception(life, now_);
    return false;
  }

  // Meanwhile it may have said more.
  void PauseFromCode(Life& life) {
    if (life.phase != Phase::kActive) return;
    life.pauses_due.push_back(Size(life.tokens));
    Require(scheduler_->Pause(life.id, {}, Told(now_)).ok(), "whoever lives can be paused");
    BeginInterception(life, now_);
  }

  void TakeEvents() {
    for (const SchedulerEvent& event : scheduler_->TakeEvents()) {
      if (const auto* pause = std::get_if<PauseEvent>(&event)) {
        TakeDue(LifeOf(pause->seq).pauses_due, pause->context_tokens);
      } else if (const auto* finish = std::get_if<FinishEvent>(&event)) {
        TakeDue(LifeOf(finish->seq).finishes_due, finish->context_tokens);
        longest_turn_ = std::max(longest_turn_, finish->total);
      } else if (const auto* resume = std::get_if<ResumeEvent>(&event)) {
        Require(LifeOf(resume->seq).resumes_due-- == 1, "a resume is reported once");
        const Hindsight& hindsight = resume->hindsight;
        Require(hindsight.regret >= 0 && hindsight.regret <= hindsight.waste,
                "what was wasted bounds what is regretted");
        regret_[static_cast<size_t>(resume->disposition)] += hindsight.regret;
      }
    }
  }

  static void TakeDue(std::vector<uint32_t>& due, uint32_t context_tokens) {
    Require(!due.empty(), "every pause and finish is reported once");
    Require(due.front() == context_tokens, "pauses and finishes tell the context's tokens");
    due.erase(due.begin());
  }

  // ---- Properties.

  Allowance MeasureAllowance() {
    const SchedulerConfig& config = world_.config;
    const CostModel& cost = scheduler_->cost_model();
    const uint32_t saturation =
        std::min(config.saturation_tokens > 0 ? config.saturation_tokens : cost.SaturationTokens(),
                 config.step_tokens_max);
    uint64_t resident = 0;
    uint64_t incoming = 0;  // blocks of those who miss others and cannot compute
    uint64_t ready = 0;
    uint32_t decodes = 0;
    Allowance allowance;
    for (const Sequence* sequence : scheduler_->Sequences()) {
      const uint32_t on_device = OnDevice(*sequence);
      if (!sequence->active()) continue;
      resident += std::min(uint64_t{sequence->computed}, scheduler_->kv().TokensIn(on_device));
      if (sequence->blocks.missing() == 0) {
        ready += sequence->pending();
      } else {
        incoming += on_device;
      }
      decodes += sequence->status == SequenceStatus::kRunning && sequence->pending() == 1;
      const uint32_t number = life_of_[Index(sequence->id)];
      if (allowance.head >= 0 && !Before(lives_[number], lives_[Size_t(allowance.head)])) continue;
      allowance.head = number;
      allowance.head_host_blocks = sequence->blocks.missing();
    }
    allowance.prefill_tokens =
        std::max(saturation - std::min(saturation, decodes), config.kv.block_tokens);
    allowance.swap_out_blocks = allowance.swap_in_blocks = UINT32_MAX;
    if (config.policy == PolicyKind::kSwap) return allowance;  // Its copies have no budget.
    resident -= std::min(resident, scheduler_->kv().TokensIn(incoming));
    // Whoever computes nothing keeps nobody waiting.
    const double saturated = cost.Forward(saturation, 0);
    const double step =
        ready == 0 ? saturated
                   : cost.Forward(static_cast<double>(std::min<uint64_t>(ready, saturation)),
                                  static_cast<double>(resident));
    allowance.idle_out_blocks = cost.CopyBlocksWithin(CopyDirection::kOut, saturated);
    allowance.idle_in_blocks = cost.CopyBlocksWithin(CopyDirection::kIn, saturated);
    allowance.swap_out_blocks = cost.CopyBlocksWithin(CopyDirection::kOut, step);
    allowance.swap_in_blocks = cost.CopyBlocksWithin(CopyDirection::kIn, step);
    return allowance;
  }

  static size_t Size_t(int64_t index) { return static_cast<size_t>(index); }

  static uint32_t OnDevice(const Sequence& sequence) { return sequence.blocks.on_device(); }

  // The queue, by the model's own record of arrivals.
  static bool Before(const Life& a, const Life& b) {
    return std::tuple(-a.priority, a.order, Index(a.id)) <
           std::tuple(-b.priority, b.order, Index(b.id));
  }

  void CheckBudgets(const StepPlan& plan) {
    const SchedulerConfig& config = world_.config;
    Require(plan.tokens.size() <= config.step_tokens_max, "a step has at most step_tokens_max");
    Require(plan.slices.size() <= config.slices_max, "a step has at most slices_max");
    CheckCopies(plan);
    uint32_t prefill = 0;
    for (const Slice& slice : plan.slices) {
      const bool decode = slice.count == 1 && slice.sample;
      if (!decode) prefill += slice.count;
    }
    Require(prefill <= allowance_.prefill_tokens, "prefill stays within what decodes leave of S");
  }

  // What is copied while the step computes takes no longer; copies out may have been planned when
  // the step was only expected.
  void CheckCopies(const StepPlan& plan) {
    const CostModel& cost = scheduler_->cost_model();
    const PolicyKind policy = world_.config.policy;
    if (policy == PolicyKind::kSwap) return;
    uint32_t out = allowance_.swap_out_blocks;
    if (!plan.slices.empty()) {
      uint64_t reads = 0;
      for (const Slice& slice : plan.slices)
        reads += cost.KvReads(slice.first_position, slice.count);
      const double step =
          cost.Forward(static_cast<double>(plan.tokens.size()), static_cast<double>(reads));
      out = std::max(out, cost.CopyBlocksWithin(CopyDirection::kOut, step));
      allowance_.swap_in_blocks = cost.CopyBlocksWithin(CopyDirection::kIn, step);
    } else {
      out = std::max(out, allowance_.idle_out_blocks);
      allowance_.swap_in_blocks = allowance_.idle_in_blocks;
    }
    Require(plan.swap_out.size() <= out, "copies out stay in their budget");
    Require(plan.swap_in.size() <= allowance_.swap_in_blocks, "copies in stay in their budget");
    if (policy == PolicyKind::kAdaptive) return;
    // Whoever waits for blocks gets one at least.
    Require(plan.swap_in.size() + plan.swap_out.size() <= out + 1,
            "the paper's policies have one budget for both directions");
  }

  void CheckSlice(const StepPlan& plan, const Slice& slice, size_t first_token) {
    Life& life = LifeOf(slice.seq);
    life.resumes_due += std::exchange(life.resumed, false);
    Require(life.phase == Phase::kActive, "only who is runnable has a slice");
    Require(slice.count > 0, "a slice has tokens");
    const uint32_t end = slice.first_position + slice.count;
    Require(end <= life.tokens.size(), "a slice lies within its context");
    Require(slice.sample == (end == life.tokens.size()), "the newest token is sampled from");
    const auto tokens = std::span(plan.tokens).subspan(first_token, slice.count);
    const size_t known = slice.count - (tokens.back() == kAwaitedToken);
    Require(std::ranges::equal(tokens.first(known),
                               std::span(life.tokens).subspan(slice.first_position, known)),
            "a slice has the tokens of its context");
    Require((known < slice.count) == (slice.sample && life.unsaid),
            "what is not known is what the step under way samples");
    if (known < slice.count) CheckAwaited(plan, life, static_cast<uint32_t>(first_token + known));
  }

  void CheckAwaited(const StepPlan& plan, const Life& life, uint32_t row) const {
    const auto awaited = std::ranges::find(plan.awaited, row, &AwaitedToken::row);
    Require(awaited != plan.awaited.end(), "a token that is not known is awaited");
    // The newest one is the step at hand.
    const std::vector<SampledToken>& samples = begun_[begun_.size() - 2].sampled;
    Require(awaited->sample < samples.size() && samples[awaited->sample].seq == life.id,
            "who awaits a token awaits its own");
  }

  // scheduler.h: what the head of the queue may have to wait for.
  void CheckLiveness(const StepPlan& plan) {
    const int64_t head = allowance_.head;
    if (head < 0) return;
    if (std::exchange(last_head_, head) != head) waited_ = waited_for_copies_ = 0;
    const Life& life = lives_[Size_t(head)];
    if (std::ranges::find(plan.slices, life.id, &Slice::seq) != plan.slices.end()) {
      waited_ = waited_for_copies_ = 0;
      return;
    }
    const Sequence& sequence = *scheduler_->Find(life.id);
    const uint32_t missing = sequence.blocks.missing();
    if (missing < allowance_.head_host_blocks) {
      const bool shared =
          world_.config.policy != PolicyKind::kAdaptive || !world_.config.ideas.full_duplex;
      Require(missing == 0 || shared || plan.swap_in.size() == allowance_.swap_in_blocks ||
                  scheduler_->kv().available() == 0,
              "the head of the queue comes back as fast as the link allows");
      return;
    }
    // `adaptive` lets it wait for copies out, a block in each step at least.
    const bool copies = world_.config.policy == PolicyKind::kAdaptive && !plan.swap_out.empty();
    waited_for_copies_ += copies;
    Require(++waited_ <= 1 + std::min(waited_for_copies_, world_.config.kv.device_blocks),
            "the head of the queue waits for memory in one step at most, or while it is copied");
  }

  void CheckStates() {
    scheduler_->CheckIntegrity();
    for (const Life& life : lives_) {
      const Sequence* sequence = scheduler_->Find(life.id);
      const bool alive = life.phase == Phase::kActive || life.phase == Phase::kPaused;
      Require((sequence != nullptr) == alive, "whoever lives has a sequence, and nobody else");
      if (!alive) continue;
      Require(sequence->active() == (life.phase == Phase::kActive), "statuses agree");
      Require(sequence->tokens.size() + life.unsaid == life.tokens.size(), "contexts agree");
      Require(sequence->blocks.on_device() <= blocks_most_, "nobody keeps more than a window");
    }
  }

  // That waste does so is part of the scheduler's integrity.
  void CheckRegretAddsUp() {
    const SchedulerStats stats = scheduler_->Stats();
    for (size_t i = 0; i < kDispositions; ++i) {
      double sum = 0;
      for (const KindWaste& kind : stats.kinds) sum += kind.regret[i];
      Require(std::abs(sum - regret_[i]) <= 1e-9 * (1 + sum), "the kinds' regrets add up");
    }
  }

  void CheckEnd() {
    CheckRegretAddsUp();
    for (const Life& life : lives_) {
      Require(life.phase == Phase::kEnded || life.phase == Phase::kUnborn, "everybody finishes");
      Require(life.finishes_due.empty() && life.pauses_due.empty() && life.resumes_due == 0,
              "every pause, resume and finish is reported");
    }
    const KvManager& kv = scheduler_->kv();
    Require(kv.available() == kv.config().device_blocks, "no device block is left behind");
    Require(kv.host_free() == kv.config().host_blocks, "no host block is left behind");
    Require(scheduler_->Sequences().empty(), "no sequence is left behind");
  }

  uint64_t Digest(const StepPlan& plan) const {
    uint64_t digest = Mix(outcome_.plans, plan.step);
    const auto add = [&digest](uint64_t value) { digest = Mix(digest, value); };
    for (const Slice& slice : plan.slices) {
      add(life_of_[Index(slice.seq)]);
      add(slice.first_position);
      add(slice.count);
    }
    for (const std::span<const BlockId> table : plan.block_tables) {
      for (const BlockId block : table) add(Index(block));
    }
    for (const auto* copies : {&plan.copies, &plan.swap_out, &plan.swap_in}) {
      add(copies->size());
      for (const BlockCopy& copy : *copies)
        add(uint64_t{Index(copy.source)} << 32 | Index(copy.target));
    }
    for (const Decision& decision : plan.decisions) {
      add(life_of_[Index(decision.seq)]);
      add(static_cast<uint64_t>(decision.disposition) << 32 | decision.blocks);
      add(std::bit_cast<uint64_t>(decision.waste_preserve));
      add(std::bit_cast<uint64_t>(decision.waste_discard));
    }
    return digest;
  }

  const World& world_;
  const RunOptions& options_;
  MemoryModel memory_;
  Rng scatter_;
  std::vector<std::unique_ptr<char[]>> scattered_;
  std::unique_ptr<Scheduler> scheduler_;
  std::vector<Life> lives_;
  std::vector<uint32_t> life_of_;  // by sequence id
  std::priority_queue<Happening, std::vector<Happening>, std::greater<>> happenings_;
  Nanos now_ = 0;
  Nanos took_ = 0;  // the last step
  Nanos clock_offset_ = 0;
  Rng random_;
  Allowance allowance_;
  uint32_t blocks_most_ = BlocksMost();  // of one sequence, on the device
  Nanos longest_turn_ = 0;               // of those that have ended
  int64_t last_head_ = -1;
  uint32_t waited_ = 0;
  uint32_t waited_for_copies_ = 0;  // steps in which the head neither ran nor came back
  StepResult result_;               // of the step that finished last
  std::deque<StepResult> begun_;    // of the steps under way
  StepsAhead ahead_{*scheduler_, *this, *this};
  std::vector<std::span<const uint64_t>> contexts_;
  std::array<double, kDispositions> regret_{};  // of all ResumeEvents
  WorldOutcome outcome_;
};

}  // namespace

WorldOutcome RunWorld(const World& world, const RunOptions& options) {
  return WorldRunner(world, options).Run();
}

}  // namespace infercept::test
