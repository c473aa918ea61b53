// The contract between deciding (Scheduler::Plan), doing (Executor::Execute) and recording
// (Scheduler::Commit). Both sides are plain values, but for the block tables: they can be logged
// and diffed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"

namespace infercept {

// Consecutive tokens of one sequence that this step computes.
struct Slice {
  SeqId seq{};
  uint32_t first_position = 0;  // == tokens of the sequence computed before this step
  uint32_t count = 0;
  // The last token of the slice is the newest of the sequence: sample its successor
  bool sample = false;
};

enum class Disposition : uint8_t { kPreserve, kSwap, kDiscard };
inline constexpr size_t kDispositions = 3;
std::string_view DispositionName(Disposition disposition);

// How long an interception is expected to go on.
enum class Expectation : uint8_t {
  kResidual,  // as announced by the caller or learnt
  kElapsed,   // as long again as it has lasted (InferCept §4.4)
};

// What was decided for one paused (or preempted) context in this step, and what each alternative
// would have wasted.
struct Decision {
  SeqId seq{};
  Disposition disposition = Disposition::kPreserve;
  uint32_t blocks = 0;  // that this decision moves or frees; 0 for kPreserve
  uint32_t ahead = 0;   // that are copied to the host while they stay
  // Byte-seconds of device memory; formulas in sched/waste.h.
  double waste_preserve = 0;
  double waste_swap = 0;
  double waste_discard = 0;
  uint32_t place = 0;  // PausedContext::place
  // What waste_preserve was computed from: PausedContext::residual_seconds or elapsed_seconds.
  Expectation expectation = Expectation::kResidual;

  std::string DebugString() const;
};

// Stands for a token that the step before has not sampled yet.
inline constexpr TokenId kAwaitedToken = -1;

// Where such a token comes from.
struct AwaitedToken {
  uint32_t row = 0;     // in StepPlan::tokens
  uint32_t sample = 0;  // which one of the step before, in the order of StepResult::sampled
};

struct StepPlan {
  uint64_t step = 0;
  std::vector<Slice> slices;    // the oldest sequence's, then decodes, then prefill and recompute
  std::vector<TokenId> tokens;  // of all slices, concatenated
  // Those that are kAwaitedToken, by row. None, unless the plan was made while the step before ran.
  std::vector<AwaitedToken> awaited;
  // [slices] The device blocks of each slice's sequence, up to its last token. They are the
  // sequences' own: valid until the plan is committed, or one is planned ahead of its end.
  std::vector<std::span<const BlockId>> block_tables;
  // Device -> device (copy-on-write); complete before any slice reads
  std::vector<BlockCopy> copies;
  // Device -> host; sources are neither written nor reused by this plan
  std::vector<BlockCopy> swap_out;
  std::vector<BlockCopy> swap_in;  // host -> device; targets are not read by this plan's slices
  // The step ends only when the swaps are complete either way. Waiting policies (`swap`) start
  // computing after them.
  bool swaps_block_compute = false;
  std::vector<Decision> decisions;  // for events, traces and tests; executors ignore it

  bool empty() const {
    return slices.empty() && copies.empty() && swap_out.empty() && swap_in.empty();
  }
  void Clear();  // keeps capacity: no allocation after warm-up
  // Without block tables: Sequence::DebugString has them.
  std::string DebugString() const;
};

// How the sequence goes on after a sampled token.
enum class Outcome : uint8_t {
  kContinue,
  kPause,   // an interception begins: a trigger matched
  kFinish,  // the turn ended: stop token, stop text, token limit
  // The token was never said: the turn had paused or ended with the step before, which was not
  // known when this one was planned.
  kVoid,
};

enum class PauseReason : uint8_t { kTrigger, kCode, kPreviousMatch };
enum class FinishReason : uint8_t { kStopToken, kStopText, kLength, kContextLength, kAborted };

// What the executor's side (engine/generation.h) says of a sampled token; Commit makes PauseEvent
// and FinishEvent of it.
struct SampledToken {
  SeqId seq{};
  TokenId token = 0;
  Outcome outcome = Outcome::kContinue;
  PauseReason pause_reason = PauseReason::kTrigger;       // if kPause
  FinishReason finish_reason = FinishReason::kStopToken;  // if kFinish
};

struct StepResult {
  std::vector<SampledToken> sampled;  // one per slice with `sample`, in plan order
  Nanos compute = 0;                  // time the slices took
  Nanos swap_out = 0;                 // time the copies took, each direction on its own
  Nanos swap_in = 0;
  Nanos total = 0;  // whole step

  void Clear();
};

}  // namespace infercept
