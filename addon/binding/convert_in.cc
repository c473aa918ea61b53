#include "binding/convert_in.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <utility>

#include "binding/object_reader.h"

namespace infercept {
namespace {

template <typename Value>
using NameTable = std::initializer_list<std::pair<std::string_view, Value>>;

template <typename Value>
Value Named(const ObjectReader& reader, const char* key, NameTable<Value> table) {
  const std::string name = reader.String(key);
  for (const auto& [entry, value] : table) {
    if (entry == name) return value;
  }
  ThrowInvalid(reader.env(), "Unknown " + std::string(key) + " '" + name + "'.");
}

RopeScaling ToScaling(const ObjectReader& reader) {
  using Kind = RopeScaling::Kind;
  RopeScaling scaling;
  scaling.kind = Named<Kind>(reader, "kind",
                             {{"none", Kind::kNone},
                              {"linear", Kind::kLinear},
                              {"llama3", Kind::kLlama3},
                              {"dynamic", Kind::kDynamic},
                              {"factors", Kind::kFactors},
                              {"yarn", Kind::kYarn},
                              {"longrope", Kind::kLongRope}});
  const auto positive = [&](const char* key, double& value) {
    if (reader.Has(key)) value = reader.Double(key, 1e-6, 1e9);
  };
  positive("factor", scaling.factor);
  positive("lowFrequencyFactor", scaling.low_frequency_factor);
  positive("highFrequencyFactor", scaling.high_frequency_factor);
  positive("originalContextTokens", scaling.original_context_tokens);
  positive("fastTurns", scaling.fast_turns);
  positive("slowTurns", scaling.slow_turns);
  positive("amplitude", scaling.amplitude);
  if (reader.Has("wholePairs")) scaling.whole_pairs = reader.Bool("wholePairs");
  if (scaling.kind == Kind::kLongRope) {
    scaling.short_factors = reader.Numbers("shortFactors");
    scaling.long_factors = reader.Numbers("longFactors");
  }
  return scaling;
}

RopeSpec ToRope(const ObjectReader& reader) {
  RopeSpec rope;
  rope.dimension = reader.Int<uint32_t>("dimension");
  rope.base = reader.Double("base", 1e-6, 1e15);
  rope.scaling = ToScaling(reader.Object("scaling"));
  rope.interleaved = Named<bool>(reader, "layout", {{"interleaved", true}, {"half", false}});
  return rope;
}

// What only some families have; what is absent stays as it is.
void ReadVariations(const ObjectReader& reader, Hyperparameters& result) {
  const auto flag = [&](const char* key, bool& value) {
    if (reader.Has(key)) value = reader.Bool(key);
  };
  const auto number = [&](const char* key, float& value) {
    if (reader.Has(key)) value = reader.Float(key);
  };
  if (reader.Has("norm")) {
    result.norm =
        Named<NormKind>(reader, "norm", {{"rms", NormKind::kRms}, {"layer", NormKind::kLayer}});
  }
  if (reader.Has("activation")) {
    result.activation = Named<Activation>(reader, "activation",
                                          {{"silu", Activation::kSilu},
                                           {"gelu", Activation::kGelu},
                                           {"clampedSwiglu", Activation::kClampedSwiglu}});
  }
  number("normWeightOffset", result.norm_weight_offset);
  flag("postNorms", result.post_norms);
  flag("queryKeyNorm", result.query_key_norm);
  flag("parallelBlocks", result.parallel_blocks);
  flag("queryKeyValueBias", result.query_key_value_bias);
  flag("attentionOutputBias", result.attention_output_bias);
  flag("feedForwardBias", result.feed_forward_bias);
  flag("outputBias", result.output_bias);
  flag("gated", result.gated);
  if (reader.Has("swiglu")) {
    const ObjectReader swiglu = reader.Object("swiglu");
    result.swiglu = {swiglu.Float("alpha"), swiglu.Float("limit")};
  }
  if (reader.Has("experts")) {
    const ObjectReader experts = reader.Object("experts");
    result.experts = {experts.Int<uint32_t>("count", 1), experts.Int<uint32_t>("used", 1),
                      experts.Bool("normalized")};
  }
  flag("routerBias", result.router_bias);
  number("embeddingScale", result.embedding_scale);
  number("attentionScale", result.attention_scale);
  number("attentionSoftCap", result.attention_soft_cap);
  number("logitSoftCap", result.logit_soft_cap);
  flag("attentionSinks", result.attention_sinks);
  if (reader.Has("windows")) {
    for (const double tokens : reader.Numbers("windows")) {
      if (!(tokens >= 0 && tokens <= UINT32_MAX))
        ThrowInvalid(reader.env(), "A window is negative.");
      result.windows.push_back(static_cast<uint32_t>(tokens));
    }
  }
  if (reader.Has("windowRope")) result.window_rope = ToRope(reader.Object("windowRope"));
}

Hyperparameters ToHyperparameters(const ObjectReader& reader) {
  Hyperparameters result;
  result.layers = reader.Int<uint32_t>("layers", 1);
  result.width = reader.Int<uint32_t>("width", 1);
  result.heads = reader.Int<uint32_t>("heads", 1);
  result.kv_heads = reader.Int<uint32_t>("kvHeads", 1);
  result.head_dim = reader.Int<uint32_t>("headDim", 1);
  result.ffn_width = reader.Int<uint32_t>("ffnWidth", 1);
  result.vocabulary_size = reader.Int<uint32_t>("vocabularySize", 1, INT32_MAX);
  result.context_tokens = reader.Int<uint32_t>("contextTokens", 1);
  result.norm_epsilon = reader.Float("normEpsilon");
  result.rope = ToRope(reader.Object("rope"));
  result.tied_embeddings = reader.Bool("tiedEmbeddings");
  ReadVariations(reader, result);
  return result;
}

uint32_t ToDimension(const ObjectReader& reader, const Napi::Array& shape, uint32_t index) {
  const Napi::Value value = shape.Get(index);
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(number >= 1 && number <= UINT32_MAX && number == static_cast<uint32_t>(number))) {
    ThrowInvalid(reader.env(), "A tensor's shape must be two positive integers.");
  }
  return static_cast<uint32_t>(number);
}

DType ToDType(const ObjectReader& reader, const char* key) {
  const std::string name = reader.String(key);
  for (const DTypeTraits& traits : kDTypeTraits) {
    if (traits.name == name && IsWeightDType(traits.dtype)) return traits.dtype;
  }
  ThrowInvalid(reader.env(), "Unknown " + std::string(key) + " '" + name + "'.");
}

TensorSpec ToTensor(const ObjectReader& reader, const Napi::Object& object) {
  const Napi::Value shape = object.Get("shape");
  if (!shape.IsArray()) ThrowInvalid(reader.env(), "A tensor's shape must be an array.");
  TensorSpec tensor;
  tensor.name = reader.String("name");
  tensor.dtype = ToDType(reader, "dtype");
  tensor.rows = ToDimension(reader, shape.As<Napi::Array>(), 0);
  tensor.columns = ToDimension(reader, shape.As<Napi::Array>(), 1);
  tensor.file = reader.Int<uint32_t>("file");
  tensor.offset = reader.Int<uint64_t>("offset");
  tensor.byte_length = reader.Int<uint64_t>("byteLength");
  if (reader.Has("rowStep")) tensor.row_step = reader.Int<uint32_t>("rowStep");
  if (reader.Has("scales")) {
    const ObjectReader scales = reader.Object("scales");
    tensor.scales = {scales.Int<uint32_t>("file"), scales.Int<uint64_t>("offset")};
  }
  return tensor;
}

SamplingParams ToSampling(const ObjectReader& reader) {
  SamplingParams sampling;
  sampling.temperature = reader.Float("temperature");
  sampling.top_k = reader.Int<uint32_t>("topK");
  sampling.top_p = reader.Float("topP");
  sampling.min_p = reader.Float("minP");
  sampling.repetition_penalty = reader.Float("repetitionPenalty");
  sampling.presence_penalty = reader.Float("presencePenalty");
  sampling.frequency_penalty = reader.Float("frequencyPenalty");
  sampling.penalty_tokens = reader.Int<uint32_t>("penaltyTokens");
  sampling.seed = reader.BigUint64("seed");
  sampling.logprobs = reader.Int<int32_t>("logprobs", -1);
  const std::vector<int32_t> tokens = reader.Int32s("logitBiasTokens");
  const std::vector<float> values = reader.Floats("logitBiasValues");
  if (tokens.size() != values.size()) {
    ThrowInvalid(reader.env(), "logitBiasTokens and logitBiasValues must have equal lengths.");
  }
  for (size_t i = 0; i < tokens.size(); ++i) {
    sampling.logit_bias.emplace_back(tokens[i], values[i]);
  }
  return sampling;
}

Trigger ToTrigger(const ObjectReader& reader) {
  Trigger trigger;
  trigger.text = reader.String("text");
  trigger.tokens = reader.Int32s("tokens");
  trigger.until = reader.String("until");
  trigger.action = reader.Bool("pauseAtStop") ? TriggerAction::kPauseAtStop : TriggerAction::kPause;
  return trigger;
}

Turn ToTurn(const ObjectReader& reader) {
  Turn turn;
  turn.sampling = ToSampling(reader.Object("sampling"));
  turn.stop_tokens = reader.Int32s("stopTokens");
  turn.stop_texts = reader.Strings("stopTexts");
  for (const ObjectReader& trigger : reader.Objects("triggers")) {
    turn.triggers.push_back(ToTrigger(trigger));
  }
  turn.max_tokens = reader.Int<uint32_t>("maxTokens", 1);
  return turn;
}

SeqId ToSeq(const ObjectReader& reader, const char* key = "seq") {
  return SeqId{reader.Int<uint32_t>(key)};
}

InterceptionFacts ToFacts(const ObjectReader& reader) {
  constexpr double kRemainingMsMax = 1e12;  // three decades
  InterceptionFacts facts;
  if (reader.Has("kind")) facts.kind = ToKindPath(reader);
  if (reader.Has("remainingMs")) {
    facts.remaining = static_cast<Nanos>(reader.Double("remainingMs", 0, kRemainingMsMax) * 1e6);
  }
  if (reader.Has("disposition")) {
    facts.disposition = Named<Disposition>(reader, "disposition",
                                           {{"preserve", Disposition::kPreserve},
                                            {"swap", Disposition::kSwap},
                                            {"discard", Disposition::kDiscard}});
  }
  return facts;
}

Command ToSubmit(const ObjectReader& reader) {
  SubmitCommand command;
  command.seq = ToSeq(reader);
  command.tokens = reader.Int32s("tokens");
  command.turn = ToTurn(reader.Object("turn"));
  command.priority = reader.Int<int32_t>("priority");
  command.keep = reader.Bool("keep");
  return command;
}

Command ToResume(const ObjectReader& reader) {
  ResumeCommand command;
  command.seq = ToSeq(reader);
  command.tokens = reader.Int32s("tokens");
  if (reader.Has("turn")) command.turn = ToTurn(reader.Object("turn"));
  return command;
}

Command ToFork(const ObjectReader& reader) {
  return ForkCommand{ToSeq(reader), ToSeq(reader, "child")};
}

Command ToMark(const ObjectReader& reader) { return MarkCommand{ToSeq(reader), ToFacts(reader)}; }

Command ToPause(const ObjectReader& reader) { return PauseCommand{ToSeq(reader), ToFacts(reader)}; }

Command ToAbort(const ObjectReader& reader) {
  return AbortCommand{ToSeq(reader), reader.OptionalInt<uint32_t>("tokens")};
}

Command ToRewind(const ObjectReader& reader) {
  return RewindCommand{ToSeq(reader), reader.Int<uint32_t>("tokens")};
}

Command ToSuspend(const ObjectReader& reader) { return SuspendCommand{ToSeq(reader)}; }

Command ToRelease(const ObjectReader& reader) { return ReleaseCommand{ToSeq(reader)}; }

struct CommandRow {
  std::string_view type;
  Command (*convert)(const ObjectReader& reader);
};

constexpr CommandRow kCommands[] = {
    {"submit", ToSubmit}, {"resume", ToResume},   {"mark", ToMark},
    {"pause", ToPause},   {"abort", ToAbort},     {"rewind", ToRewind},
    {"fork", ToFork},     {"suspend", ToSuspend}, {"release", ToRelease},
};

LearnedDurations ToLearned(const ObjectReader& reader) {
  LearnedDurations durations{KindId{reader.Int<uint32_t>("kind")}, {}};
  const std::vector<double> seconds = reader.Doubles("seconds");
  const std::vector<double> weights = reader.Doubles("weights");
  const auto wrong = [](double value) { return !(value >= 0 && std::isfinite(value)); };
  if (seconds.size() != weights.size() || std::ranges::any_of(seconds, wrong) ||
      std::ranges::any_of(weights, wrong)) {
    ThrowInvalid(reader.env(),
                 "durations must have as many seconds as weights, all of them finite "
                 "and none negative.");
  }
  for (size_t i = 0; i < seconds.size(); ++i) durations.bins.push_back({seconds[i], weights[i]});
  return durations;
}

}  // namespace

