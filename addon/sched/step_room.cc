// The part of StepBuilder that makes room for somebody who is about to run.
#include <algorithm>
#include <tuple>

#include "sched/step_builder.h"
#include "sched/waste.h"

namespace infercept {
namespace {

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

}  // namespace

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

// Contexts that the policy would rather keep, in the order of TakenLater. A policy that preserves
// is asked for nothing unless the oldest sequence needs it (`revoke`).
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
bool StepBuilder::AddCandidate(Sequence& sequence, bool revoke) {
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
  sequence.sought_step = 0;
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
