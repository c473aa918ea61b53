#include "sched/scheduler.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace infercept {
namespace {

// So many slices ahead memory is fetched: as long as a commit or two take, some hundred
// nanoseconds.
constexpr size_t kAhead = 8;
// With less than this share of the host tier free nobody steps back: chats that fill it would
// complete a tenth fewer; a sixteenth costs agents a part of what stepping back brings.
constexpr uint32_t kHostLeast = 32;

Status Unknown(SeqId seq, std::string_view wanted) {
  return {StatusCode::kInvalidArgument,
          "sequence " + std::to_string(Index(seq)) + " is not " + std::string(wanted)};
}

// With a window, a sequence goes on in chunks that fit into the pool beside it. A pool that has no
// room for a block's worth keeps all: contexts are no longer than that. Where some layers keep all
// tokens, chunks are no longer than the window, so that it leaves them room: what slides takes two
// windows at most.
SchedulerConfig FitWindow(SchedulerConfig config) {
  KvConfig& kv = config.kv;
  if (kv.full_groups > 0) {
    const uint32_t chunk = std::max(kv.window_tokens, kv.block_tokens);
    kv.chunk_tokens = std::min(config.step_tokens_max, kv.window_tokens == 0 ? UINT32_MAX : chunk);
    return config;
  }
  // Window and chunk may begin and end within blocks.
  const uint64_t room = uint64_t{kv.device_blocks - 1} * kv.block_tokens + 1;
  const uint64_t chunk = room - std::min<uint64_t>(room, kv.window_tokens);
  if (chunk < kv.block_tokens) kv.window_tokens = 0;
  kv.chunk_tokens = kv.window_tokens == 0
                        ? config.step_tokens_max
                        : static_cast<uint32_t>(std::min<uint64_t>(chunk, config.step_tokens_max));
  return config;
}

}  // namespace

Scheduler::Scheduler(const SchedulerConfig& config, const CostModel& cost)
    : config_(FitWindow(config)),
      cost_(cost),
      kv_(config_.kv),
      kinds_(config.kv.block_bytes),
      sequences_(kv_, kinds_),
      queue_(config.slo),
      account_(config_, sequences_, kinds_) {
  IC_CHECK(config.kv.device_blocks > 0 && config.kv.block_tokens > 0);
  // Room for one decode per slice and a block's worth of prefill.
  IC_CHECK(config.step_tokens_max >= config.kv.block_tokens && config.slices_max > 0);
}

Scheduler::~Scheduler() = default;

uint32_t Scheduler::context_tokens_max() const {
  return std::min(config_.context_tokens_max, kv_.TokensHeldMax());
}

Status Scheduler::CheckFits(uint64_t tokens) const {
  if (tokens <= context_tokens_max()) return {};
  const bool model = tokens > config_.context_tokens_max;
  return {model ? StatusCode::kContextTooLong : StatusCode::kOutOfMemory,
          "the context would have " + std::to_string(tokens) + " tokens, but " +
              (model ? "the model takes " + std::to_string(config_.context_tokens_max)
                     : "the KV pool holds " + std::to_string(context_tokens_max()) + " (" +
                           std::to_string(config_.kv.device_blocks) + " blocks of " +
                           std::to_string(config_.kv.block_tokens) + "); raise kvCache.bytes")};
}

Status Scheduler::Submit(SeqId seq, std::vector<TokenId> prompt, int32_t priority, bool keep,
                         Nanos now) {
  if (sequences_.Find(seq)) return {StatusCode::kInvalidArgument, "the sequence id is in use"};
  if (prompt.empty())
    return {StatusCode::kInvalidArgument, "the prompt has no tokens; give at least one"};
  // One more than the prompt: a sequence that cannot take a single new token is of no use.
  if (Status status = CheckFits(prompt.size() + 1); !status.ok()) return status;
  Sequence& sequence = sequences_.Add(seq);
  sequences_.AppendTokens(sequence, prompt);
  sequence.priority = priority;
  sequence.keep = keep;
  sequence.order = now;
  sequence.turn.arrival = now;
  sequence.turn.prompt_tokens = static_cast<uint32_t>(sequence.tokens.size());
  sequences_.Place(sequence);
  return {};
}

