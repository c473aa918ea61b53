// The part of StepBuilder that measures: what a step may spend, and what its work wants.
#include <algorithm>

#include "sched/step_builder.h"

namespace infercept {
namespace {

// Copies need a step, so what is wanted next must be prepared already: a sixteenth of the pool
// shall be free or backed beyond what is wanted; up to a quarter while that takes no more than a
// quarter of what the host has free. Where the host is short, copies of what may never leave keep
// out others.
constexpr uint64_t kReserveLeast = 16;
constexpr uint64_t kReserveMost = 4;
constexpr uint64_t kReserveOfHost = 4;
// A full host gives up so much of itself at a time: looking at all contexts shall be rare.
constexpr uint32_t kHostRoomShare = 64;

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
  load.bytes_per_token = static_cast<double>(kv_.config().block_bytes * kv_.config().groups) /
                         kv_.config().block_tokens;
  MeasureLink(load, ExpectedSeconds(load));
  MeasureShortage(load);
  return load;
}

// Seconds that the step will compute for, as far as can be said before it is filled.
double StepBuilder::ExpectedSeconds(const StepLoad& load) const {
  const SequenceSums& active = context_.sequences.active_sums();
  // Sequences that miss blocks compute nothing; all that they have may be copied ones.
  const uint64_t incoming = kv_.TokensIn(active.incoming_blocks);
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
  const int64_t computed = kv_.BlocksFor(load.saturation_tokens);
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

void StepBuilder::MeasureShortage(StepLoad& load) const {
  const SequenceSums& active = context_.sequences.active_sums();
  uint64_t wanted = active.wanted_blocks;
  if (active.forked > 0) {
    for (const Sequence* sequence : context_.sequences.active()) {
      wanted += kv_.CopyCost(sequence->blocks, sequence->computed);
    }
  }
  // What this step can use of it: a row for each decode, and one for each that will be asked for
  // soon (see Watermark), and all that those want whom the step has tokens for.
  const uint64_t decodes = uint64_t{load.decode_tokens} * kv_.config().groups;
  const uint64_t usable = decodes + Watermark(load) + PrefillWants(load);
  const uint64_t has = uint64_t{kv_.available()} + kv_.leaving();
  const uint64_t now = std::min(wanted, usable);
  load.shortage_blocks = static_cast<uint32_t>(now - std::min(now, has));
  const uint64_t pool = kv_.config().device_blocks;
  const uint64_t reserve = std::clamp<uint64_t>(kv_.host_available_ahead() / kReserveOfHost,
                                                pool / kReserveLeast, pool / kReserveMost);
  const uint64_t soon = wanted + reserve;
  load.host_room_blocks = std::max(1u, kv_.config().host_blocks / kHostRoomShare);
  load.price_return = context_.config.ideas.price_return;
  load.returning_blocks = buffers().returning_blocks;
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

MemoryPressure StepBuilder::MeasurePressure() const {
  return {kv_.device_free(), kv_.available(), load_.shortage_blocks, load_.host_blocks_free,
          load_.swap_out_blocks};
}

}  // namespace infercept
