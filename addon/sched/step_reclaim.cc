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

// The order in which candidates are taken: whoever loses least by recomputing, per block that it
// frees; under `adaptive`, which moves before it discards, whoever is expected to stay away
// longest.
struct TakenLater {
  bool adaptive;
  double Loss(const Decision& decision) const {
    return (adaptive ? -decision.waste_preserve : decision.waste_discard) / decision.blocks;
  }
  bool operator()(const Decision& a, const Decision& b) const {
    return std::tuple(Loss(a), a.place) > std::tuple(Loss(b), b.place);
  }
};

// So many contexts that wait, and for so many steps, are looked at instead of all.
constexpr uint32_t kLongest = 128;
constexpr uint64_t kLongestSteps = 64;

bool StaysLonger(const PausedContext& a, const PausedContext& b) {
  return std::tuple(-a.residual_seconds, a.place) < std::tuple(-b.residual_seconds, b.place);
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
  load.host_blocks_free = adaptive() ? kv_.host_available_ahead() : kv_.host_available();
  load.bytes_per_token = static_cast<double>(kv_.config().block_bytes) / kv_.config().block_tokens;
  MeasureLink(load, ExpectedSeconds(load));
  MeasureShortage(load);
  return load;
}

// Seconds that the step will compute for, as far as can be said before it is filled.
double StepBuilder::ExpectedSeconds(const StepLoad& load) const {
  const SequenceSums& active = context_.sequences.active_sums();
  // Sequences that miss blocks compute nothing; all that they have may be copied ones.
  const uint64_t incoming = active.incoming_blocks * kv_.config().block_tokens;
  const uint64_t resident = load.running_tokens - std::min(load.running_tokens, incoming);
  return StepSeconds(std::min<uint64_t>(active.ready_tokens, load.saturation_tokens), resident,
                     load.saturation_tokens, context_.cost);
}

// The paper's policies have one budget for both directions: in + out <= N, and what comes in and
// what is computed shall fit into what is free and goes out, in + new <= free + out (InferCept
// §4.1). `adaptive` takes links for what they are, full duplex.
void StepBuilder::MeasureLink(StepLoad& load, double seconds) const {
  load.swap_out_blocks = load.swap_in_blocks = UINT32_MAX;
  if (synchronous()) return;
  load.swap_out_blocks = context_.cost.CopyBlocksWithin(CopyDirection::kOut, seconds);
  load.swap_in_blocks = context_.cost.CopyBlocksWithin(CopyDirection::kIn, seconds);
  if (full_duplex()) return;
  const auto missing = static_cast<int64_t>(context_.sequences.active_sums().missing_blocks);
  const int64_t limit = std::min(load.swap_out_blocks, load.swap_in_blocks);
  const int64_t computed = DivCeil(load.saturation_tokens, kv_.config().block_tokens);
  const int64_t in = (limit + kv_.available() - computed) / 2;
  // Whoever waits for its blocks gets one at least, or it would wait for ever.
  load.swap_in_blocks = static_cast<uint32_t>(
      std::min(std::clamp<int64_t>(in, std::min<int64_t>(missing, 1), limit), missing));
  load.swap_out_blocks = static_cast<uint32_t>(limit - load.swap_in_blocks);
}

// Whoever begins or comes back needs room for all its tokens at once.
uint64_t StepBuilder::PrefillWants(const StepLoad& load) const {
  uint64_t wanted = 0;
  uint64_t tokens = load.decode_tokens;
  for (const Sequence* sequence : context_.sequences.prefills()) {
    if (tokens >= load.saturation_tokens) break;
    wanted += sequence->share.wanted_blocks;
    tokens += sequence->share.ready_tokens;
  }
  return wanted;
}

// Copies need a step, so what is wanted next must be prepared already: a sixteenth of the pool
// shall be free or backed beyond what is wanted; up to a quarter while that takes no more than a
// quarter of what the host has free. Where the host is short, copies of what may never leave keep
// out others.
constexpr uint64_t kReserveLeast = 16;
constexpr uint64_t kReserveMost = 4;
constexpr uint64_t kReserveOfHost = 4;
// A full host gives up so much of itself at a time: looking at all contexts shall be rare.
constexpr uint32_t kHostRoomShare = 64;

