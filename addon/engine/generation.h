// The token side of every sequence: the turn it generates, what it has said, and when it stops. The
// scheduler decides about memory and never looks in here; this never looks at memory.
//
// Owner: the engine. Thread: the engine's; Observe of different sequences may run on several
// threads at once.
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

// What one sampled token brought about.
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

  // Samples from `logits` [vocabulary], records the token, and says how the sequence goes on.
  void Observe(SeqId seq, std::span<const float> logits, const TokenTable& table,
               uint32_t context_tokens_max, SamplerScratch& scratch, Observation& observation);

  std::span<const TokenId> context() const { return context_; }
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
  uint32_t generated_ = 0;        // Tokens sampled in this turn.
  bool matched_ = false;          // A kPauseAtStop trigger completed, and no stop token came since.
  std::string pending_text_;      // Held when the output was cut; leads the next token's text.
  FinishReason finish_reason_ = FinishReason::kStopToken;
  PauseReason pause_reason_ = PauseReason::kTrigger;
  std::optional<TriggerMatcher> matcher_;  // Of turn_.
  Detokenizer detokenizer_;
  // Reused by Observe.
  SampleResult sample_;
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

  // Samples the sequence's next token. Different sequences may be observed on different threads at
  // once.
  void Observe(SeqId seq, std::span<const float> logits, SamplerScratch& scratch,
               Observation& observation);
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
