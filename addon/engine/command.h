// What the world tells the engine. Commands are facts; they take effect at the next step boundary.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "base/types.h"
#include "engine/turn.h"
#include "sched/sequence.h"

namespace infercept {

// A new sequence. `seq` is chosen by the caller, unique for the engine's life.
struct SubmitCommand {
  SeqId seq{};
  std::vector<TokenId> tokens;  // the prompt; at least one
  Turn turn;
  int32_t priority = 0;  // higher first
  // When a turn finishes: true keeps the sequence paused with its context (sessions), false frees
  // everything.
  bool keep = false;
};

// Ends an interception: appends the returned tokens and goes on. With a turn: a new turn of a kept
// sequence begins.
struct ResumeCommand {
  SeqId seq{};
  // May be empty when the sequence has tokens that were never computed
  std::vector<TokenId> tokens;
  std::optional<Turn> turn;
};

// Facts about a present or coming interception; absent fields stay as they are.
struct MarkCommand {
  SeqId seq{};
  InterceptionFacts facts;
};

// run.intercept(): pause at the next step boundary, or do nothing if the sequence is paused
// already.
struct PauseCommand {
  SeqId seq{};
  InterceptionFacts facts;
};

// Stops the running turn at once. A kept sequence is paused and cut back to its first `tokens`
// tokens (if given); another one is freed.
struct AbortCommand {
  SeqId seq{};
  std::optional<uint32_t> tokens;
};

// Cuts a paused sequence back to its first `tokens` tokens.
struct RewindCommand {
  SeqId seq{};
  uint32_t tokens = 0;
};

// Makes `child` a paused copy of the paused sequence `parent`; they share all blocks
// (copy-on-write).
struct ForkCommand {
  SeqId parent{};
  SeqId child{};
};

// Asks for the context of a paused sequence to be moved out of device memory now (session.suspend).
struct SuspendCommand {
  SeqId seq{};
};

// Frees the sequence in any state.
struct ReleaseCommand {
  SeqId seq{};
};

using Command = std::variant<SubmitCommand, ResumeCommand, MarkCommand, PauseCommand, AbortCommand,
                             RewindCommand, ForkCommand, SuspendCommand, ReleaseCommand>;

}  // namespace infercept