void StepBuilder::MeasureShortage(StepLoad& load) const {
  const SequenceSums& active = context_.sequences.active_sums();
  uint64_t wanted = active.wanted_blocks;
  if (active.forked > 0) {
    for (const Sequence* sequence : context_.sequences.active()) {
      wanted += kv_.CopyCost(sequence->blocks, sequence->computed);
    }
  }
  // What this step can use of it: a block for each decode, and one for each that will be asked for
  // soon (see Watermark), and all that those want whom the step has tokens for.
  const uint64_t usable = uint64_t{load.decode_tokens} + Watermark(load) + PrefillWants(load);
  const uint64_t has = uint64_t{kv_.available()} + kv_.leaving();
  const uint64_t now = std::min(wanted, usable);
  load.shortage_blocks = static_cast<uint32_t>(now - std::min(now, has));
  const uint64_t pool = kv_.config().device_blocks;
  const uint64_t reserve = std::clamp<uint64_t>(kv_.host_available_ahead() / kReserveOfHost,
                                                pool / kReserveLeast, pool / kReserveMost);
  const uint64_t soon = wanted + reserve;
  load.host_room_blocks = std::max(1u, kv_.config().host_blocks / kHostRoomShare);
  load.price_return = context_.config.ideas.price_return;
  load.returning_blocks = static_cast<uint32_t>(active.missing_blocks);
  load.backed_blocks = kv_.backed(Hold::kLent);
  const uint64_t prepared = has + load.backed_blocks;
  load.ahead_blocks = static_cast<uint32_t>(soon - std::min(soon, prepared));
  if (!copies_ahead()) {
    // What is wanted next leaves now, for copies need a step.
    const uint64_t next = wanted + pool / kReserveLeast;
    load.shortage_blocks = static_cast<uint32_t>(next - std::min(next, has));
    load.ahead_blocks = 0;
  }
}

PausedContext StepBuilder::Describe(const Sequence& sequence) const {
  const InterceptionState& interception = sequence.interception;
  PausedContext paused;
  paused.seq = sequence.id;
  paused.place = sequence.blocks.tag;
  paused.tokens = sequence.computed;
  paused.device_blocks = sequence.blocks.private_blocks();
  paused.host_blocks = sequence.blocks.missing();
  paused.backed_blocks = std::min(sequence.blocks.backed(), paused.device_blocks);
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
          /*ahead=*/0,
          WastePreserve(paused, paused.residual_seconds, load_),
          WasteSwap(paused, load_.swap_out_blocks, load_, context_.cost),
          WasteDiscard(paused, load_, context_.cost),
          paused.place};
}

void StepBuilder::Reclaim() {
  context_.buffers.decisions.clear();
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
    const bool swap = to_host && kv_.host_available() > 0;
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
  GatherPaused();
  PolicyFunction(context_.config.policy)(buffers.paused, load_, context_.cost, buffers.decisions);
  for (const Decision& decision : buffers.decisions) {
    if (decision.blocks > 0) CarryOut(decision);
  }
}

void StepBuilder::GatherPaused() {
  gathered_ = true;
  PlanBuffers& buffers = context_.buffers;
  if (adaptive() && context_.config.ideas.host_turnover && load_.host_blocks_free == 0 &&
      load_.shortage_blocks > 0) {
    // What is on the host may have to go, too.
    buffers.paused.clear();
    for (const Sequence* sequence : context_.sequences.paused()) {
      if (sequence->blocks.hold() != Hold::kLent || sequence->blocks.empty()) continue;
      buffers.paused.push_back(Describe(*sequence));
    }
    return;
  }
  if (adaptive() && GatherLongest()) return;
  buffers.paused.clear();
  for (const BlockTable* table : kv_.holders(Hold::kLent)) {
    buffers.paused.push_back(Describe(context_.sequences.PausedOwner(*table)));
  }
  buffers.longest.clear();
  if (!adaptive() || buffers.paused.size() <= kLongest) return;
  const auto last = buffers.paused.begin() + kLongest;
  std::ranges::nth_element(buffers.paused, last, StaysLonger);
  buffers.paused.resize(kLongest);
  for (const PausedContext& context : buffers.paused) buffers.longest.push_back(context.seq);
  buffers.longest_as_of = plan_.step;
}

