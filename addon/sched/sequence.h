// The evolving state of a request. Facts only: what can be computed from them is a method.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "kv/block_table.h"
#include "sched/kind_account.h"
#include "sched/step_plan.h"

namespace infercept {

enum class SequenceStatus : uint8_t { kWaiting, kRunning, kPaused, kFinished };
std::string_view StatusName(SequenceStatus status);

// What the caller knows about a present or coming interception; absent values stay as they are.
struct InterceptionFacts {
  std::optional<KindPath> kind;
  // Expected time from now until the resume: expectedMs, eta, progress, almostDone.
  std::optional<Nanos> remaining;
  // The caller's wish; a lease like any other, the oldest may revoke it.
  std::optional<Disposition> disposition;
};

// What is left of an interception, for as long as that is good enough: asking the estimator of each
// context in each step would take longer than the step.
struct Forecast {
  double residual_seconds = 0;
  Nanos good_until = 0;
};

// The present interception of a paused sequence, or what was announced of the next one.
struct InterceptionState {
  Nanos started = 0;
  KindPath kind;
  std::optional<Nanos> expected_end;
  Forecast forecast;  // where no end is announced
  std::optional<Disposition> wish;
  std::optional<Disposition> decided;          // by the last reported decision
  Disposition worst = Disposition::kPreserve;  // that happened to the context since it started
  uint32_t swapped_in_blocks = 0;
  uint32_t given_up_blocks = 0;  // by all decisions about it
  // When it started: computed tokens, device blocks, and of them those that were the context's own.
  uint32_t context_tokens = 0;
  uint32_t released_blocks = 0;  // and those behind its window
  uint32_t all_blocks = 0;
  uint32_t own_blocks = 0;
  double refused_seconds = 0;  // of its duration, while work was refused memory; once it has ended
};

// Times and counts of the present turn, for its FinishEvent.
struct TurnState {
  Nanos arrival = 0;  // original; kept across interceptions
  Nanos first_scheduled = -1;
  Nanos first_token = -1;
  Nanos intercepted = 0;
  uint32_t prompt_tokens = 0;
  uint32_t generated_tokens = 0;
  uint32_t cached_tokens = 0;
};

// What a sequence adds to the sums of its table (SequenceSums).
struct SequenceShare {
  uint32_t device_blocks = 0;
  uint32_t device_tokens = 0;
  uint32_t incoming_blocks = 0;
  uint32_t missing_blocks = 0;
  uint32_t ready_tokens = 0;
  uint32_t decodes = 0;
  uint32_t wanted_blocks = 0;
  uint32_t forked = 0;

  bool operator==(const SequenceShare&) const = default;
};

// Members that every step of a running sequence looks at come first.
struct alignas(64) Sequence {
  // The whole context: prompt, sampled and returned tokens; the last one may be kAwaitedToken.
  std::vector<TokenId> tokens;
  uint32_t computed = 0;  // prefix whose keys and values exist, on the device or on the host
  // Prefix that was computed at any time: below it, prefill is recompute
  uint32_t computed_once = 0;
  uint64_t planned_step = 0;  // last step whose plan has a slice of this sequence
  // Last step whose plan swaps blocks of this sequence in; it runs only after
  uint64_t incoming_step = 0;
  SeqId id{};
  SequenceStatus status = SequenceStatus::kWaiting;
  // SequenceTable's: which of its lists the sequence is in.
  bool listed_active = false;
  bool listed_paused = false;
  bool listed_decode = false;
  uint32_t awaited_sample = 0;  // AwaitedToken::sample, if the last token is awaited
  BlockTable blocks;            // covers at least [0, computed)
  SequenceShare share;          // SequenceTable's: what the sequence adds to its sums
  TurnState turn;

  int32_t priority = 0;
  bool keep = false;       // stays, paused, when its turn finishes
  bool suspended = false;  // asked to leave device memory until it is resumed
  // Queue position: the turn's arrival, or later (QueueOrder; discard-requeue: the last resume)
  Nanos order = 0;
  Holding held;  // KindAccount's: what waiting costs, for the kind that is to blame
  // The interception that just ended, until its first slice is planned.
  std::optional<InterceptionState> resumed;
  Nanos resumed_at = 0;
  uint64_t sought_step =
      0;  // last step that looked for blocks on the host on the device; 0: none since it waits
  InterceptionState interception;

  // Begins to fetch from memory what a step looks at.
  void Prefetch() const {
    __builtin_prefetch(&blocks);
    __builtin_prefetch(&share, /*write=*/1);
    __builtin_prefetch(&turn, /*write=*/1);
    __builtin_prefetch(tokens.data() + computed, /*write=*/1);
  }
  uint32_t pending() const { return static_cast<uint32_t>(tokens.size()) - computed; }
  bool active() const {
    return status == SequenceStatus::kWaiting || status == SequenceStatus::kRunning;
  }
  std::string DebugString() const;
};

}  // namespace infercept