ModelSpec ToModelSpec(Napi::Value value) {
  const ObjectReader reader(value, "spec");
  ModelSpec spec;
  spec.architecture = reader.String("architecture");
  spec.hyperparameters = ToHyperparameters(reader.Object("hyperparameters"));
  spec.files = reader.Strings("files");
  const auto tensors = value.As<Napi::Object>().Get("tensors");
  const std::vector<ObjectReader> readers = reader.Objects("tensors");
  for (uint32_t i = 0; i < readers.size(); ++i) {
    spec.tensors.push_back(
        ToTensor(readers[i], tensors.As<Napi::Array>().Get(i).As<Napi::Object>()));
  }
  return spec;
}

PolicyKind ToPolicyKind(const ObjectReader& reader, const char* key) {
  const std::string name = reader.String(key);
  const std::optional<PolicyKind> kind = ParsePolicy(name);
  if (!kind) ThrowInvalid(reader.env(), "Unknown policy '" + name + "'.");
  return *kind;
}

RuntimeOptions ToRuntimeOptions(Napi::Value value) {
  const ObjectReader reader(value, "options");
  RuntimeOptions options;
  options.device = reader.String("device");
  options.deterministic = reader.Bool("deterministic");
  options.kv_bytes = reader.Int<size_t>("kvBytes");
  options.kv_fills_device = reader.Bool("kvFillsDevice");
  options.kv_dtype = reader.String("kvDtype");
  if (reader.String("quantize") != "none") options.quantize = ToDType(reader, "quantize");
  options.block_tokens = reader.Int<uint32_t>("blockTokens", 1, 1024);
  options.host_bytes = reader.Int<size_t>("hostBytes");
  options.policy = ToPolicyKind(reader, "policy");
  options.slo = ToSloWeights(reader.Object("slo"));
  options.threads = reader.Int<uint32_t>("threads", 0, 1024);
  options.pin_threads = reader.Bool("pinThreads");
  options.context_tokens = reader.Int<uint32_t>("contextTokens");
  options.step_tokens = reader.Int<uint32_t>("stepTokens", 1, 1 << 16);
  options.saturation_tokens = reader.Int<uint32_t>("saturationTokens");
  options.prefix_cache = reader.Bool("prefixCache");
  options.sequences_max = reader.Int<uint32_t>("sequencesMax", 1);
  options.durations = ToDurations(reader, "durations");
  return options;
}