// Where many contexts wait, looking at each in each step would take longer than the step. False:
// too much has changed since all were looked at.
bool StepBuilder::GatherLongest() {
  PlanBuffers& buffers = context_.buffers;
  if (buffers.longest.empty() || plan_.step - buffers.longest_as_of >= kLongestSteps) return false;
  buffers.paused.clear();
  uint32_t backed = 0;
  uint32_t unbacked = 0;
  for (const SeqId seq : buffers.longest) {
    const Sequence* sequence = context_.sequences.Find(seq);
    if (sequence == nullptr || sequence->blocks.hold() != Hold::kLent) continue;
    const PausedContext& paused = buffers.paused.emplace_back(Describe(*sequence));
    backed += paused.backed_blocks;
    unbacked += paused.device_blocks - paused.backed_blocks;
  }
  return backed >= std::min(load_.shortage_blocks, load_.backed_blocks) &&
         unbacked >= std::min(load_.ahead_blocks, load_.swap_out_blocks);
}

void StepBuilder::CarryOut(Decision decision) {
  Sequence& sequence = *context_.sequences.Find(decision.seq);
  const uint32_t wanted = std::exchange(decision.blocks, 0);
  if (decision.disposition == Disposition::kSwap) {
    decision.blocks = SwapOutSuffix(sequence, wanted, swap_out_left_);
    if (synchronous() && decision.blocks > 0) plan_.swaps_block_compute = true;
    // The synchronous policy has nothing else: what the host cannot take is discarded.
    if (synchronous() && decision.blocks < wanted) decision.disposition = Disposition::kDiscard;
  }
  if (decision.disposition == Disposition::kDiscard) {
    decision.blocks += DiscardSuffix(sequence, wanted - decision.blocks, /*host_too=*/adaptive());
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

// Moves up to `blocks` private blocks to the host, last ones first, at most `copies` of them by
// copies; backed ones are free at once. Returns how many.
uint32_t StepBuilder::SwapOutSuffix(Sequence& sequence, uint32_t blocks, uint32_t copies) {
  uint32_t moved = 0;
  uint32_t copied = 0;
  for (uint32_t i = sequence.blocks.size(); i > 0 && moved < blocks; --i) {
    const bool link = copied < copies && kv_.host_available() > 0;
    if (!link && sequence.blocks.backed() == 0) break;
    if (!kv_.IsPrivate(sequence.blocks, i - 1)) continue;
    if (!link && !kv_.IsBacked(sequence.blocks, i - 1)) continue;
    copied += kv_.SwapOut(sequence.blocks, i - 1, plan_.swap_out);
    ++moved;
  }
  if (moved > 0) context_.sequences.Update(sequence);
  if (copied > 0) notes_.copied.push_back({&sequence, copied});
  swap_out_left_ -= copied;
  context_.stats.swapped_out_blocks += copied;
  return moved;
}

// What is left of the link's budget copies blocks of paused contexts while they stay, so that
// giving them up later costs nothing. The last thing that a plan does: nobody takes these blocks in
// it.
void StepBuilder::CopyAhead() {
  for (const Decision& decision : context_.buffers.decisions) {
    Sequence& sequence = *context_.sequences.Find(decision.seq);
    const uint32_t limit = std::min(decision.ahead, swap_out_left_);
    uint32_t copied = 0;
    for (uint32_t i = sequence.blocks.size(); i > 0 && copied < limit; --i) {
      if (kv_.host_available_ahead() == 0) break;
      if (!kv_.IsPrivate(sequence.blocks, i - 1) || kv_.IsBacked(sequence.blocks, i - 1)) continue;
      kv_.CopyAhead(sequence.blocks, i - 1, plan_.swap_out);
      ++copied;
    }
    swap_out_left_ -= copied;
    context_.stats.swapped_out_blocks += copied;
    if (copied > 0) notes_.copied.push_back({&sequence, copied});
  }
}

// Gives up table entries from the end until `blocks` private device blocks, or `host_too` blocks
// of either tier, became available, as far as there are so many. Returns how many did.
uint32_t StepBuilder::DiscardSuffix(Sequence& sequence, uint32_t blocks, bool host_too) {
  uint32_t first = sequence.blocks.size();
  uint32_t freed = 0;
  if (!host_too) blocks = std::min(blocks, sequence.blocks.private_blocks());
  while (first > 0 && freed < blocks) {
    --first;
    const bool on_device = sequence.blocks.device()[first] != kNoBlock;
    freed += on_device ? kv_.IsPrivate(sequence.blocks, first) : host_too;
  }
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
  if (PreemptYoungerThan(sequence, blocks, revoke)) return true;
  if (!revoke || kv_.available() + kv_.leaving() >= blocks || WaitsForCopies()) return false;
  DropWhatIsShared(sequence);
  // What is its own alone need not be copied before it is written.
  return kv_.available() >= Demand(sequence);
}

// What leaves now is there in the next step: better late than computed again.
bool StepBuilder::WaitsForCopies() const { return adaptive() && kv_.leaving() > 0; }

// `adaptive` has copied ahead what it can; it makes the oldest alone wait for copies.
uint32_t StepBuilder::CopiesToMakeRoom(bool revoke) const {
  return copies_ahead() && !revoke ? 0 : swap_out_left_;
}

// Contexts that the policy would rather keep, cheapest recompute per freed block first. A policy
// that preserves is asked for nothing unless the oldest sequence needs it (`revoke`).
bool StepBuilder::TakeFromPaused(uint32_t blocks, bool revoke) {
  const auto secured = [&] { return kv_.available() + kv_.leaving() >= blocks; };
  const auto nothing_to_take = [&] {
    return !revoke && CopiesToMakeRoom(revoke) == 0 && kv_.host_available() > 0 &&
           kv_.backed(Hold::kLent) == 0;
  };
  if (secured() || (context_.config.policy == PolicyKind::kPreserve && !revoke)) {
    return kv_.available() >= blocks;
  }
  if (!nothing_to_take()) GatherCandidates(revoke);
  std::vector<Decision>& candidates = context_.buffers.candidates;
  while (!secured() && !nothing_to_take() && !candidates.empty()) {
    std::ranges::pop_heap(candidates, TakenLater{adaptive()});
    const Decision candidate = candidates.back();
    candidates.pop_back();
    Sequence& victim = *context_.sequences.Find(candidate.seq);
    const bool taken = TakeFrom(victim, candidate, blocks, revoke);
    if (taken && AddCandidate(victim, revoke))
      std::ranges::push_heap(candidates, TakenLater{adaptive()});
  }
  return kv_.available() >= blocks;
}

// Gathered once per step, unless what the candidates share with others has changed since.
void StepBuilder::GatherCandidates(bool revoke) {
  if (candidates_revoke_ == revoke && candidates_as_of_ == kv_.sharing_changes()) return;
  candidates_revoke_ = revoke;
  candidates_as_of_ = kv_.sharing_changes();
  context_.buffers.candidates.clear();
  if (adaptive() && !revoke) {
    if (!gathered_) GatherPaused();
    for (const PausedContext& paused : context_.buffers.paused) {
      AddCandidate(*context_.sequences.Find(paused.seq), revoke);
    }
    std::ranges::make_heap(context_.buffers.candidates, TakenLater{adaptive()});
    return;
  }
  for (const Hold hold : {Hold::kLent, Hold::kWaived, Hold::kKept}) {
    if (hold == Hold::kKept && !revoke) continue;
    for (const BlockTable* table : kv_.holders(hold)) {
      AddCandidate(context_.sequences.PausedOwner(*table), revoke);
    }
  }
  std::ranges::make_heap(context_.buffers.candidates, TakenLater{adaptive()});
}

// At the end of the list. False: the sequence has nothing to give, or it would be a loss.
bool StepBuilder::AddCandidate(const Sequence& sequence, bool revoke) {
  const PausedContext paused = Describe(sequence);
  if (paused.device_blocks == 0) return false;
  const Decision decision = Weigh(paused, Disposition::kSwap, paused.device_blocks);
  if (!revoke && decision.waste_discard > decision.waste_preserve) return false;
  if (!revoke && adaptive() && !WorthMoving(paused, load_, context_.cost)) return false;
  context_.buffers.candidates.push_back(decision);
  return true;
}

// What is missing of `blocks`, as far as the victim has it: to the host first. False: nothing.
bool StepBuilder::TakeFrom(Sequence& victim, Decision decision, uint32_t blocks, bool revoke) {
  const auto missing = [&] { return blocks - std::min(blocks, kv_.available() + kv_.leaving()); };
  decision.blocks = SwapOutSuffix(victim, missing(), CopiesToMakeRoom(revoke));
  if (missing() > 0 && (kv_.host_available() == 0 || (revoke && !WaitsForCopies()))) {
    decision.disposition = Disposition::kDiscard;
    decision.blocks += DiscardSuffix(victim, missing());
  }
  if (decision.blocks > 0) Report(victim, decision);
  return decision.blocks > 0;
}

// Last resort: what paused and younger sequences share among themselves is private to none of them,
// so all let go.
void StepBuilder::DropWhatIsShared(const Sequence& oldest) {
  for (Sequence* sequence : context_.sequences.paused()) {
    if (sequence->blocks.on_device() == 0) continue;
    Decision decision = Weigh(Describe(*sequence), Disposition::kDiscard, 0);
    decision.blocks = DiscardSuffix(*sequence, UINT32_MAX, /*host_too=*/true);
    Report(*sequence, decision);
  }
  candidates_revoke_.reset();
  for (Sequence* sequence : context_.sequences.active()) {
    if (sequence == &oldest || sequence->blocks.on_device() == 0 || InPlan(*sequence)) continue;
    if (sequence->incoming_step == plan_.step) continue;
    Preempt(*sequence);
    DiscardSuffix(*sequence, UINT32_MAX, /*host_too=*/true);
  }
}

void StepBuilder::Preempt(Sequence& sequence) {
  sequence.status = SequenceStatus::kWaiting;
  // One that has not run since its interception has lost nothing else yet.
  if (!sequence.resumed) context_.kinds.Blame(sequence.held, kPreemptionRow);
  context_.sequences.Update(sequence);
  ++context_.stats.preemptions;
}

bool StepBuilder::PreemptYoungerThan(const Sequence& sequence, uint32_t blocks, bool revoke) {
  // `adaptive` moves out what the oldest wants; it discards for a decode's single block, or when
  // the host is full.
  const bool move = adaptive() && revoke && kv_.host_available() > 0;
  const auto missing = [&] {
    return blocks - std::min(blocks, kv_.available() + (move ? kv_.leaving() : 0));
  };
  const std::vector<Sequence*>& active = context_.sequences.active();
  for (auto at = active.rbegin(); at != active.rend() && *at != &sequence; ++at) {
    if (missing() == 0) break;
    Sequence& victim = **at;
    const BlockTable& table = victim.blocks;
    // What is coming in is a target of copies in this plan.
    if (table.private_blocks() == 0 || InPlan(victim) || victim.incoming_step == plan_.step)
      continue;
    // Discarding from the end would take all that is on the host before it frees anything.
    const bool discard = !move && (table.missing() == 0 || !adaptive());
    const uint32_t copies = move ? swap_out_left_ : 0;
    if (!discard && copies == 0 && table.backed() == 0) continue;
    Preempt(victim);
    SwapOutSuffix(victim, missing(), copies);
    if (discard) DiscardSuffix(victim, missing());
  }
  return kv_.available() >= blocks;
}

}  // namespace infercept
