#include "binding/convert_out.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace infercept {
namespace {

double Milliseconds(Nanos duration) { return static_cast<double>(duration) / 1e6; }

// Sets properties of one object, so that each event reads as a list of its fields.
class ObjectBuilder {
 public:
  explicit ObjectBuilder(Napi::Env env) : env_(env), object_(Napi::Object::New(env)) {}

  ObjectBuilder& Set(const char* key, std::string_view text) {
    object_.Set(key, Napi::String::New(env_, text.data(), text.size()));
    return *this;
  }
  ObjectBuilder& Set(const char* key, const char* text) { return Set(key, std::string_view(text)); }
  ObjectBuilder& Set(const char* key, double number) {
    object_.Set(key, Napi::Number::New(env_, number));
    return *this;
  }
  ObjectBuilder& Set(const char* key, Napi::Value value) {
    object_.Set(key, value);
    return *this;
  }
  template <std::integral Integer>
  ObjectBuilder& Set(const char* key, Integer number) {
    return Set(key, static_cast<double>(number));
  }
  ObjectBuilder& Set(const char* key, SeqId seq) { return Set(key, Index(seq)); }

  Napi::Object object() const { return object_; }

 private:
  Napi::Env env_;
  Napi::Object object_;
};

std::string_view ReasonName(PauseReason reason) {
  switch (reason) {
    case PauseReason::kTrigger:
      return "trigger";
    case PauseReason::kCode:
      return "code";
    case PauseReason::kPreviousMatch:
      return "previous-match";
  }
  return "code";
}

std::string_view ReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStopToken:
      return "stop-token";
    case FinishReason::kStopText:
      return "stop-text";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kContextLength:
      return "context-length";
    case FinishReason::kAborted:
      return "aborted";
  }
  return "aborted";
}

Napi::Object ToLogprob(Napi::Env env, const TokenLogprob& logprob) {
  return ObjectBuilder(env)
      .Set("token", logprob.token)
      .Set("logprob", static_cast<double>(logprob.logprob))
      .object();
}

// [tokens][logprobs asked for]
Napi::Array ToTop(Napi::Env env, const std::vector<const TokenEvent*>& tokens) {
  Napi::Array rows = Napi::Array::New(env, tokens.size());
  for (uint32_t i = 0; i < tokens.size(); ++i) {
    const std::vector<TokenLogprob>& top = tokens[i]->top;
    Napi::Array row = Napi::Array::New(env, top.size());
    for (uint32_t j = 0; j < top.size(); ++j) row.Set(j, ToLogprob(env, top[j]));
    rows.Set(i, row);
  }
  return rows;
}

Napi::Object ToEvent(Napi::Env env, const MatchEvent& event) {
  return ObjectBuilder(env)
      .Set("type", "match")
      .Set("seq", event.seq)
      .Set("trigger", event.trigger)
      .Set("text", event.text)
      .object();
}

Napi::Object ToEvent(Napi::Env env, const PauseEvent& event) {
  return ObjectBuilder(env)
      .Set("type", "pause")
      .Set("seq", event.seq)
      .Set("reason", ReasonName(event.reason))
      .Set("contextTokens", event.context_tokens)
      .object();
}

// JSON has no infinity: null is what cannot be done.
Napi::Object ToHindsight(Napi::Env env, const Hindsight& hindsight) {
  const Napi::Value swap =
      std::isinf(hindsight.swap) ? env.Null() : Napi::Value(Napi::Number::New(env, hindsight.swap));
  return ObjectBuilder(env)
      .Set("waste", hindsight.waste)
      .Set("preserve", hindsight.preserve)
      .Set("swap", swap)
      .Set("discard", hindsight.discard)
      .Set("regret", hindsight.regret)
      .object();
}

Napi::Object ToEvent(Napi::Env env, const ResumeEvent& event) {
  return ObjectBuilder(env)
      .Set("type", "resume")
      .Set("seq", event.seq)
      .Set("waitedMs", Milliseconds(event.waited))
      .Set("delayMs", Milliseconds(event.delay))
      .Set("recomputedTokens", event.recomputed_tokens)
      .Set("swappedBlocks", event.swapped_blocks)
      .Set("givenUpBlocks", event.given_up_blocks)
      .Set("disposition", DispositionName(event.disposition))
      .Set("hindsight", ToHindsight(env, event.hindsight))
      .object();
}