Sequence* Scheduler::FindPaused(SeqId seq) {
  Sequence* sequence = sequences_.Find(seq);
  return sequence && sequence->status == SequenceStatus::kPaused ? sequence : nullptr;
}

Status Scheduler::Resume(SeqId seq, std::span<const TokenId> returned, bool new_turn, Nanos now) {
  account_.ChargeIdle(now);
  Sequence* sequence = FindPaused(seq);
  if (!sequence) return Unknown(seq, "paused");
  if (sequence->pending() + returned.size() == 0) {
    return {StatusCode::kInvalidArgument,
            "nothing to compute: every token of the context is computed and none was returned"};
  }
  if (Status status = CheckFits(sequence->tokens.size() + returned.size() + 1); !status.ok())
    return status;
  const Nanos waited = now - sequence->interception.started;
  if (config_.learn_durations) durations_.Observe(sequence->interception.kind, waited);
  sequences_.AppendTokens(*sequence, returned);
  sequence->resumed = sequence->interception;
  sequence->resumed->refused_seconds = kinds_.spent().refused - sequence->held.refused_before;
  sequence->resumed_at = now;
  sequence->interception = {};
  sequence->suspended = false;
  if (new_turn) {
    sequence->turn = {};
    sequence->turn.arrival = now;
  }
  sequence->order = PlaceOf(*sequence, new_turn, now);
  if (!new_turn) sequence->turn.intercepted += waited;
  sequence->turn.prompt_tokens += static_cast<uint32_t>(returned.size());
  sequence->status = SequenceStatus::kWaiting;
  sequence->sought_step = 0;
  sequences_.Place(*sequence);
  return {};
}

// Whoever steps back waits on the host. When that is nearly full, or there is none, it would be
// computed again.
Nanos Scheduler::PlaceOf(const Sequence& sequence, bool new_turn, Nanos now) const {
  if (new_turn || config_.policy == PolicyKind::kDiscardRequeue) return now;
  const bool yields = config_.policy == PolicyKind::kAdaptive && config_.ideas.large_yield &&
                      kv_.host_available() > config_.kv.host_blocks / kHostLeast;
  const Nanos arrival = sequence.turn.arrival;
  return yields ? queue_.PlaceOf(arrival, HeldTokens(sequence)) : arrival;
}

// What its context takes memory for.
size_t Scheduler::HeldTokens(const Sequence& sequence) const {
  const size_t tokens = sequence.tokens.size();
  const KvConfig& kv = config_.kv;
  if (kv.window_tokens == 0 || tokens <= kv.window_tokens) return tokens;
  const size_t sliding = size_t{kv.window_tokens} * (kv.groups - kv.full_groups);
  return (tokens * kv.full_groups + sliding) / kv.groups;
}

Status Scheduler::Mark(SeqId seq, const InterceptionFacts& facts, Nanos now) {
  Sequence* sequence = sequences_.Find(seq);
  if (!sequence) return Unknown(seq, "alive");
  InterceptionState& interception = sequence->interception;
  if (facts.kind) {
    interception.kind = *facts.kind;
    interception.forecast = {};
    if (sequence->status == SequenceStatus::kPaused)
      kinds_.Rename(sequence->held, kinds_.RowOf(*facts.kind));
  }
  if (facts.remaining) interception.expected_end = now + *facts.remaining;
  if (facts.disposition && interception.wish != facts.disposition) {
    interception.wish = facts.disposition;
    if (sequence->status == SequenceStatus::kPaused) sequences_.Place(*sequence);
  }
  return {};
}

Status Scheduler::Pause(SeqId seq, const InterceptionFacts& facts, Nanos now) {
  Sequence* sequence = sequences_.Find(seq);
  if (!sequence) return Unknown(seq, "alive");
  if (sequence->active()) BeginPause(*sequence, PauseReason::kCode, now);
  return Mark(seq, facts, now);
}

Status Scheduler::Abort(SeqId seq, std::optional<uint32_t> tokens, Nanos now) {
  account_.ChargeIdle(now);
  Sequence* sequence = sequences_.Find(seq);
  if (!sequence) return Unknown(seq, "alive");
  if (!sequence->keep) {
    EndTurn(*sequence, FinishReason::kAborted, now);
    return Release(seq);
  }
  EndTurn(*sequence, FinishReason::kAborted, now);
  if (tokens) CutBack(*sequence, *tokens);
  return {};
}

