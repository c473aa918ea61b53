// What it costs to learn and to ask how long interceptions last.
#include <cstdio>
#include <vector>

#include "base/rng.h"
#include "harness.h"
#include "sched/duration_predictor.h"

namespace infercept::bench {
namespace {

// Calls of one sample: far more than a clock's reading takes.
constexpr uint32_t kCalls = 100'000;
// Kinds of tools and, for each, shapes: more than the first-level cache holds.
constexpr uint32_t kKinds = 40;
constexpr uint32_t kShapes = 20;

struct Call {
  KindPath path;
  Nanos duration = 0;
};

std::vector<Call> RandomCalls() {
  Rng random(1);
  std::vector<Call> calls(kCalls);
  for (Call& call : calls) {
    const uint32_t kind = random.Below(kKinds);
    const uint32_t shape = 2 + kKinds + kind * kShapes + random.Below(kShapes);
    call.path = {KindId{1}, KindId{2 + kind}, KindId{shape}};
    call.duration = static_cast<Nanos>(random.Exponential(1 + kind) * kNanosPerSecond);
  }
  return calls;
}

}  // namespace

std::string RunEstimator(const Options& options) {
  const std::vector<Call> calls = RandomCalls();
  DurationPredictor predictor;
  const uint32_t samples = options.quick ? 5 : 30;
  const double observe = MedianSeconds(samples, [&] {
    for (const Call& call : calls) predictor.Observe(call.path, call.duration);
  });
  double sum = 0;
  const double residual = MedianSeconds(samples, [&] {
    for (const Call& call : calls) sum += predictor.Residual(call.path, call.duration / 2);
  });
  Keep(sum);
  const double observe_nanos = observe / kCalls * 1e9;
  const double residual_nanos = residual / kCalls * 1e9;
  std::printf("%u kinds of %u shapes: observe %.0f ns, residual %.0f ns\n", kKinds, kShapes,
              observe_nanos, residual_nanos);
  char json[128];
  std::snprintf(json, sizeof json, "{\"observeNanos\":%.1f,\"residualNanos\":%.1f}", observe_nanos,
                residual_nanos);
  return json;
}

}  // namespace infercept::bench