Napi::Object ToEvent(Napi::Env env, const FinishEvent& event) {
  return ObjectBuilder(env)
      .Set("type", "finish")
      .Set("seq", event.seq)
      .Set("reason", ReasonName(event.reason))
      .Set("contextTokens", event.context_tokens)
      .Set("promptTokens", event.prompt_tokens)
      .Set("generatedTokens", event.generated_tokens)
      .Set("cachedTokens", event.cached_tokens)
      .Set("queuedMs", Milliseconds(event.queued))
      .Set("firstTokenMs", Milliseconds(event.first_token))
      .Set("totalMs", Milliseconds(event.total))
      .Set("interceptedMs", Milliseconds(event.intercepted))
      .object();
}

Napi::Object ToEvent(Napi::Env env, const DecisionEvent& event) {
  const auto& [decision, estimate, pressure] = event;
  constexpr double kMillisecondsPerSecond = 1e3;
  return ObjectBuilder(env)
      .Set("type", "decision")
      .Set("seq", decision.seq)
      .Set("disposition", DispositionName(decision.disposition))
      .Set("blocks", decision.blocks)
      .Set("wastePreserve", decision.waste_preserve)
      .Set("wasteSwap", decision.waste_swap)
      .Set("wasteDiscard", decision.waste_discard)
      .Set("elapsedMs", estimate.elapsed_seconds * kMillisecondsPerSecond)
      .Set("expectedMs", estimate.expected_seconds * kMillisecondsPerSecond)
      .Set("estimateSource", SourceName(estimate.source))
      .Set("freeBlocks", pressure.device_free)
      .Set("availableBlocks", pressure.device_available)
      .Set("shortageBlocks", pressure.shortage)
      .Set("hostFreeBlocks", pressure.host_free)
      .Set("copyBudgetBlocks", pressure.copy_budget)
      .object();
}

Napi::Object ToEvent(Napi::Env env, const FailureEvent& event) {
  return ObjectBuilder(env)
      .Set("type", "failure")
      .Set("seq", event.seq)
      .Set("code", CodeName(event.status.code()))
      .Set("message", event.status.message())
      .object();
}

Napi::Object ToNotice(Napi::Env env, const ProgressNotice& notice) {
  return ObjectBuilder(env)
      .Set("type", "progress")
      .Set("phase", notice.phase == LoadPhase::kWeights ? "weights" : "calibrate")
      .Set("loadedBytes", notice.loaded_bytes)
      .Set("totalBytes", notice.total_bytes)
      .object();
}

Napi::Object ToNotice(Napi::Env env, const LoadedNotice& notice) {
  const EngineInfo& info = notice.info;
  const Napi::Object object = ObjectBuilder(env)
                                  .Set("device", info.device)
                                  .Set("isa", info.isa)
                                  .Set("threads", info.threads)
                                  .Set("contextTokens", info.context_tokens)
                                  .Set("blockTokens", info.block_tokens)
                                  .Set("blockGroups", info.block_groups)
                                  .Set("deviceBlocks", info.device_blocks)
                                  .Set("hostBlocks", info.host_blocks)
                                  .Set("bytesPerToken", info.bytes_per_token)
                                  .Set("weightBytes", info.weight_bytes)
                                  .Set("saturationTokens", info.saturation_tokens)
                                  .object();
  return ObjectBuilder(env).Set("type", "loaded").Set("info", object).object();
}

Napi::Object ToNotice(Napi::Env env, const FailedNotice& notice) {
  return ObjectBuilder(env)
      .Set("type", "failed")
      .Set("code", CodeName(notice.status.code()))
      .Set("message", notice.status.message())
      .object();
}

Napi::Object ToNotice(Napi::Env env, const DumpNotice& notice) {
  return ObjectBuilder(env)
      .Set("type", "dump")
      .Set("id", notice.id)
      .Set("json", notice.json)
      .object();
}

