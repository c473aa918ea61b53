// The half of StepBuilder that takes memory back.
#include <algorithm>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "sched/step_builder.h"
#include "sched/waste.h"

namespace infercept {
namespace {

constexpr double kSecondsPerNano = 1e-9;

// The candidate that loses least by recomputing per block that it frees is taken first.
bool TakenLater(const Decision& a, const Decision& b) {
  return std::tuple(a.waste_discard / a.blocks, a.place) >
         std::tuple(b.waste_discard / b.blocks, b.place);
}

}  // namespace

StepLoad StepBuilder::MeasureLoad() const {
  StepLoad load;
  const SchedulerConfig& config = context_.config;
  load.saturation_tokens = std::min(
      config.saturation_tokens ? config.saturation_tokens : context_.cost.SaturationTokens(),
      config.step_tokens_max);
  const SequenceSums& active = context_.sequences.active_sums();
  load.running_tokens = active.device_tokens;
  load.decode_tokens = static_cast<uint32_t>(active.decodes);
  load.paused_tokens = context_.sequences.paused_sums().device_tokens;
  load.swap_out_blocks =
      SwapOutBudget(context_.config.policy, active.pending_tokens, load, context_.cost);
  load.host_blocks_free = kv_.host_free();
  load.bytes_per_token = static_cast<double>(kv_.config().block_bytes) / kv_.config().block_tokens;
  load.shortage_blocks = Shortage();
  return load;
}

// A sixteenth of the pool is kept in reserve: copies need a step, so what is wanted next must be on
// its way already.
constexpr uint32_t kReserveShare = 16;

// Device blocks that all active sequences want, and the reserve, beyond what is available or on its
// way.
uint32_t StepBuilder::Shortage() const {
  uint64_t wanted = kv_.config().device_blocks / kReserveShare;
  const SequenceSums& active = context_.sequences.active_sums();
  wanted += active.wanted_blocks;
  if (active.forked > 0) {
    for (const Sequence* sequence : context_.sequences.active()) {
      wanted += kv_.CopyCost(sequence->blocks, sequence->computed);
    }
  }
  const uint64_t has = uint64_t{kv_.available()} + kv_.leaving();
  return wanted > has ? static_cast<uint32_t>(wanted - has) : 0;
}

PausedContext StepBuilder::Describe(const Sequence& sequence) const {
  const InterceptionState& interception = sequence.interception;
  PausedContext paused;
  paused.seq = sequence.id;
  paused.place = sequence.blocks.tag;
  paused.tokens = sequence.computed;
  paused.device_blocks = sequence.blocks.private_blocks();
  paused.block_tokens = kv_.config().block_tokens;
  paused.elapsed_seconds =
      static_cast<double>(context_.now - interception.started) * kSecondsPerNano;
  paused.residual_seconds =
      interception.expected_end && *interception.expected_end > context_.now
          ? static_cast<double>(*interception.expected_end - context_.now) * kSecondsPerNano
          : context_.durations.Residual(interception.kind, context_.now - interception.started);
  return paused;
}

Decision StepBuilder::Weigh(const PausedContext& paused, Disposition disposition,
                            uint32_t blocks) const {
  return {paused.seq,
          disposition,
          blocks,
          WastePreserve(paused, paused.residual_seconds, load_),
          WasteSwap(paused, load_.swap_out_blocks, load_, context_.cost),
          WasteDiscard(paused, load_, context_.cost),
          paused.place};
}

void StepBuilder::Reclaim() {
  GiveUpWaived();
  NoteUndecided();
  if (PolicyActs(context_.config.policy, load_)) AskPolicy();
  for (const PausedContext& paused : context_.buffers.undecided) {
    Sequence& sequence = *context_.sequences.Find(paused.seq);
    if (!sequence.interception.decided) Report(sequence, Weigh(paused, Disposition::kPreserve, 0));
  }
}

// A tool's `disposition`, or session.suspend.
void StepBuilder::GiveUpWaived() {
  std::vector<SeqId>& waived = context_.buffers.waived;
  waived.clear();
  for (const BlockTable* table : kv_.holders(Hold::kWaived)) {
    waived.push_back(context_.sequences.PausedOwner(*table).id);
  }
  for (const SeqId seq : waived) {
    const Sequence& sequence = *context_.sequences.Find(seq);
    const PausedContext paused = Describe(sequence);
    if (paused.device_blocks == 0) continue;  // One before it let go of what they shared.
    const bool to_host = sequence.suspended || sequence.interception.wish == Disposition::kSwap;
    const bool swap = to_host && kv_.host_free() > 0;
    CarryOut(
        Weigh(paused, swap ? Disposition::kSwap : Disposition::kDiscard, paused.device_blocks));
  }
}

// Contexts of which nothing was said yet: they are reported as preserved if nothing else is
// decided.
void StepBuilder::NoteUndecided() {
  std::vector<PausedContext>& undecided = context_.buffers.undecided;
  undecided.clear();
  for (const SeqId seq : context_.sequences.undecided()) {
    Sequence* sequence = context_.sequences.Find(seq);
    if (sequence == nullptr) continue;
    if (sequence->blocks.hold() == Hold::kLent && !sequence->interception.decided) {
      undecided.push_back(Describe(*sequence));
    } else if (sequence->blocks.hold() == Hold::kKept) {
      Report(*sequence, Weigh(Describe(*sequence), Disposition::kPreserve, 0));
    }
  }
  context_.sequences.undecided().clear();
}

// About contexts for which the caller has no wish of its own, as far as they hold memory.
void StepBuilder::AskPolicy() {
  PlanBuffers& buffers = context_.buffers;
  buffers.paused.clear();
  for (const BlockTable* table : kv_.holders(Hold::kLent)) {
    buffers.paused.push_back(Describe(context_.sequences.PausedOwner(*table)));
  }
  buffers.decisions.clear();
  PolicyFunction(context_.config.policy)(buffers.paused, load_, context_.cost, buffers.decisions);
  for (const Decision& decision : buffers.decisions) CarryOut(decision);
}

void StepBuilder::CarryOut(Decision decision) {
  Sequence& sequence = *context_.sequences.Find(decision.seq);
  const uint32_t wanted = std::exchange(decision.blocks, 0);
  if (decision.disposition == Disposition::kSwap) {
    decision.blocks = SwapOutSuffix(sequence, wanted);
    if (synchronous() && decision.blocks > 0) plan_.swaps_block_compute = true;
    // The synchronous policy has nothing else: what the host cannot take is discarded.
    if (synchronous() && decision.blocks < wanted) decision.disposition = Disposition::kDiscard;
  }
  if (decision.disposition == Disposition::kDiscard) {
    decision.blocks += DiscardSuffix(sequence, wanted - decision.blocks);
  }
  if (decision.blocks > 0) Report(sequence, decision);
}

void StepBuilder::Report(Sequence& sequence, const Decision& decision) {
  InterceptionState& interception = sequence.interception;
  plan_.decisions.push_back(decision);
  interception.worst = std::max(interception.worst, decision.disposition);
  interception.given_up_blocks += decision.blocks;
  if (interception.decided == decision.disposition) return;
  interception.decided = decision.disposition;
  context_.events.push_back(
      DecisionEvent{decision, EstimateOf(sequence, decision.expectation), pressure_});
}

MemoryPressure StepBuilder::MeasurePressure() const {
  return {kv_.device_free(), kv_.available(), load_.shortage_blocks, load_.host_blocks_free,
          load_.swap_out_blocks};
}

WaitEstimate StepBuilder::EstimateOf(const Sequence& sequence, Expectation expectation) const {
  const PausedContext paused = Describe(sequence);
  using Source = WaitEstimate::Source;
  if (expectation == Expectation::kElapsed)
    return {paused.elapsed_seconds, paused.elapsed_seconds, Source::kElapsed};
  const std::optional<Nanos> end = sequence.interception.expected_end;
  const Source learned = context_.durations.empty() ? Source::kElapsed : Source::kLearned;
  return {paused.elapsed_seconds, paused.residual_seconds,
          end && *end > context_.now ? Source::kAnnounced : learned};
}

// Plans to move up to `blocks` private blocks to the host, last ones first. Returns how many.
uint32_t StepBuilder::SwapOutSuffix(Sequence& sequence, uint32_t blocks) {
  uint32_t moved = 0;
  for (uint32_t i = sequence.blocks.size(); i > 0 && moved < blocks; --i) {
    if (swap_out_left_ == 0 || kv_.host_free() == 0) break;
    if (!kv_.IsPrivate(sequence.blocks, i - 1)) continue;
    kv_.SwapOut(sequence.blocks, i - 1, plan_.swap_out);
    --swap_out_left_;
    ++moved;
  }
  if (moved > 0) {
    context_.sequences.Update(sequence);
    notes_.copied.push_back({&sequence, moved});
  }
  context_.stats.swapped_out_blocks += moved;
  return moved;
}

// Gives up table entries from the end until `blocks` private device blocks became available.
// Returns how many did.
uint32_t StepBuilder::DiscardSuffix(Sequence& sequence, uint32_t blocks) {
  uint32_t first = sequence.blocks.size();
  uint32_t freed = 0;
  while (first > 0 && freed < blocks) freed += kv_.IsPrivate(sequence.blocks, --first);
  kv_.Truncate(sequence.blocks, first);
  sequence.computed = std::min(sequence.computed, first * kv_.config().block_tokens);
  context_.sequences.Update(sequence);
  context_.stats.discarded_blocks += freed;
  return freed;
}

bool StepBuilder::MakeRoom(const Sequence& sequence, uint32_t blocks, bool revoke) {
  if (TakeFromPaused(blocks, revoke)) return true;
  if (kv_.available() + kv_.leaving() >= blocks)
    return false;  // Next step, when the copies are done.
  return PreemptYoungerThan(sequence, blocks);
}

// Contexts that the policy would rather keep, cheapest recompute per freed block first. A policy
// that preserves is asked for nothing unless the oldest sequence needs it (`revoke`).
bool StepBuilder::TakeFromPaused(uint32_t blocks, bool revoke) {
  const auto secured = [&] { return kv_.available() + kv_.leaving() >= blocks; };
  const auto nothing_to_take = [&] {
    return !revoke && swap_out_left_ == 0 && kv_.host_free() > 0;
  };
  if (secured() || (context_.config.policy == PolicyKind::kPreserve && !revoke)) {
    return kv_.available() >= blocks;
  }
  if (!nothing_to_take()) GatherCandidates(revoke);
  std::vector<Decision>& candidates = context_.buffers.candidates;
  while (!secured() && !nothing_to_take() && !candidates.empty()) {
    std::ranges::pop_heap(candidates, TakenLater);
    const Decision candidate = candidates.back();
    candidates.pop_back();
    Sequence& victim = *context_.sequences.Find(candidate.seq);
    TakeFrom(victim, candidate, blocks, revoke);
    if (AddCandidate(victim, revoke)) std::ranges::push_heap(candidates, TakenLater);
  }
  if (revoke && !secured()) DropAllPaused();
  return kv_.available() >= blocks;
}

// Gathered once per step, unless what the candidates share with others has changed since.
void StepBuilder::GatherCandidates(bool revoke) {
  if (candidates_revoke_ == revoke && candidates_as_of_ == kv_.sharing_changes()) return;
  candidates_revoke_ = revoke;
  candidates_as_of_ = kv_.sharing_changes();
  context_.buffers.candidates.clear();
  for (const Hold hold : {Hold::kLent, Hold::kWaived, Hold::kKept}) {
    if (hold == Hold::kKept && !revoke) continue;
    for (const BlockTable* table : kv_.holders(hold)) {
      AddCandidate(context_.sequences.PausedOwner(*table), revoke);
    }
  }
  std::ranges::make_heap(context_.buffers.candidates, TakenLater);
}

// At the end of the list. False: the sequence has nothing to give, or it would be a loss.
bool StepBuilder::AddCandidate(const Sequence& sequence, bool revoke) {
  const PausedContext paused = Describe(sequence);
  if (paused.device_blocks == 0) return false;
  const Decision decision = Weigh(paused, Disposition::kSwap, paused.device_blocks);
  if (!revoke && decision.waste_discard > decision.waste_preserve) return false;
  context_.buffers.candidates.push_back(decision);
  return true;
}

// What is missing of `blocks`, as far as the victim has it: to the host first.
void StepBuilder::TakeFrom(Sequence& victim, Decision decision, uint32_t blocks, bool revoke) {
  const auto missing = [&] { return blocks - std::min(blocks, kv_.available() + kv_.leaving()); };
  decision.blocks = SwapOutSuffix(victim, missing());
  if (missing() > 0 && (revoke || kv_.host_free() == 0)) {
    decision.disposition = Disposition::kDiscard;
    decision.blocks += DiscardSuffix(victim, missing());
  }
  if (decision.blocks > 0) Report(victim, decision);
}

// Last resort: what paused contexts share among themselves is private to none of them, so all let
// go.
void StepBuilder::DropAllPaused() {
  for (Sequence* sequence : context_.sequences.paused()) {
    if (sequence->blocks.empty()) continue;
    Decision decision = Weigh(Describe(*sequence), Disposition::kDiscard, 0);
    decision.blocks = DiscardSuffix(*sequence, UINT32_MAX);
    Report(*sequence, decision);
  }
  candidates_revoke_.reset();
}

bool StepBuilder::PreemptYoungerThan(const Sequence& sequence, uint32_t blocks) {
  const std::vector<Sequence*>& active = context_.sequences.active();
  for (auto victim = active.rbegin(); victim != active.rend() && *victim != &sequence; ++victim) {
    if (kv_.available() >= blocks) break;
    if ((*victim)->blocks.empty() || InPlan(**victim)) continue;
    if ((*victim)->incoming_step == plan_.step)
      continue;  // Its blocks are targets of copies in this plan.
    (*victim)->status = SequenceStatus::kWaiting;
    // One that has not run since its interception has lost nothing else yet.
    if (!(*victim)->resumed) context_.kinds.Blame((*victim)->held, kPreemptionRow);
    DiscardSuffix(**victim, blocks - kv_.available());
    ++context_.stats.preemptions;
  }
  return kv_.available() >= blocks;
}

}  // namespace infercept