Status Scheduler::Rewind(SeqId seq, uint32_t tokens) {
  Sequence* sequence = FindPaused(seq);
  if (!sequence) return Unknown(seq, "paused");
  if (tokens == 0 || tokens > sequence->tokens.size()) {
    return {StatusCode::kInvalidArgument, "cannot rewind to " + std::to_string(tokens) + " of " +
                                              std::to_string(sequence->tokens.size()) + " tokens"};
  }
  CutBack(*sequence, tokens);
  return {};
}

// A block that stays is full: partly valid blocks would have to be copied before they are written
// again.
void Scheduler::CutBack(Sequence& sequence, uint32_t tokens) {
  sequence.tokens.resize(std::min<size_t>(sequence.tokens.size(), tokens));
  const uint32_t full = tokens / config_.kv.block_tokens;
  if (sequence.computed > tokens) {
    const uint32_t usable = kv_.UsableRows(sequence.blocks, full);
    kv_.Truncate(sequence.blocks, usable * config_.kv.groups);
    sequence.computed = usable * config_.kv.block_tokens;
  }
  kv_.Forget(sequence.blocks, full);
  sequence.computed_once = std::min(sequence.computed_once, tokens);
  sequences_.Update(sequence);
}

Status Scheduler::Fork(SeqId parent, SeqId child, Nanos now) {
  Sequence* source = FindPaused(parent);
  if (!source) return Unknown(parent, "paused");
  if (sequences_.Find(child))
    return {StatusCode::kInvalidArgument, "the child's sequence id is in use"};
  Sequence& copy = sequences_.Add(child);
  sequences_.AppendTokens(copy, source->tokens);
  copy.computed = source->computed;
  copy.computed_once = source->computed_once;
  kv_.Share(source->blocks, copy.blocks);
  copy.priority = source->priority;
  copy.keep = true;
  copy.order = now;
  copy.turn.arrival = now;
  copy.status = SequenceStatus::kPaused;
  BeginInterception(copy, now);
  sequences_.Update(*source);
  sequences_.Place(copy);
  return {};
}

Status Scheduler::Suspend(SeqId seq) {
  Sequence* sequence = FindPaused(seq);
  if (!sequence) return Unknown(seq, "paused");
  sequence->suspended = true;
  sequences_.Place(*sequence);
  return {};
}

Status Scheduler::Release(SeqId seq) {
  Sequence* sequence = sequences_.Find(seq);
  if (!sequence) return Unknown(seq, "alive");
  kv_.Truncate(sequence->blocks, 0);
  sequences_.Remove(seq);
  return {};
}

// Of the kind that was announced for it.
void Scheduler::BeginInterception(Sequence& sequence, Nanos now) {
  InterceptionState& interception = sequence.interception;
  interception.started = now;
  interception.context_tokens = sequence.computed;
  interception.released_blocks = sequence.blocks.released();
  interception.all_blocks = sequence.blocks.on_device();
  interception.own_blocks = sequence.blocks.private_blocks();
  kinds_.Begin(sequence.held, kinds_.RowOf(interception.kind));
}

void Scheduler::BeginPause(Sequence& sequence, PauseReason reason, Nanos now) {
  sequence.status = SequenceStatus::kPaused;
  // Paused again before anything of it was computed: nothing had to be brought back for the last
  // one.
  if (sequence.resumed)
    kinds_.CountInterception(kinds_.RowOf(sequence.resumed->kind), Disposition::kPreserve, 0);
  sequence.resumed.reset();
  BeginInterception(sequence, now);
  sequences_.Place(sequence);
  events_.push_back(PauseEvent{sequence.id, reason, static_cast<uint32_t>(sequence.tokens.size())});
}