Napi::Object ToNotice(Napi::Env env, const StoppedNotice&) {
  return ObjectBuilder(env).Set("type", "stopped").object();
}

Napi::Object ToStep(Napi::Env env, const StepRecord& step) {
  return ObjectBuilder(env)
      .Set("step", step.step)
      .Set("slices", step.slices)
      .Set("tokens", step.tokens)
      .Set("decodes", step.decodes)
      .Set("swapOutBlocks", step.swap_out_blocks)
      .Set("swapInBlocks", step.swap_in_blocks)
      .Set("computeMs", Milliseconds(step.compute))
      .Set("totalMs", Milliseconds(step.total))
      .object();
}

// Either sampled tokens of one sequence, with no other event of it between them, or one other
// event.
struct Entry {
  std::vector<const TokenEvent*> tokens;
  const Event* other = nullptr;
};

// Of all tokens of a batch, in the order of its entries.
struct TokenColumns {
  std::vector<TokenId> ids;
  std::vector<float> logprobs;  // 0 where not asked for
};

SeqId SequenceOf(const Event& event) {
  return std::visit(
      [](const auto& alternative) {
        if constexpr (requires { alternative.decision; })
          return alternative.decision.seq;
        else
          return alternative.seq;
      },
      event);
}

// Keeps each sequence's own order; sequences may change places with each other.
std::vector<Entry> GroupTokens(std::span<const Event> events) {
  std::vector<Entry> entries;
  std::unordered_map<SeqId, size_t> open;  // The run that a sequence's next token joins.
  for (const Event& event : events) {
    const SeqId seq = SequenceOf(event);
    const auto* token = std::get_if<TokenEvent>(&event);
    if (token == nullptr) {
      open.erase(seq);
      entries.push_back({{}, &event});
      continue;
    }
    const auto [run, is_new] = open.try_emplace(seq, entries.size());
    if (is_new) entries.emplace_back();
    entries[run->second].tokens.push_back(token);
  }
  return entries;
}

Napi::Object ToTokens(Napi::Env env, const std::vector<const TokenEvent*>& tokens,
                      TokenColumns& columns) {
  ObjectBuilder builder(env);
  builder.Set("type", "tokens")
      .Set("seq", tokens.front()->seq)
      .Set("begin", columns.ids.size())
      .Set("count", tokens.size());
  std::string text;
  for (const TokenEvent* token : tokens) {
    columns.ids.push_back(token->token);
    columns.logprobs.push_back(token->logprob);
    text += token->text;
  }
  builder.Set("text", text);
  if (!tokens.front()->top.empty()) builder.Set("top", ToTop(env, tokens));
  return builder.object();
}

Napi::Value ToEntry(Napi::Env env, const Entry& entry, TokenColumns& columns) {
  if (entry.other == nullptr) return ToTokens(env, entry.tokens, columns);
  return std::visit(
      [env](const auto& event) -> Napi::Value {
        if constexpr (std::is_same_v<std::decay_t<decltype(event)>, TokenEvent>) {
          return env.Undefined();  // Tokens are in runs.
        } else {
          return ToEvent(env, event);
        }
      },
      *entry.other);
}

}  // namespace

Napi::Error ToError(Napi::Env env, const Status& status) {
  Napi::Error error = Napi::Error::New(env, status.message());
  error.Set("code", Napi::String::New(env, std::string(CodeName(status.code()))));
  return error;
}

Napi::Object ToBatch(Napi::Env env, const EventBatch& batch) {
  const std::vector<Entry> entries = GroupTokens(batch.events);
  TokenColumns columns;
  Napi::Array events = Napi::Array::New(env, entries.size() + batch.notices.size());
  uint32_t index = 0;
  for (const Entry& entry : entries) events.Set(index++, ToEntry(env, entry, columns));
  for (const Notice& notice : batch.notices) {
    events.Set(index++,
               std::visit([env](const auto& value) { return ToNotice(env, value); }, notice));
  }
  Napi::Array steps = Napi::Array::New(env, batch.steps.size());
  for (uint32_t i = 0; i < batch.steps.size(); ++i) steps.Set(i, ToStep(env, batch.steps[i]));
  Napi::Int32Array tokens = Napi::Int32Array::New(env, columns.ids.size());
  std::copy(columns.ids.begin(), columns.ids.end(), tokens.Data());
  Napi::Float32Array logprobs = Napi::Float32Array::New(env, columns.logprobs.size());
  std::copy(columns.logprobs.begin(), columns.logprobs.end(), logprobs.Data());
  return ObjectBuilder(env)
      .Set("tokens", tokens)
      .Set("logprobs", logprobs)
      .Set("events", events)
      .Set("steps", steps)
      .object();
}