SloWeights ToSloWeights(const ObjectReader& reader) {
  constexpr double kLeast = 0.01;  // Their ratio is a finite number.
  constexpr double kMost = 100;
  return {reader.Double("ttft", kLeast, kMost), reader.Double("throughput", kLeast, kMost)};
}

CostProfile ToCostProfile(const ObjectReader& reader) {
  constexpr double kSecondsMax = 1e9;
  constexpr uint32_t kTileMax = 1u << 24;  // tokens of the longest context
  const auto seconds = [&](const char* key) { return reader.Double(key, 0, kSecondsMax); };
  CostProfile profile;
  profile.step = seconds("step");
  profile.per_query_token = seconds("perQueryToken");
  profile.per_kv_token = seconds("perKvToken");
  profile.query_tile = reader.Int<uint32_t>("queryTile", 1, kTileMax);
  profile.copy_start = {seconds("copyOutStart"), seconds("copyInStart")};
  profile.copy_block = {seconds("copyOutBlock"), seconds("copyInBlock")};
  return profile;
}

KindPath ToKindPath(const ObjectReader& reader) {
  const auto level = [&](const char* key) { return KindId{reader.Int<uint32_t>(key)}; };
  return {level("family"), level("kind"), level("shape")};
}

std::vector<LearnedDurations> ToDurations(const ObjectReader& reader, const char* key) {
  std::vector<LearnedDurations> durations;
  for (const ObjectReader& learned : reader.Objects(key)) durations.push_back(ToLearned(learned));
  return durations;
}

TokenTable ToTokenTable(Napi::Value value) {
  const ObjectReader reader(value, "vocabulary");
  TokenTable table{reader.Bytes("bytes"), reader.Uint32s("offsets")};
  if (table.offsets.empty() || table.offsets.back() != table.bytes.size() ||
      !std::is_sorted(table.offsets.begin(), table.offsets.end())) {
    ThrowInvalid(value.Env(), "vocabulary.offsets must ascend to the length of its bytes.");
  }
  return table;
}

Command ToCommand(Napi::Value value) {
  const ObjectReader reader(value, "command");
  const std::string type = reader.String("type");
  for (const CommandRow& row : kCommands) {
    if (row.type == type) return row.convert(reader);
  }
  ThrowInvalid(value.Env(), "Unknown command '" + type + "'.");
}

}  // namespace infercept