// A kept sequence pauses: the gap until its next turn is an interception too.
void Scheduler::EndTurn(Sequence& sequence, FinishReason reason, Nanos now) {
  const TurnState& turn = sequence.turn;
  FinishEvent event;
  event.seq = sequence.id;
  event.reason = reason;
  event.context_tokens = static_cast<uint32_t>(sequence.tokens.size());
  event.prompt_tokens = turn.prompt_tokens;
  event.generated_tokens = turn.generated_tokens;
  event.cached_tokens = turn.cached_tokens;
  event.queued = (turn.first_scheduled < 0 ? now : turn.first_scheduled) - turn.arrival;
  event.first_token = (turn.first_token < 0 ? now : turn.first_token) - turn.arrival;
  event.total = now - turn.arrival;
  event.intercepted = turn.intercepted;
  if (sequence.status == SequenceStatus::kPaused)
    event.intercepted += now - sequence.interception.started;
  events_.push_back(event);
  if (reason != FinishReason::kAborted) queue_.Observe(event.total, HeldTokens(sequence));
  sequence.status = sequence.keep ? SequenceStatus::kPaused : SequenceStatus::kFinished;
  sequence.interception = {};
  BeginInterception(sequence, now);
  sequence.resumed.reset();
  sequences_.Place(sequence);
}

const StepPlan& Scheduler::Plan(Nanos now) {
  IC_CHECK(!assumed_);
  account_.ChargeIdle(now);
  return BuildPlan(now);
}

const StepPlan& Scheduler::PlanAhead(Nanos now) {
  IC_CHECK(open_ && !assumed_);
  Assume(steps_[newest_]);
  assumed_ = true;
  newest_ = 1 - newest_;
  return BuildPlan(now);
}

const StepPlan& Scheduler::BuildPlan(Nanos now) {
  auto& [plan, notes] = steps_[newest_];
  plan.Clear();
  plan.step = ++planned_;
  const StepContext context{config_,    cost_,  durations_, kv_,      kinds_,
                            sequences_, stats_, events_,    buffers_, now};
  StepBuilder(context, plan, notes).Build();
  open_ = !plan.empty();
  return plan;
}

// What is known of a step before its answer is.
void Scheduler::Assume(PlannedStep& step) {
  kv_.CompleteCopies();
  uint32_t samples = 0;
  for (size_t i = 0; i < kAhead; ++i) PrepareCommit(step, i);
  for (size_t i = 0; i < step.plan.slices.size(); ++i) {
    PrepareCommit(step, i + kAhead);
    Sequence& sequence = *step.notes.sequences[i];
    const Slice& slice = step.plan.slices[i];
    const uint32_t sample = slice.sample ? samples++ : 0;
    if (IsVoid(sequence)) continue;
    CommitSlice(sequence, slice);
    if (slice.sample) {
      sequences_.AppendToken(sequence, kAwaitedToken);
      sequence.awaited_sample = sample;
    }
    sequences_.Update(sequence);
  }
}

void Scheduler::Commit(const StepResult& result, Nanos now) {
  PlannedStep& step = steps_[assumed_ ? 1 - newest_ : newest_];
  CheckAnswers(step, result);
  account_.ChargeStep(result, step.notes, now);
  ++stats_.steps;
  if (assumed_) {
    CommitAwaited(step, result, now);
  } else {
    CommitSlices(step, result, now);
  }
  ReleaseEnded();
  CommitOutcomes(step, result, now);
  stats_.query_tokens += step.notes.query_tokens;
  stats_.recomputed_tokens += step.notes.recompute_tokens;
  ObserveCosts(step, result);
}

void Scheduler::CommitSlices(PlannedStep& step, const StepResult& result, Nanos now) {
  open_ = false;
  kv_.CompleteCopies();
  for (size_t i = 0; i < kAhead; ++i) PrepareCommit(step, i);
  auto sampled = result.sampled.begin();
  for (size_t i = 0; i < step.plan.slices.size(); ++i) {
    PrepareCommit(step, i + kAhead);
    Sequence& sequence = *step.notes.sequences[i];
    const Slice& slice = step.plan.slices[i];
    const SampledToken* answer = slice.sample ? &*sampled++ : nullptr;
    if (IsVoid(sequence)) continue;
    CommitSlice(sequence, slice);
    if (answer != nullptr) {
      IC_CHECK(sequence.status == SequenceStatus::kRunning && sequence.pending() == 0);
      sequences_.AppendToken(sequence, answer->token);
      NoteToken(sequence, now);
    }
    sequences_.Update(sequence);
  }
  step.plan.block_tables.clear();  // The tables change from here on.
}

