// The half of StepBuilder that takes memory back.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "sched/step_builder.h"
#include "sched/waste.h"

namespace infercept {
namespace {

constexpr double kSecondsPerNano = 1e-9;

uint32_t PrivateBlocks(const KvManager& kv, const Sequence& sequence) {
  return static_cast<uint32_t>(std::ranges::count_if(
      sequence.blocks, [&](const BlockRef& ref) { return kv.IsPrivate(ref); }));
}

uint64_t DeviceTokens(const KvManager& kv, const Sequence& sequence) {
  const auto blocks = std::ranges::count_if(sequence.blocks, &BlockRef::on_device);
  return std::min<uint64_t>(sequence.computed,
                            static_cast<uint64_t>(blocks) * kv.config().block_tokens);
}

}  // namespace

StepLoad StepBuilder::MeasureLoad() const {
  StepLoad load;
  const SchedulerConfig& config = context_.config;
  load.saturation_tokens = std::min(
      config.saturation_tokens ? config.saturation_tokens : context_.cost.SaturationTokens(),
      config.step_tokens_max);
  uint64_t pending = 0;
  for (const Sequence* sequence : context_.sequences.active()) {
    load.running_tokens += DeviceTokens(kv_, *sequence);
    pending += sequence->pending();
    load.decode_tokens += sequence->status == SequenceStatus::kRunning && sequence->pending() == 1;
  }
  for (const Sequence* sequence : context_.sequences.paused()) {
    load.paused_tokens += DeviceTokens(kv_, *sequence);
  }
  // T_copy(N) = T_step (InferCept §4.1). An idle step may copy for as long as a saturated one would
  // take.
  const double query =
      pending == 0 ? load.saturation_tokens
                   : static_cast<double>(std::min<uint64_t>(pending, load.saturation_tokens));
  const double seconds = context_.cost.Forward(query, static_cast<double>(load.running_tokens));
  load.host_blocks_free = kv_.host_free();
  load.swap_out_blocks =
      synchronous() ? UINT32_MAX : context_.cost.CopyBlocksWithin(CopyDirection::kOut, seconds);
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
  for (const Sequence* sequence : context_.sequences.active()) wanted += Demand(*sequence);
  const uint64_t has = uint64_t{kv_.available()} + kv_.leaving();
  return wanted > has ? static_cast<uint32_t>(wanted - has) : 0;
}

PausedContext StepBuilder::Describe(const Sequence& sequence) const {
  const InterceptionState& interception = sequence.interception;
  PausedContext paused;
  paused.seq = sequence.id;
  paused.tokens = sequence.computed;
  paused.device_blocks = PrivateBlocks(kv_, sequence);
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
          WasteDiscard(paused, load_, context_.cost)};
}

// The policy is asked about contexts for which the caller has no wish of its own.
void StepBuilder::ReclaimByPolicy() {
  paused_.clear();
  for (Sequence* sequence : context_.sequences.paused()) {
    if (!HonourWish(*sequence)) paused_.push_back(Describe(*sequence));
  }
  decisions_.clear();
  PolicyFunction(context_.config.policy)(paused_, load_, context_.cost, decisions_);
  for (const Decision& decision : decisions_) CarryOut(decision);
  for (const PausedContext& paused : paused_) {
    Sequence& sequence = *context_.sequences.Find(paused.seq);
    if (!sequence.interception.decided) Report(sequence, Weigh(paused, Disposition::kPreserve, 0));
  }
}

// A tool's `disposition`, or session.suspend. False: there is no wish.
bool StepBuilder::HonourWish(Sequence& sequence) {
  const std::optional<Disposition> wish =
      sequence.suspended ? Disposition::kSwap : sequence.interception.wish;
  if (!wish) return false;
  const PausedContext paused = Describe(sequence);
  const bool swap = wish == Disposition::kSwap && kv_.host_free() > 0;
  if (wish == Disposition::kPreserve) {
    Report(sequence, Weigh(paused, Disposition::kPreserve, 0));
  } else if (paused.device_blocks > 0) {
    CarryOut(
        Weigh(paused, swap ? Disposition::kSwap : Disposition::kDiscard, paused.device_blocks));
  }
  return true;
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
  if (interception.decided == decision.disposition) return;
  interception.decided = decision.disposition;
  context_.events.push_back(DecisionEvent{decision});
}