Napi::Object ToCosts(Napi::Env env, const CostProfile& cost) {
  return ObjectBuilder(env)
      .Set("step", cost.step)
      .Set("perQueryToken", cost.per_query_token)
      .Set("perKvToken", cost.per_kv_token)
      .Set("queryTile", cost.query_tile)
      .Set("copyOutStart", cost.copy_start[0])
      .Set("copyInStart", cost.copy_start[1])
      .Set("copyOutBlock", cost.copy_block[0])
      .Set("copyInBlock", cost.copy_block[1])
      .object();
}

// By disposition, in the order of its numbers.
template <typename Number>
Napi::Object ToRecord(Napi::Env env, const std::array<Number, kDispositions>& values) {
  return ObjectBuilder(env)
      .Set("preserve", static_cast<double>(values[0]))
      .Set("swap", static_cast<double>(values[1]))
      .Set("discard", static_cast<double>(values[2]))
      .object();
}

Napi::Object ToKind(Napi::Env env, const KindWaste& kind) {
  return ObjectBuilder(env)
      .Set("kind", Index(kind.kind))
      .Set("preservedIdle", kind.preserved_idle)
      .Set("recompute", kind.recompute)
      .Set("stall", kind.stall)
      .Set("swapWait", kind.swap_wait)
      .Set("pausedUnwanted", kind.paused_unwanted)
      .Set("interceptions", ToRecord(env, kind.interceptions))
      .Set("regret", ToRecord(env, kind.regret))
      .object();
}

Napi::Object ToStats(Napi::Env env, const SchedulerStats& stats) {
  const WasteStats& waste = stats.waste;
  const Napi::Object waste_object = ObjectBuilder(env)
                                        .Set("preservedIdle", waste.preserved_idle)
                                        .Set("recompute", waste.recompute)
                                        .Set("stall", waste.stall)
                                        .Set("swapWait", waste.swap_wait)
                                        .Set("pausedUnwanted", waste.paused_unwanted)
                                        .Set("paperPreserved", waste.paper_preserved)
                                        .Set("capacity", waste.capacity)
                                        .object();
  Napi::Array kinds = Napi::Array::New(env, stats.kinds.size());
  for (uint32_t i = 0; i < stats.kinds.size(); ++i) kinds.Set(i, ToKind(env, stats.kinds[i]));
  return ObjectBuilder(env)
      .Set("steps", stats.steps)
      .Set("queryTokens", stats.query_tokens)
      .Set("recomputedTokens", stats.recomputed_tokens)
      .Set("cachedTokens", stats.cached_tokens)
      .Set("swappedOutBlocks", stats.swapped_out_blocks)
      .Set("swappedInBlocks", stats.swapped_in_blocks)
      .Set("discardedBlocks", stats.discarded_blocks)
      .Set("preemptions", stats.preemptions)
      .Set("waiting", stats.waiting)
      .Set("running", stats.running)
      .Set("paused", stats.paused)
      .Set("deviceBlocks", stats.device_blocks)
      .Set("deviceBlocksFree", stats.device_blocks_free)
      .Set("deviceBlocksCached", stats.device_blocks_cached)
      .Set("hostBlocks", stats.host_blocks)
      .Set("hostBlocksFree", stats.host_blocks_free)
      .Set("measuredSeconds", stats.measured_seconds)
      .Set("predictedSeconds", stats.predicted_seconds)
      .Set("costError", stats.cost_error)
      .Set("cost", ToCosts(env, stats.cost))
      .Set("waste", waste_object)
      .Set("kinds", kinds)
      .object();
}

}  // namespace infercept