// The rest of a step that was assumed: the tokens, in the places that were kept for them.
void Scheduler::CommitAwaited(PlannedStep& step, const StepResult& result, Nanos now) {
  assumed_ = false;
  auto sampled = result.sampled.begin();
  for (size_t i = 0; i < step.plan.slices.size(); ++i) {
    if (!step.plan.slices[i].sample) continue;
    const TokenId token = sampled++->token;
    Sequence& sequence = *step.notes.sequences[i];
    if (IsVoid(sequence)) continue;
    IC_CHECK(sequence.tokens.back() == kAwaitedToken);
    sequence.tokens.back() = token;
    NoteToken(sequence, now);
  }
}

void Scheduler::NoteToken(Sequence& sequence, Nanos now) {
  ++sequence.turn.generated_tokens;
  if (sequence.turn.first_token < 0) sequence.turn.first_token = now;
}

void Scheduler::ObserveCosts(const PlannedStep& step, const StepResult& result) {
  const auto& [plan, notes] = step;
  if (notes.query_tokens > 0) {
    stats_.predicted_seconds +=
        cost_.Forward(notes.query_tokens, static_cast<double>(notes.kv_tokens));
    stats_.measured_seconds += static_cast<double>(result.compute) / kNanosPerSecond;
  }
  cost_.Observe(ForwardSample{notes.query_tokens, notes.kv_tokens, result.compute});
  cost_.Observe(CopyDirection::kOut,
                {static_cast<uint32_t>(plan.swap_out.size()), result.swap_out});
  cost_.Observe(CopyDirection::kIn, {static_cast<uint32_t>(plan.swap_in.size()), result.swap_in});
}

void Scheduler::CheckAnswers(const PlannedStep& step, const StepResult& result) const {
  const uint32_t longest = context_tokens_max();
  auto sampled = result.sampled.begin();
  for (size_t i = 0; i < step.plan.slices.size(); ++i) {
    const Slice& slice = step.plan.slices[i];
    if (!slice.sample) continue;
    IC_CHECK(sampled != result.sampled.end() && sampled->seq == slice.seq);
    const bool is_void = sampled->outcome == Outcome::kVoid;
    IC_CHECK(is_void == IsVoid(*step.notes.sequences[i]));
    IC_CHECK(is_void || slice.first_position + slice.count < longest);
    ++sampled;
  }
  IC_CHECK(sampled == result.sampled.end());
}

// Fetches what the commit of a slice will look at: many sequences are more than a cache holds.
void Scheduler::PrepareCommit(const PlannedStep& step, size_t slice) const {
  const std::vector<Slice>& slices = step.plan.slices;
  if (slice + kAhead < slices.size()) step.notes.sequences[slice + kAhead]->Prefetch();
  if (slice >= slices.size()) return;
  Sequence& sequence = *step.notes.sequences[slice];
  if (IsVoid(sequence)) return;
  kv_.PrepareSeal(sequence.blocks, sequence.tokens, sequence.computed + slices[slice].count);
}

void Scheduler::CommitSlice(Sequence& sequence, const Slice& slice) {
  IC_CHECK(sequence.computed == slice.first_position);
  sequence.computed += slice.count;
  sequence.computed_once = std::max(sequence.computed_once, sequence.computed);
  kv_.Seal(sequence.blocks, sequence.tokens, sequence.computed);
  kv_.Release(sequence.blocks, sequence.computed);
}

// After all tokens: what ends gives its memory back.
void Scheduler::CommitOutcomes(PlannedStep& step, const StepResult& result, Nanos now) {
  auto sampled = result.sampled.begin();
  for (size_t i = 0; i < step.plan.slices.size(); ++i) {
    if (!step.plan.slices[i].sample) continue;
    const Outcome outcome = sampled->outcome;
    if (outcome == Outcome::kPause || outcome == Outcome::kFinish)
      CommitOutcome(*step.notes.sequences[i], *sampled, now);
    ++sampled;
  }
}