// Plans to move up to `blocks` private blocks to the host, last ones first. Returns how many.
uint32_t StepBuilder::SwapOutSuffix(Sequence& sequence, uint32_t blocks) {
  uint32_t moved = 0;
  for (auto ref = sequence.blocks.rbegin(); ref != sequence.blocks.rend() && moved < blocks;
       ++ref) {
    if (swap_out_left_ == 0 || kv_.host_free() == 0) break;
    if (!kv_.IsPrivate(*ref)) continue;
    kv_.SwapOut(*ref, plan_.swap_out);
    --swap_out_left_;
    ++moved;
  }
  context_.stats.swapped_out_blocks += moved;
  return moved;
}

// Gives up table entries from the end until `blocks` private device blocks became available.
// Returns how many did.
uint32_t StepBuilder::DiscardSuffix(Sequence& sequence, uint32_t blocks) {
  auto first = static_cast<uint32_t>(sequence.blocks.size());
  uint32_t freed = 0;
  while (first > 0 && freed < blocks) freed += kv_.IsPrivate(sequence.blocks[--first]);
  kv_.Truncate(sequence.blocks, first);
  sequence.computed = std::min(sequence.computed, first * kv_.config().block_tokens);
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
  if (secured() || (context_.config.policy == PolicyKind::kPreserve && !revoke)) {
    return kv_.available() >= blocks;
  }
  for (const Decision& candidate : Candidates(revoke)) {
    if (secured()) break;
    Sequence& victim = *context_.sequences.Find(candidate.seq);
    Decision decision = candidate;
    decision.blocks = SwapOutSuffix(victim, blocks - kv_.available() - kv_.leaving());
    if (!secured() && (revoke || kv_.host_free() == 0)) {
      decision.disposition = Disposition::kDiscard;
      decision.blocks += DiscardSuffix(victim, blocks - kv_.available() - kv_.leaving());
    }
    if (decision.blocks > 0) Report(victim, decision);
  }
  if (revoke && !secured()) DropAllPaused();
  return kv_.available() >= blocks;
}

std::vector<Decision> StepBuilder::Candidates(bool revoke) const {
  std::vector<Decision> candidates;
  for (const Sequence* sequence : context_.sequences.paused()) {
    const PausedContext paused = Describe(*sequence);
    if (paused.device_blocks == 0) continue;
    const Decision decision = Weigh(paused, Disposition::kSwap, paused.device_blocks);
    const bool worth = decision.waste_discard <= decision.waste_preserve &&
                       sequence->interception.wish != Disposition::kPreserve;
    if (revoke || worth) candidates.push_back(decision);
  }
  std::ranges::sort(candidates, {}, [](const Decision& decision) {
    return decision.waste_discard / decision.blocks;
  });
  return candidates;
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
}

bool StepBuilder::PreemptYoungerThan(const Sequence& sequence, uint32_t blocks) {
  const std::vector<Sequence*>& active = context_.sequences.active();
  for (auto victim = active.rbegin(); victim != active.rend() && *victim != &sequence; ++victim) {
    if (kv_.available() >= blocks) break;
    if ((*victim)->blocks.empty() || InPlan(**victim)) continue;
    if ((*victim)->incoming_step == plan_.step)
      continue;  // Its blocks are targets of copies in this plan.
    DiscardSuffix(**victim, blocks - kv_.available());
    (*victim)->status = SequenceStatus::kWaiting;
    ++context_.stats.preemptions;
  }
  return kv_.available() >= blocks;
}

}  // namespace infercept
