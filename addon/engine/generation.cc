#include "engine/generation.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

namespace infercept {
namespace {

Status ArgumentError(std::string what) {
  return Status(StatusCode::kInvalidArgument, std::move(what));
}

Status CheckEachOnce(const std::vector<std::pair<TokenId, float>>& logit_bias) {
  std::vector<TokenId> tokens;
  for (const auto& [token, bias] : logit_bias) tokens.push_back(token);
  std::ranges::sort(tokens);
  const auto twice = std::ranges::adjacent_find(tokens);
  if (twice == tokens.end()) return Status();
  return ArgumentError("logitBias names token " + std::to_string(*twice) + " twice");
}

Status CheckSampling(const SamplingParams& params, uint32_t vocabulary_size) {
  const float numbers[] = {params.temperature,
                           params.top_p,
                           params.min_p,
                           params.repetition_penalty,
                           params.presence_penalty,
                           params.frequency_penalty};
  for (const float number : numbers) {
    if (!std::isfinite(number)) return ArgumentError("a sampling parameter is not finite");
  }
  if (params.temperature < 0) return ArgumentError("temperature must not be negative");
  if (params.repetition_penalty <= 0) return ArgumentError("repetitionPenalty must be positive");
  if (params.top_p < 0 || params.min_p < 0)
    return ArgumentError("topP and minP must be within [0, 1]");
  for (const auto& [token, bias] : params.logit_bias) {
    if (token < 0 || static_cast<uint32_t>(token) >= vocabulary_size || std::isnan(bias)) {
      return ArgumentError("logitBias of token " + std::to_string(token) + ": the vocabulary has " +
                           std::to_string(vocabulary_size) + " tokens");
    }
  }
  return CheckEachOnce(params.logit_bias);
}

Status CheckTurn(const Turn& turn, uint32_t vocabulary_size) {
  if (turn.max_tokens == 0) return ArgumentError("maxTokens must be at least 1");
  for (size_t i = 0; i < turn.triggers.size(); ++i) {
    if (turn.triggers[i].text.empty() == turn.triggers[i].tokens.empty()) {
      return ArgumentError("trigger " + std::to_string(i) + " needs either a text or tokens");
    }
  }
  for (const std::string& text : turn.stop_texts) {
    if (text.empty()) return ArgumentError("a stop text is empty");
  }
  return CheckSampling(turn.sampling, vocabulary_size);
}

}  // namespace

void Generation::BeginTurn(Turn turn, std::span<const TokenId> tokens, const TokenTable& table) {
  ++revision_;
  CutOutput();
  pending_text_.clear();  // Of the turn before: it is over.
  turn_ = std::move(turn);
  generated_ = 0;
  matched_ = false;
  matcher_.emplace(turn_.triggers, turn_.stop_texts, table);
  context_.insert(context_.end(), tokens.begin(), tokens.end());
}

void Generation::AppendReturned(std::span<const TokenId> tokens) {
  // Nothing comes between: a pause from code may have fallen into the middle of a trigger or a
  // character.
  if (tokens.empty()) return;
  ++revision_;
  CutOutput();
  context_.insert(context_.end(), tokens.begin(), tokens.end());
}

void Generation::Rewind(uint32_t tokens) {
  IC_CHECK(tokens <= context_.size());
  ++revision_;
  CutOutput();
  context_.resize(tokens);
}

// What was said before does not combine with what comes after: no character, trigger or stop text
// spans the cut.
void Generation::CutOutput() {
  released_.clear();
  if (matcher_) matcher_->Flush(released_);
  detokenizer_.Append(released_, pending_text_);
  detokenizer_.Flush(pending_text_);
}

void Generation::Observe(SeqId seq, const SampleResult& sample, const TokenTable& table,
                         uint32_t context_tokens_max, Observation& observation) {
  IC_CHECK(matcher_.has_value());
  const TokenId token = sample.token;
  context_.push_back(token);
  ++generated_;
  observation.matches.clear();
  observation.token = {.seq = seq,
                       .token = token,
                       .text = std::exchange(pending_text_, {}),
                       .logprob = sample.logprob,
                       .top = sample.top};
  const Outcome outcome = Limit(Judge(seq, token, table, observation), context_tokens_max);
  if (outcome != Outcome::kContinue) {
    ++revision_;
    CutOutput();
    observation.token.text += std::exchange(pending_text_, {});
  }
  observation.sampled = {.seq = seq,
                         .token = token,
                         .outcome = outcome,
                         .pause_reason = pause_reason_,
                         .finish_reason = finish_reason_};
}

Outcome Generation::Judge(SeqId seq, TokenId token, const TokenTable& table,
                          Observation& observation) {
  const bool stop = std::ranges::find(turn_.stop_tokens, token) != turn_.stop_tokens.end();
  released_.clear();
  trigger_matches_.clear();
  const std::string_view bytes = stop ? std::string_view() : table.BytesOf(token);
  const Verdict verdict = matcher_->Observe(token, bytes, released_, trigger_matches_);
  detokenizer_.Append(released_, observation.token.text);
  for (const TriggerMatch& match : trigger_matches_) {
    const bool at_stop = turn_.triggers[match.trigger].action == TriggerAction::kPauseAtStop;
    matched_ = matched_ || at_stop;
    observation.matches.push_back({seq, match.trigger, DecodeUtf8(match.bytes)});
  }
  if (verdict == Verdict::kPause) return Pause(PauseReason::kTrigger);
  if (stop && std::exchange(matched_, false)) return Pause(PauseReason::kPreviousMatch);
  if (stop) return Finish(FinishReason::kStopToken);
  return verdict == Verdict::kStopText ? Finish(FinishReason::kStopText) : Outcome::kContinue;
}

// A turn that may not go on finishes, even where it would have paused: no returned token could be
// answered.
Outcome Generation::Limit(Outcome outcome, uint32_t context_tokens_max) {
  if (outcome == Outcome::kFinish) return outcome;
  if (generated_ >= turn_.max_tokens) return Finish(FinishReason::kLength);
  if (context_.size() >= context_tokens_max) return Finish(FinishReason::kContextLength);
  return outcome;
}

Outcome Generation::Pause(PauseReason reason) {
  pause_reason_ = reason;
  return Outcome::kPause;
}

Outcome Generation::Finish(FinishReason reason) {
  finish_reason_ = reason;
  return Outcome::kFinish;
}

GenerationTable::GenerationTable(TokenTable table, uint32_t vocabulary_size,
                                 uint32_t context_tokens_max)
    : table_(std::move(table)),
      vocabulary_size_(vocabulary_size),
      context_tokens_max_(context_tokens_max) {
  IC_CHECK(vocabulary_size > 0 && context_tokens_max > 0);
  IC_CHECK(table_.offsets.empty() || (std::ranges::is_sorted(table_.offsets) &&
                                      table_.offsets.back() == table_.bytes.size()));
}

Status GenerationTable::BeginTurn(SeqId seq, Turn turn, std::span<const TokenId> tokens) {
  if (Status status = CheckTurn(turn, vocabulary_size_); !status.ok()) return status;
  const auto found = generations_.find(seq);
  const size_t context = found == generations_.end() ? 0 : found->second->context().size();
  if (Status status = CheckTokens(context, tokens); !status.ok()) return status;
  if (found == generations_.end()) generations_.emplace(seq, std::make_unique<Generation>());
  Find(seq).BeginTurn(std::move(turn), tokens, table_);
  return Status();
}

Status GenerationTable::AppendReturned(SeqId seq, std::span<const TokenId> tokens) {
  Generation& generation = Find(seq);
  const Status status = CheckTokens(generation.context().size(), tokens);
  if (status.ok()) generation.AppendReturned(tokens);
  return status;
}

Status GenerationTable::CheckTokens(size_t context, std::span<const TokenId> tokens) const {
  for (const TokenId token : tokens) {
    if (token < 0 || static_cast<uint32_t>(token) >= vocabulary_size_) {
      return ArgumentError("token " + std::to_string(token) + " is not one of the vocabulary's " +
                           std::to_string(vocabulary_size_));
    }
  }
  // One position must be left for the answer.
  if (context + tokens.size() >= context_tokens_max_) {
    return Status(StatusCode::kContextTooLong, std::to_string(context) + " tokens of context and " +
                                                   std::to_string(tokens.size()) +
                                                   " new ones leave no room in " +
                                                   std::to_string(context_tokens_max_) +
                                                   "; shorten the input or load the model "
                                                   "with a longer context");
  }
  return Status();
}

void GenerationTable::Rewind(SeqId seq, uint32_t tokens) { Find(seq).Rewind(tokens); }

void GenerationTable::Fork(SeqId parent, SeqId child) {
  IC_CHECK(!Contains(child));
  generations_.emplace(child, std::make_unique<Generation>(Find(parent)));
}

void GenerationTable::Erase(SeqId seq) { IC_CHECK(generations_.erase(seq) == 1); }

TokenRequest GenerationTable::Request(SeqId seq) const {
  const Generation& generation = Find(seq);
  return {.seq = seq, .revision = generation.revision(), .sample = generation.Request()};
}

TokenRequest GenerationTable::RequestAhead(SeqId seq) const {
  const Generation& generation = Find(seq);
  return {.seq = seq, .revision = generation.revision(), .sample = generation.RequestAhead()};
}

void GenerationTable::Observe(SeqId seq, uint64_t revision, const SampleResult& sample,
                              Observation& observation) {
  IC_CHECK(sample.token >= 0 && static_cast<uint32_t>(sample.token) < vocabulary_size_);
  const auto found = generations_.find(seq);
  if (found == generations_.end() || found->second->revision() != revision) {
    observation.sampled = {.seq = seq, .token = sample.token, .outcome = Outcome::kVoid};
    return;
  }
  found->second->Observe(seq, sample, table_, context_tokens_max_, observation);
}

void GenerationTable::Publish(Observation& observation) {
  if (observation.sampled.outcome == Outcome::kVoid) return;
  events_.emplace_back(std::move(observation.token));
  std::ranges::move(observation.matches, std::back_inserter(events_));
}

const Generation& GenerationTable::operator[](SeqId seq) const { return Find(seq); }

Generation& GenerationTable::Find(SeqId seq) const {
  const auto found = generations_.find(seq);
  IC_CHECK(found != generations_.end());
  return *found->second;
}

}  // namespace infercept