void Scheduler::CommitOutcome(Sequence& sequence, const SampledToken& sampled, Nanos now) {
  DropVoidSlice(sequence);
  if (sampled.outcome == Outcome::kPause) {
    BeginPause(sequence, sampled.pause_reason, now);
    return;
  }
  EndTurn(sequence, sampled.finish_reason, now);
  if (sequence.keep) return;
  kv_.Truncate(sequence.blocks, 0);
  sequence.computed = 0;
  ended_.push_back(sampled.seq);
  // Else the notes of the next step may speak of it.
  if (!open_) ReleaseEnded();
}

// What the step under way computes for a sequence that does not go on has no place in its table:
// its newest token stays to be computed, so that there is something to sample from when it does.
void Scheduler::DropVoidSlice(Sequence& sequence) {
  if (!open_ || sequence.planned_step != steps_[newest_].plan.step) return;
  kv_.Truncate(sequence.blocks, kv_.BlocksFor(sequence.computed));
}

void Scheduler::ReleaseEnded() {
  for (const SeqId seq : ended_) sequences_.Remove(seq);
  ended_.clear();
}

std::vector<SchedulerEvent>& Scheduler::TakeEvents() {
  taken_events_.clear();
  std::swap(taken_events_, events_);
  return taken_events_;
}

SchedulerStats Scheduler::Stats() const {
  SchedulerStats stats;
  ReadStats(stats);
  return stats;
}

void Scheduler::ReadStats(SchedulerStats& stats) const {
  std::vector<KindWaste> kinds = std::move(stats.kinds);
  stats = stats_;
  stats.kinds = std::move(kinds);
  kinds_.Read(stats.kinds);
  stats.waste = account_.waste();
  for (const Sequence* sequence : sequences_.active()) {
    ++(sequence->status == SequenceStatus::kRunning ? stats.running : stats.waiting);
  }
  stats.paused = static_cast<uint32_t>(sequences_.paused().size());
  stats.device_blocks = config_.kv.device_blocks;
  stats.device_blocks_free = kv_.device_free();
  stats.device_blocks_cached = kv_.cached();
  stats.host_blocks = config_.kv.host_blocks;
  stats.host_blocks_free = kv_.host_free();
  stats.cost_error = cost_.relative_error();
  stats.cost = cost_.profile();
}

const Sequence* Scheduler::Find(SeqId seq) const {
  const Sequence* sequence = sequences_.Find(seq);
  const bool ended = sequence != nullptr && sequence->status == SequenceStatus::kFinished;
  return ended ? nullptr : sequence;
}

std::vector<const Sequence*> Scheduler::Sequences() const { return sequences_.All(); }

// Tokens that the sequence's table has blocks for: with those that a step under way computes.
uint32_t Scheduler::CoveredTokens(const Sequence& sequence) const {
  const StepPlan& plan = steps_[newest_].plan;
  if (!open_ || IsVoid(sequence) || sequence.planned_step != plan.step) return sequence.computed;
  const auto slice = std::ranges::find(plan.slices, sequence.id, &Slice::seq);
  IC_CHECK(slice != plan.slices.end() && slice->first_position == sequence.computed);
  return sequence.computed + slice->count;
}

void Scheduler::CheckIntegrity() const {
  std::vector<const BlockTable*> tables;
  for (const Sequence* sequence : sequences_.All()) {
    IC_CHECK(sequence->computed <= sequence->tokens.size());
    IC_CHECK(sequence->blocks.size() == kv_.BlocksFor(CoveredTokens(*sequence)));
    IC_CHECK(sequence->blocks.released() == kv_.ReleasedFor(sequence->computed));
    tables.push_back(&sequence->blocks);
  }
  kv_.CheckIntegrity(tables);
  sequences_.CheckIntegrity();
  account_.CheckIntegrity();
}

std::string Scheduler::DebugString() const {
  std::string text = "available " + std::to_string(kv_.available()) + " of " +
                     std::to_string(config_.kv.device_blocks) + " device blocks, host free " +
                     std::to_string(kv_.host_free()) + "\n";
  for (const Sequence* sequence : sequences_.All()) text += sequence->DebugString() + "\n";
  return text + steps_[newest_].plan.DebugString();
}

}  // namespace infercept
