#include "prediction.h"

#include <cmath>
#include <stdexcept>

#include "sim/simulation.h"

namespace infercept::bench {
namespace {

// As bench/policies has it: 12 ms where a token takes 5.3.
constexpr double kBoundOverUnloaded = 2.25;
// So rare that no two sessions meet, and so many of them.
constexpr double kUnloadedRate = 0.01;
constexpr double kUnloadedSessions = 60;
// Where the search begins, and where it gives up.
constexpr double kFirstRate = 1;
constexpr double kLeastRate = 1e-3;
constexpr double kMostRate = 1e5;
constexpr int kHalvings = 6;  // to about a hundredth

SchedulerConfig ConfigOf(const MachineProfile& machine, const Scenario& scenario,
                         PolicyKind policy) {
  SchedulerConfig config;
  config.kv.device_blocks = machine.device_tokens / kBlockTokens;
  config.kv.host_blocks = machine.host_tokens / kBlockTokens;
  config.kv.block_tokens = kBlockTokens;
  config.kv.block_bytes = machine.bytes_per_token * kBlockTokens;
  config.kv.prefix_cache = false;
  config.policy = policy;
  config.step_tokens_max = scenario.step_tokens;
  config.saturation_tokens = machine.saturation_tokens;
  config.slices_max = scenario.step_tokens;
  return config;
}

Outcome Run(const MachineProfile& machine, const Scenario& scenario, PolicyKind policy, double rate,
            double until) {
  const std::vector<SimSession> sessions = Arrivals(scenario, rate);
  const SimOptions options = {.scheduler = ConfigOf(machine, scenario, policy),
                              .profile = machine.costs,
                              .until = static_cast<Nanos>(until * kNanosPerSecond),
                              .wishes = {},
                              .on_plan = {},
                              .cancelled = {}};
  const Result<SimReport> report = Simulate(sessions, options);
  if (!report.ok()) throw std::runtime_error(report.status().DebugString());
  return Summarize(report.value(), kBlockTokens);
}

}  // namespace

Outcome Predict(const MachineProfile& machine, const Scenario& scenario, PolicyKind policy,
                double rate) {
  return Run(machine, scenario, policy, rate, scenario.mix.seconds);
}

double LatencyBoundMs(const MachineProfile& machine, const Scenario& scenario) {
  Scenario rare = scenario;
  rare.mix.seconds = kUnloadedSessions / kUnloadedRate;
  const Outcome unloaded = Run(machine, rare, PolicyKind::kPreserve, kUnloadedRate, 0);
  return kBoundOverUnloaded * unloaded.latency_ms.p50;
}

double SustainedRate(const MachineProfile& machine, const Scenario& scenario, PolicyKind policy,
                     double bound_ms) {
  const auto holds = [&](double rate) {
    return Predict(machine, scenario, policy, rate).latency_ms.p50 <= bound_ms;
  };
  double low = kFirstRate;
  while (!holds(low)) {
    low /= 2;
    if (low < kLeastRate) return 0;
  }
  double high = 2 * low;
  while (high < kMostRate && holds(high)) high *= 2;
  low = high / 2;
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = (low + high) / 2;
    (holds(middle) ? low : high) = middle;
  }
  return low;
}

double SustainedOf(std::span<const RatePoint> points, double bound_ms) {
  double sustained = 0;
  double latency = 0;
  for (const RatePoint& point : points) {
    if (point.latency_ms > bound_ms) {
      if (sustained == 0) return 0;
      // Latency grows by factors, not by sums.
      const double share = std::log(bound_ms / latency) / std::log(point.latency_ms / latency);
      return sustained + share * (point.rate - sustained);
    }
    sustained = point.rate;
    latency = point.latency_ms;
  }
  return sustained;
}

}  // namespace infercept::bench
