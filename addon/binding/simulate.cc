#include "binding/simulate.h"

#include <atomic>
#include <memory>
#include <utility>

#include "binding/convert_in.h"
#include "binding/convert_out.h"
#include "binding/object_reader.h"
#include "sched/duration_predictor.h"
#include "sim/simulation.h"

namespace infercept {
namespace {

constexpr double kSecondsMax = 1e9;
constexpr double kNanosPerMilli = 1e6;
constexpr uint32_t kTokensMax = 1u << 24;
constexpr uint32_t kBlocksMax = 1u << 28;
constexpr uint32_t kGroupsMax = 256;  // the layers of the deepest models, one in each

Nanos ReadNanos(const ObjectReader& object, const char* key) {
  return static_cast<Nanos>(object.Double(key, 0, kSecondsMax * 1e3) * kNanosPerMilli);
}

SimSegment ReadSegment(const ObjectReader& object) {
  SimSegment segment;
  segment.decode_tokens = object.Int<uint32_t>("decodeTokens", 1, kTokensMax);
  segment.kind = KindId{object.Int<uint32_t>("kind", 0, DurationPredictor::kKindsMax - 1)};
  segment.duration = ReadNanos(object, "durationMs");
  segment.returned_tokens = object.Int<uint32_t>("returnedTokens", 0, kTokensMax);
  return segment;
}

SimSession ReadSession(const ObjectReader& object) {
  SimSession session;
  session.arrival = ReadNanos(object, "arrivalMs");
  session.prompt_tokens = object.Int<uint32_t>("promptTokens", 1, kTokensMax);
  session.prefix = object.Int<uint32_t>("prefix", 0);
  session.prefix_tokens = object.Int<uint32_t>("prefixTokens", 0, session.prompt_tokens);
  session.priority = object.Int<int32_t>("priority");
  session.parent = object.Int<int32_t>("parent", -1);
  session.parent_segment = object.Int<uint32_t>("parentSegment", 0);
  for (const ObjectReader& segment : object.Objects("segments")) {
    session.segments.push_back(ReadSegment(segment));
  }
  if (session.segments.empty()) ThrowInvalid(object.env(), "a session needs at least one segment");
  return session;
}

// Sub-agents come after who calls them, so there are no circles; and the call is one that happens.
void CheckParents(Napi::Env env, const std::vector<SimSession>& sessions) {
  for (size_t i = 0; i < sessions.size(); ++i) {
    const SimSession& session = sessions[i];
    if (session.parent < 0) continue;
    const auto parent = static_cast<size_t>(session.parent);
    if (parent >= i || session.parent_segment + 1 >= sessions[parent].segments.size())
      ThrowInvalid(env, "a sub-agent's parent must stand before it and pause at that segment");
  }
}

MixOptions ReadMix(const ObjectReader& object) {
  MixOptions mix;
  mix.rate = object.Double("rate", 1e-6, 1e6);
  mix.seconds = object.Double("seconds", 1e-3, kSecondsMax);
  mix.seed = object.BigUint64("seed");
  mix.context_tokens_max = object.Int<uint32_t>("contextTokens", 2, kTokensMax);
  mix.time_scale = object.Double("timeScale", 0, 1e6);
  mix.token_scale = object.Double("tokenScale", 1e-6, 1e6);
  mix.only = object.Int<int32_t>("only", -1, kAugmentations - 1);
  return mix;
}

// As lib/simulate.ts numbers dispositions; -1: no wish.
std::optional<Disposition> ToWish(int32_t wish) {
  if (wish < 0 || wish > static_cast<int32_t>(Disposition::kDiscard)) return std::nullopt;
  return static_cast<Disposition>(wish);
}

SimOptions ReadOptions(const ObjectReader& object) {
  SimOptions options;
  SchedulerConfig& scheduler = options.scheduler;
  scheduler.kv.device_blocks = object.Int<uint32_t>("deviceBlocks", 1, kBlocksMax);
  scheduler.kv.host_blocks = object.Int<uint32_t>("hostBlocks", 0, kBlocksMax);
  scheduler.kv.block_tokens = object.Int<uint32_t>("blockTokens", 1, 1024);
  scheduler.kv.groups = object.Int<uint32_t>("groups", 1, kGroupsMax);
  scheduler.kv.full_groups = object.Int<uint32_t>("fullGroups", 0, scheduler.kv.groups - 1);
  scheduler.kv.block_bytes = static_cast<size_t>(object.Double("bytesPerToken", 1, 1e9) *
                                                 scheduler.kv.block_tokens / scheduler.kv.groups);
  scheduler.kv.prefix_cache = object.Bool("prefixCache");
  scheduler.kv.window_tokens = object.Int<uint32_t>("windowTokens", 0, kTokensMax);
  scheduler.policy = ToPolicyKind(object, "policy");
  scheduler.context_tokens_max = object.Int<uint32_t>("contextTokens", 2, kTokensMax);
  scheduler.step_tokens_max =
      object.Int<uint32_t>("stepTokens", scheduler.kv.block_tokens, kTokensMax);
  scheduler.saturation_tokens = object.Int<uint32_t>("saturationTokens", 0, kTokensMax);
  options.profile = ToCostProfile(object.Object("profile"));
  options.until = ReadNanos(object, "untilMs");
  options.durations_known = object.Bool("durationsKnown");
  scheduler.learn_durations = object.Bool("durationsLearned");
  const ObjectReader ideas = object.Object("ideas");
  scheduler.ideas = {.copy_ahead = ideas.Bool("copyAhead"),
                     .spare_copies = ideas.Bool("spareCopies"),
                     .full_duplex = ideas.Bool("fullDuplex"),
                     .host_turnover = ideas.Bool("hostTurnover"),
                     .price_return = ideas.Bool("priceReturn"),
                     .partial_return = ideas.Bool("partialReturn"),
                     .large_yield = ideas.Bool("largeYield")};
  scheduler.slo = ToSloWeights(object.Object("slo"));
  for (int32_t wish : object.Int32s("wishes")) options.wishes.push_back(ToWish(wish));
  options.check_integrity = object.Bool("checkIntegrity");
  return options;
}

// One row per session, as columns: milliseconds from its arrival, -1 for what did not happen.
Napi::Object ToReport(Napi::Env env, const SimReport& report) {
  const size_t count = report.sessions.size();
  Napi::Float64Array arrival = Napi::Float64Array::New(env, count);
  Napi::Float64Array first_token = Napi::Float64Array::New(env, count);
  Napi::Float64Array finished = Napi::Float64Array::New(env, count);
  Napi::Float64Array intercepted = Napi::Float64Array::New(env, count);
  Napi::Uint32Array output_tokens = Napi::Uint32Array::New(env, count);
  Napi::Uint32Array returned_tokens = Napi::Uint32Array::New(env, count);
  const auto milliseconds = [](Nanos time) {
    return time < 0 ? -1.0 : static_cast<double>(time) / kNanosPerMilli;
  };
  for (size_t i = 0; i < count; ++i) {
    const SimSessionReport& session = report.sessions[i];
    arrival[i] = milliseconds(session.arrival);
    first_token[i] = milliseconds(session.first_token);
    finished[i] = milliseconds(session.finished);
    intercepted[i] = milliseconds(session.intercepted);
    output_tokens[i] = session.output_tokens;
    returned_tokens[i] = session.returned_tokens;
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("arrivalMs", arrival);
  object.Set("firstTokenMs", first_token);
  object.Set("finishedMs", finished);
  object.Set("interceptedMs", intercepted);
  object.Set("outputTokens", output_tokens);
  object.Set("returnedTokens", returned_tokens);
  object.Set("stats", ToStats(env, report.stats));
  object.Set("virtualMs", milliseconds(report.virtual_time));
  object.Set("steps", static_cast<double>(report.steps));
  return object;
}

class SimulationWorker final : public Napi::AsyncWorker {
 public:
  SimulationWorker(Napi::Env env, std::vector<SimSession> sessions, SimOptions options)
      : AsyncWorker(env, "infercept.simulate"),
        deferred_(Napi::Promise::Deferred::New(env)),
        sessions_(std::move(sessions)),
        options_(std::move(options)) {
    options_.cancelled = [flag = cancelled_] { return flag->load(std::memory_order_relaxed); };
  }

  Napi::Promise Promise() const { return deferred_.Promise(); }
  std::shared_ptr<std::atomic<bool>> cancelled() const { return cancelled_; }

  void Execute() override {
    try {
      result_ = Simulate(sessions_, options_);
    } catch (const std::exception& error) {
      result_ = Status(StatusCode::kInternal, error.what());
    }
  }

  void OnOK() override {
    if (result_.ok()) {
      deferred_.Resolve(ToReport(Env(), result_.value()));
    } else {
      deferred_.Reject(ToError(Env(), result_.status()).Value());
    }
  }

 private:
  Napi::Promise::Deferred deferred_;
  std::vector<SimSession> sessions_;
  SimOptions options_;
  std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
  Result<SimReport> result_ = SimReport{};
};

}  // namespace

Napi::Value StartSimulation(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const ObjectReader workload(info[0], "workload");
  std::vector<SimSession> sessions;
  if (workload.Has("mix")) {
    sessions = MakeMix(ReadMix(workload.Object("mix")));
  } else {
    for (const ObjectReader& session : workload.Objects("sessions"))
      sessions.push_back(ReadSession(session));
    CheckParents(env, sessions);
  }
  // Owned by the runtime once queued.
  auto* worker =
      new SimulationWorker(env, std::move(sessions), ReadOptions(ObjectReader(info[1], "options")));
  Napi::Object simulation = Napi::Object::New(env);
  simulation.Set("promise", worker->Promise());
  simulation.Set("cancel",
                 Napi::Function::New(env, [flag = worker->cancelled()](const Napi::CallbackInfo&) {
                   flag->store(true, std::memory_order_relaxed);
                 }));
  worker->Queue();
  return simulation;
}

}  // namespace infercept
