// The token side of every sequence: the turn it generates, what it has said, and when it stops. The
// scheduler decides about memory and never looks in here; this never looks at memory.
//
// A token is asked for (Request), sampled from logits by somebody else, and observed: recorded and
// judged. Between the two the sequence may change; then the token was never said.
//
// Owner: the engine. Thread: the engine's; Request and Observe of different sequences may run on
// several threads at once.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "engine/event.h"
#include "engine/turn.h"
#include "model/sampler.h"
#include "sched/step_plan.h"
#include "text/detokenizer.h"
#include "text/token_table.h"
#include "text/trigger_matcher.h"

namespace infercept {

// How the next token of a sequence is to be sampled.
struct TokenRequest {
  SeqId seq{};
  uint64_t revision = 0;  // of the sequence, for which the token is sampled
  SampleRequest sample;   // refers to the sequence's own: valid until that changes
};

// What one sampled token brought about. Nothing, if the outcome is kVoid.
struct Observation {
  SampledToken sampled;
  TokenEvent token;
  std::vector<MatchEvent> matches;
};

// One sequence. Copyable: a fork starts as a copy.
class Generation {
 public:
  void BeginTurn(Turn turn, std::span<const TokenId> tokens, const TokenTable& table);
  void AppendReturned(std::span<const TokenId> tokens);
  void Rewind(uint32_t tokens);

  SampleRequest Request() const { return RequestSample(context_, turn_.sampling); }
  // Of the token after the next one, which is being sampled.
  SampleRequest RequestAhead() const { return RequestSampleAhead(context_, turn_.sampling); }

  // Records the token, and says how the sequence goes on.
  void Observe(SeqId seq, const SampleResult& sample, const TokenTable& table,
               uint32_t context_tokens_max, Observation& observation);

  std::span<const TokenId> context() const { return context_; }
  // Another one whenever the sequence does not simply go on with the next token.
  uint64_t revision() const { return revision_; }
  uint32_t generated_tokens() const { return generated_; }
  FinishReason finish_reason() const { return finish_reason_; }
  PauseReason pause_reason() const { return pause_reason_; }

 private:
  void CutOutput();
  Outcome Judge(SeqId seq, TokenId token, const TokenTable& table, Observation& observation);
  Outcome Limit(Outcome outcome, uint32_t context_tokens_max);
  Outcome Pause(PauseReason reason);
  Outcome Finish(FinishReason reason);

  Turn turn_;
  std::vector<TokenId> context_;  // Every token of the sequence, the last sampled one included.
  uint64_t revision_ = 0;
  uint32_t generated_ = 0;    // Tokens sampled in this turn.
  bool matched_ = false;      // A kPauseAtStop trigger completed, and no stop token came since.
  std::string pending_text_;  // Held when the output was cut; leads the next token's text.
  FinishReason finish_reason_ = FinishReason::kStopToken;
  PauseReason pause_reason_ = PauseReason::kTrigger;
  std::optional<TriggerMatcher> matcher_;  // Of turn_.
  Detokenizer detokenizer_;
  // Reused by Observe.
  std::string released_;
  std::vector<TriggerMatch> trigger_matches_;
};

class GenerationTable {
 public:
  // A sequence whose context reaches `context_tokens_max` finishes (kContextLength).
  GenerationTable(TokenTable table, uint32_t vocabulary_size, uint32_t context_tokens_max);

  // A new turn: appends `tokens` to the context of the sequence, which is empty for a new one.
  // kInvalidArgument: a token id beyond the vocabulary, a trigger of nothing, a parameter out of
  // range; kContextTooLong. Nothing changes then.
  Status BeginTurn(SeqId seq, Turn turn, std::span<const TokenId> tokens);
  // The interception is over: appends the returned tokens; the turn goes on. Fails as BeginTurn
  // does.
  Status AppendReturned(SeqId seq, std::span<const TokenId> tokens);

  // REQUIRES, all below: the sequence exists.
  void Rewind(SeqId seq, uint32_t tokens);  // cuts back to the first `tokens` tokens
  void Fork(SeqId parent, SeqId child);     // the child may not exist yet
  void Erase(SeqId seq);
  bool Contains(SeqId seq) const { return generations_.contains(seq); }

  // Of the sequence's next token, and of the one after it while that one is being sampled.
  TokenRequest Request(SeqId seq) const;
  TokenRequest RequestAhead(SeqId seq) const;

  // What was sampled for the sequence of that revision. kVoid, and nothing is recorded, if it has
  // another one by now or is gone.
  void Observe(SeqId seq, uint64_t revision, const SampleResult& sample, Observation& observation);
  // Moves an observation's events (token, then matches) to the end of events().
  void Publish(Observation& observation);

  // TokenEvents and MatchEvents since the engine last cleared the list, in order.
  std::vector<Event>& events() { return events_; }

  const Generation& operator[](SeqId seq) const;
  uint32_t vocabulary_size() const { return vocabulary_size_; }
  uint32_t context_tokens_max() const { return context_tokens_max_; }
  size_t size() const { return generations_.size(); }

 private:
  Generation& Find(SeqId seq) const;
  Status CheckTokens(size_t context, std::span<const TokenId> tokens) const;

  // Constant after construction.
  TokenTable table_;
  uint32_t vocabulary_size_;
  uint32_t context_tokens_max_;

  // Engine thread only.
  std::unordered_map<SeqId, std::unique_ptr<Generation>> generations_;
  std::vector<Event> events_;
};

}  // namespace infercept
