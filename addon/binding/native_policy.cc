#include "binding/native_policy.h"

#include <algorithm>
#include <initializer_list>
#include <string>

#include "binding/convert_in.h"
#include "binding/convert_out.h"
#include "engine/dump.h"
#include "kv/kv_manager.h"
#include "sched/waste.h"

namespace infercept {
namespace {

constexpr uint32_t kTokensMax = 1u << 24;  // of one step, or of one context in it
constexpr double kSecondsMax = 1e9;        // three decades

Nanos ToNanos(double seconds) {
  return static_cast<Nanos>(seconds * static_cast<double>(kNanosPerSecond));
}

Nanos ReadDuration(const ObjectReader& object) {
  return ToNanos(object.Double("seconds", 0, kSecondsMax));
}

CopyDirection ReadDirection(const ObjectReader& object) {
  const std::string direction = object.String("direction");
  if (direction == "out") return CopyDirection::kOut;
  if (direction == "in") return CopyDirection::kIn;
  ThrowInvalid(object.env(), "Unknown direction '" + direction + "'.");
}

bool InRange(double value) { return value >= 0 && value <= kSecondsMax; }

void CheckLengths(const ObjectReader& columns, size_t count,
                  std::initializer_list<size_t> lengths) {
  for (const size_t length : lengths) {
    if (length != count) ThrowInvalid(columns.env(), "Columns must have equal lengths.");
  }
}

// One row per decision. `residuals` are by PausedContext::seq, as decisions are.
Napi::Object ToColumns(Napi::Env env, const std::vector<Decision>& decisions,
                       const std::vector<double>& residuals) {
  const size_t count = decisions.size();
  Napi::Uint32Array contexts = Napi::Uint32Array::New(env, count);
  Napi::Uint8Array dispositions = Napi::Uint8Array::New(env, count);
  Napi::Uint32Array blocks = Napi::Uint32Array::New(env, count);
  Napi::Uint32Array ahead = Napi::Uint32Array::New(env, count);
  Napi::Float64Array preserve = Napi::Float64Array::New(env, count);
  Napi::Float64Array swap = Napi::Float64Array::New(env, count);
  Napi::Float64Array discard = Napi::Float64Array::New(env, count);
  Napi::Float64Array residual_seconds = Napi::Float64Array::New(env, count);
  for (size_t i = 0; i < count; ++i) {
    const Decision& decision = decisions[i];
    contexts[i] = Index(decision.seq);
    dispositions[i] = static_cast<uint8_t>(decision.disposition);
    blocks[i] = decision.blocks;
    ahead[i] = decision.ahead;
    preserve[i] = decision.waste_preserve;
    swap[i] = decision.waste_swap;
    discard[i] = decision.waste_discard;
    residual_seconds[i] = residuals[Index(decision.seq)];
  }
  Napi::Object columns = Napi::Object::New(env);
  columns.Set("contexts", contexts);
  columns.Set("dispositions", dispositions);
  columns.Set("blocks", blocks);
  columns.Set("ahead", ahead);
  columns.Set("preserve", preserve);
  columns.Set("swap", swap);
  columns.Set("discard", discard);
  columns.Set("residualSeconds", residual_seconds);
  return columns;
}

}  // namespace

Napi::Function NativePolicy::Define(Napi::Env env) {
  return DefineClass(env, "NativePolicy",
                     {InstanceMethod<&NativePolicy::ObserveStep>("observeStep"),
                      InstanceMethod<&NativePolicy::ObserveCopy>("observeCopy"),
                      InstanceMethod<&NativePolicy::ObserveInterception>("observeInterception"),
                      InstanceMethod<&NativePolicy::Decide>("decide"),
                      InstanceMethod<&NativePolicy::Weigh>("weigh"),
                      InstanceMethod<&NativePolicy::Residual>("residual"),
                      InstanceMethod<&NativePolicy::StepSeconds>("stepSeconds"),
                      InstanceMethod<&NativePolicy::CopySeconds>("copySeconds"),
                      InstanceMethod<&NativePolicy::CopyBlocksWithin>("copyBlocksWithin"),
                      InstanceMethod<&NativePolicy::KvReads>("kvReads"),
                      InstanceMethod<&NativePolicy::Costs>("costs"),
                      InstanceMethod<&NativePolicy::Durations>("durations")});
}

NativePolicy::NativePolicy(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NativePolicy>(info) {
  const ObjectReader options(info[0], "options");
  policy_ = ToPolicyKind(options, "policy");
  block_tokens_ = options.Int<uint32_t>("blockTokens", 1, 1024);
  saturation_tokens_ = options.Int<uint32_t>("saturationTokens", 0, kTokensMax);
  bytes_per_token_ = options.Double("bytesPerToken", 1, 1e9);
  window_tokens_ = options.Int<uint32_t>("windowTokens", 0, kTokensMax);
  CostProfile profile = ToCostProfile(options.Object("profile"));
  profile.window_tokens = window_tokens_;
  cost_ = CostModel(profile);
  durations_.Import(ToDurations(options, "durations"));
}

Napi::Value NativePolicy::ObserveStep(const Napi::CallbackInfo& info) {
  const ObjectReader step(info[0], "step");
  cost_.Observe(ForwardSample{step.Int<uint32_t>("queryTokens", 0, kTokensMax),
                              step.Int<uint64_t>("kvTokens"), ReadDuration(step)});
  return info.Env().Undefined();
}

Napi::Value NativePolicy::ObserveCopy(const Napi::CallbackInfo& info) {
  const ObjectReader copy(info[0], "copy");
  cost_.Observe(ReadDirection(copy), {copy.Int<uint32_t>("blocks"), ReadDuration(copy)});
  return info.Env().Undefined();
}

Napi::Value NativePolicy::ObserveInterception(const Napi::CallbackInfo& info) {
  const ObjectReader interception(info[0], "interception");
  durations_.Observe(ToKindPath(interception), ReadDuration(interception));
  return info.Env().Undefined();
}

// Residual times as far as somebody has said them; else 0.
std::vector<PausedContext> NativePolicy::ReadPaused(const ObjectReader& columns) const {
  const std::vector<uint32_t> tokens = columns.Uint32s("tokens");
  const std::vector<uint32_t> device_blocks = columns.Uint32s("deviceBlocks");
  const std::vector<uint32_t> backed_blocks = columns.Uint32s("backedBlocks");
  const std::vector<uint32_t> host_blocks = columns.Uint32s("hostBlocks");
  const std::vector<double> elapsed = columns.Doubles("elapsedSeconds");
  const std::vector<double> expected = columns.Doubles("expectedSeconds");
  const size_t count = tokens.size();
  CheckLengths(columns, count,
               {device_blocks.size(), backed_blocks.size(), host_blocks.size(), elapsed.size(),
                expected.size()});
  std::vector<PausedContext> paused(count);
  for (uint32_t i = 0; i < count; ++i) {
    if (!InRange(elapsed[i]) || !InRange(expected[i])) {
      ThrowInvalid(columns.env(), "Context " + std::to_string(i) + " is out of range.");
    }
    PausedContext& context = paused[i];
    context.seq = SeqId{i};
    context.place = i;
    context.tokens = tokens[i];
    context.device_blocks = device_blocks[i];
    context.backed_blocks = std::min(backed_blocks[i], device_blocks[i]);
    context.host_blocks = host_blocks[i];
    context.released_blocks = FirstVisibleRow(tokens[i], window_tokens_, block_tokens_);
    context.block_tokens = block_tokens_;
    context.elapsed_seconds = elapsed[i];
    context.residual_seconds = expected[i];
  }
  return paused;
}

// Estimates the residual times that nobody has said, and returns all of them: policies may change
// the order of contexts.
std::vector<double> NativePolicy::Estimate(const ObjectReader& columns,
                                           std::vector<PausedContext>& paused) const {
  const std::vector<uint32_t> families = columns.Uint32s("families");
  const std::vector<uint32_t> kinds = columns.Uint32s("kinds");
  const std::vector<uint32_t> shapes = columns.Uint32s("shapes");
  CheckLengths(columns, paused.size(), {families.size(), kinds.size(), shapes.size()});
  std::vector<double> residuals;
  residuals.reserve(paused.size());
  for (size_t i = 0; i < paused.size(); ++i) {
    PausedContext& context = paused[i];
    if (context.residual_seconds == 0) {
      const KindPath kind{KindId{families[i]}, KindId{kinds[i]}, KindId{shapes[i]}};
      context.residual_seconds = durations_.Residual(kind, ToNanos(context.elapsed_seconds));
    }
    residuals.push_back(context.residual_seconds);
  }
  return residuals;
}

uint32_t NativePolicy::SaturationTokens() const {
  return saturation_tokens_ > 0 ? saturation_tokens_ : cost_.SaturationTokens();
}

StepLoad NativePolicy::ReadLoad(const ObjectReader& reader,
                                const std::vector<PausedContext>& paused) const {
  StepLoad load;
  load.saturation_tokens = SaturationTokens();
  load.running_tokens = reader.Int<uint64_t>("runningTokens");
  for (const PausedContext& context : paused) {
    load.paused_tokens += DeviceTokens(context);
    load.backed_blocks += context.backed_blocks;
  }
  load.paused_tokens += reader.Int<uint64_t>("otherPausedTokens");
  load.shortage_blocks = reader.Int<uint32_t>("shortageBlocks");
  load.host_room_blocks = load.shortage_blocks;
  load.ahead_blocks = reader.Int<uint32_t>("aheadBlocks");
  load.returning_blocks = reader.Int<uint32_t>("returningBlocks");
  load.host_blocks_free = reader.Int<uint32_t>("hostBlocksFree");
  load.bytes_per_token = bytes_per_token_;
  if (const auto blocks = reader.OptionalInt<uint32_t>("swapOutBlocks")) {
    load.swap_out_blocks = *blocks;
  } else {
    load.swap_out_blocks = SwapOutBudget(policy_, reader.Int<uint64_t>("queryTokens"), load, cost_);
  }
  return load;
}

Napi::Value NativePolicy::Decide(const Napi::CallbackInfo& info) {
  const ObjectReader columns(info[0], "paused");
  std::vector<PausedContext> paused = ReadPaused(columns);
  const StepLoad load = ReadLoad(ObjectReader(info[1], "load"), paused);
  std::vector<Decision> decisions;
  std::vector<double> residuals;
  if (PolicyActs(policy_, load)) {
    residuals = Estimate(columns, paused);
    PolicyFunction(policy_)(paused, load, cost_, decisions);
  }
  return ToColumns(info.Env(), decisions, residuals);
}

Napi::Value NativePolicy::Weigh(const Napi::CallbackInfo& info) {
  const ObjectReader columns(info[0], "paused");
  std::vector<PausedContext> paused = ReadPaused(columns);
  const StepLoad load = ReadLoad(ObjectReader(info[1], "load"), paused);
  const std::vector<double> residuals = Estimate(columns, paused);
  std::vector<Decision> weighed;
  weighed.reserve(paused.size());
  for (const PausedContext& context : paused) {
    Decision& decision = weighed.emplace_back();
    decision.seq = context.seq;
    decision.waste_preserve = WastePreserve(context, context.residual_seconds, load);
    decision.waste_swap = WasteSwap(context, load.swap_out_blocks, load, cost_);
    decision.waste_discard = WasteDiscard(context, load, cost_);
  }
  return ToColumns(info.Env(), weighed, residuals);
}

Napi::Value NativePolicy::Residual(const Napi::CallbackInfo& info) {
  const ObjectReader interception(info[0], "interception");
  const Nanos elapsed = ReadDuration(interception);
  return Napi::Number::New(info.Env(), durations_.Residual(ToKindPath(interception), elapsed));
}

Napi::Value NativePolicy::StepSeconds(const Napi::CallbackInfo& info) {
  const ObjectReader step(info[0], "step");
  const double query_tokens = step.Double("queryTokens", 0, kTokensMax);
  return Napi::Number::New(info.Env(),
                           cost_.Forward(query_tokens, step.Double("kvTokens", 0, 1e15)));
}

Napi::Value NativePolicy::CopySeconds(const Napi::CallbackInfo& info) {
  const ObjectReader copy(info[0], "copy");
  return Napi::Number::New(info.Env(),
                           cost_.Copy(ReadDirection(copy), copy.Int<uint32_t>("blocks")));
}

Napi::Value NativePolicy::CopyBlocksWithin(const Napi::CallbackInfo& info) {
  const ObjectReader copy(info[0], "copy");
  const double seconds = copy.Double("seconds", 0, kSecondsMax);
  return Napi::Number::New(info.Env(), cost_.CopyBlocksWithin(ReadDirection(copy), seconds));
}

Napi::Value NativePolicy::KvReads(const Napi::CallbackInfo& info) {
  const ObjectReader slice(info[0], "slice");
  const auto first = slice.Int<uint64_t>("first", 0, kTokensMax);
  const auto count = slice.Int<uint64_t>("count", 0, kTokensMax);
  return Napi::Number::New(info.Env(), static_cast<double>(cost_.KvReads(first, count)));
}

Napi::Value NativePolicy::Costs(const Napi::CallbackInfo& info) {
  Napi::Object costs = ToCosts(info.Env(), cost_.profile());
  costs.Set("saturationTokens", SaturationTokens());
  costs.Set("relativeError", cost_.relative_error());
  return costs;
}

Napi::Value NativePolicy::Durations(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), DurationsJson(durations_.Export()));
}

}  // namespace infercept
