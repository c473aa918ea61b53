// The part of StepBuilder that carries out what callers and the policy want of paused contexts.
#include <algorithm>
#include <tuple>
#include <utility>

#include "sched/step_builder.h"
#include "sched/waste.h"

namespace infercept {
namespace {

constexpr double kSecondsPerNano = 1e-9;
// A forecast is good until an eighth of what has passed, or of what is left, has passed again: what
// is wanted of it is the order of contexts, and their magnitudes differ by decades.
constexpr double kForecastShare = 1.0 / 8;

// So many blocks ahead what is known of one is fetched from memory.
constexpr uint32_t kBlocksAhead = 4;

}  // namespace

double StepBuilder::ResidualSeconds(InterceptionState& interception) const {
  const Nanos now = context_.now;
  if (interception.expected_end && *interception.expected_end > now)
    return static_cast<double>(*interception.expected_end - now) * kSecondsPerNano;
  Forecast& forecast = interception.forecast;
  if (now >= forecast.good_until) {
    const Nanos elapsed = now - interception.started;
    forecast.residual_seconds = context_.durations.Residual(interception.kind, elapsed);
    const double left = forecast.residual_seconds / kSecondsPerNano;
    const double shorter = std::min(left, static_cast<double>(elapsed));
    forecast.good_until = now + static_cast<Nanos>(shorter * kForecastShare);
  }
  return forecast.residual_seconds;
}

PausedContext StepBuilder::Describe(Sequence& sequence) const {
  InterceptionState& interception = sequence.interception;
  PausedContext paused;
  paused.seq = sequence.id;
  paused.place = sequence.blocks.tag;
  paused.tokens = sequence.computed;
  paused.device_blocks = sequence.blocks.private_blocks();
  paused.host_blocks = sequence.blocks.missing();
  paused.released_blocks = sequence.blocks.released();
  paused.backed_blocks = std::min(sequence.blocks.backed(), paused.device_blocks);
  paused.block_tokens = kv_.config().block_tokens;
  paused.groups = kv_.config().groups;
  paused.elapsed_seconds =
      static_cast<double>(context_.now - interception.started) * kSecondsPerNano;
  paused.residual_seconds = ResidualSeconds(interception);
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
    Sequence& sequence = *context_.sequences.Find(seq);
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

WaitEstimate StepBuilder::EstimateOf(Sequence& sequence, Expectation expectation) const {
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
  const uint32_t first = kv_.FirstLive(sequence.blocks);
  for (uint32_t i = sequence.blocks.size(); i > first && moved < blocks; --i) {
    if (i > kBlocksAhead) kv_.Prefetch(sequence.blocks, i - kBlocksAhead - 1);
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
    const uint32_t first = kv_.FirstLive(sequence.blocks);
    for (uint32_t i = sequence.blocks.size(); i > first && copied < limit; --i) {
      if (kv_.host_available_ahead() == 0) break;
      if (i > kBlocksAhead) kv_.Prefetch(sequence.blocks, i - kBlocksAhead - 1);
      if (!kv_.IsPrivate(sequence.blocks, i - 1) || kv_.IsBacked(sequence.blocks, i - 1)) continue;
      kv_.CopyAhead(sequence.blocks, i - 1, plan_.swap_out);
      ++copied;
    }
    swap_out_left_ -= copied;
    context_.stats.swapped_out_blocks += copied;
    if (copied > 0) notes_.copied.push_back({&sequence, copied});
  }
}

// Gives up rows from the end until `blocks` private device blocks, or `host_too` blocks of either
// tier, became available, as far as there are so many; all rows where what stayed would be a part
// of a window. Returns how many blocks became available.
uint32_t StepBuilder::DiscardSuffix(Sequence& sequence, uint32_t blocks, bool host_too) {
  const BlockTable& table = sequence.blocks;
  const uint32_t groups = kv_.config().groups;
  const uint32_t first_live = kv_.FirstLive(table);
  uint32_t first = table.size();
  uint32_t freed = 0;
  if (!host_too) blocks = std::min(blocks, table.private_blocks());
  const auto count_row_from_end = [&] {
    for (const uint32_t end = first; first > end - groups;) {
      --first;
      const bool on_device = table.device()[first] != kNoBlock;
      freed += on_device ? kv_.IsPrivate(table, first) : host_too && kv_.IsMissing(table, first);
    }
  };
  while (first > first_live && freed < blocks) count_row_from_end();
  while (first > first_live && kv_.UsableRows(table, first / groups) == 0) count_row_from_end();
  const uint32_t rows = kv_.UsableRows(table, first / groups);
  kv_.Truncate(sequence.blocks, rows * groups);
  sequence.computed = std::min(sequence.computed, rows * kv_.config().block_tokens);
  context_.sequences.Update(sequence);
  context_.stats.discarded_blocks += freed;
  return freed;
}

}  // namespace infercept
