#include "step_trace.h"

#include <algorithm>

#include "engine/json_writer.h"

namespace infercept::bench {
namespace {

enum Lane : uint32_t { kHost, kCompute, kSwapOut, kSwapIn };
constexpr const char* kLaneNames[] = {"host", "compute", "swap out", "swap in"};

double Microseconds(Nanos time) { return static_cast<double>(time) * 1e-3; }

class Trace {
 public:
  explicit Trace(const std::string& title) {
    json_.BeginObject().Key("otherData").BeginObject().Field("title", std::string_view(title));
    json_.EndObject().Key("traceEvents").BeginArray();
    for (const Lane lane : {kHost, kCompute, kSwapOut, kSwapIn}) {
      Begin("thread_name", "M", lane).Key("args").BeginObject();
      json_.Field("name", kLaneNames[lane]).EndObject().EndObject();
    }
  }

  void Add(const StepRecord& step) {
    const Nanos device = std::max({step.compute, step.swap_out, step.swap_in});
    if (step.tokens > 0) Compute(step);
    Copies(kSwapOut, step.swap_out_blocks, step.swap_out);
    Copies(kSwapIn, step.swap_in_blocks, step.swap_in);
    Span(kHost, "enqueue, sample", device, std::max<Nanos>(0, step.total - device));
    Close();
    now_ += step.total;
  }

  std::string Take() {
    json_.EndArray().EndObject();
    return json_.Take();
  }

 private:
  JsonWriter& Begin(const std::string& name, const char* phase, Lane lane) {
    return json_.BeginObject()
        .Field("name", std::string_view(name))
        .Field("ph", phase)
        .Field("pid", 1)
        .Field("tid", static_cast<uint32_t>(lane));
  }

  // Left open for what belongs to it.
  JsonWriter& Span(Lane lane, const std::string& name, Nanos after, Nanos duration) {
    return Begin(name, "X", lane)
        .Field("ts", Microseconds(now_ + after))
        .Field("dur", Microseconds(duration))
        .Key("args")
        .BeginObject();
  }
  void Close() { json_.EndObject().EndObject(); }

  void Compute(const StepRecord& step) {
    Span(kCompute, "step " + std::to_string(step.step), 0, step.compute)
        .Field("slices", step.slices)
        .Field("tokens", step.tokens)
        .Field("decodes", step.decodes);
    Close();
  }

  void Copies(Lane lane, uint32_t blocks, Nanos duration) {
    if (blocks == 0) return;
    Span(lane, std::to_string(blocks) + " blocks", 0, duration).Field("blocks", blocks);
    Close();
  }

  JsonWriter json_;
  Nanos now_ = 0;
};

}  // namespace

uint64_t BlocksBothWays(std::span<const StepRecord> steps) {
  uint64_t out = 0;
  uint64_t in = 0;
  for (const StepRecord& step : steps) {
    out += step.swap_out_blocks;
    in += step.swap_in_blocks;
  }
  return std::min(out, in);
}

std::span<const StepRecord> MostSwaps(std::span<const StepRecord> steps) {
  if (steps.size() <= kTracedSteps) return steps;
  std::span<const StepRecord> best = steps.first(kTracedSteps);
  for (size_t i = 1; i + kTracedSteps <= steps.size(); ++i) {
    const auto window = steps.subspan(i, kTracedSteps);
    if (BlocksBothWays(window) > BlocksBothWays(best)) best = window;
  }
  return best;
}

std::string TraceJson(std::span<const StepRecord> steps, const std::string& title) {
  Trace trace(title);
  for (const StepRecord& step : steps) trace.Add(step);
  return trace.Take();
}

}  // namespace infercept::bench
