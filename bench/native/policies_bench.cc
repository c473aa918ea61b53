// Sessions with interceptions on the real engine, in real time, where memory is scarce: every
// policy at several loads, and beside each run what the simulator predicted of it from the
// machine's calibrated costs.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>

#include "harness.h"
#include "prediction.h"
#include "served_engine.h"
#include "shapes.h"
#include "step_trace.h"

namespace infercept::bench {
namespace {

// From the one that gives up least to the one that gives up most, as bench/policies has them.
constexpr std::array kPolicies = {PolicyKind::kAdaptive, PolicyKind::kInfercept,
                                  PolicyKind::kPreserve, PolicyKind::kSwap,
                                  PolicyKind::kDiscard,  PolicyKind::kDiscardRequeue};

// One policy at one rate. Without an engine there is no `real`.
struct Load {
  double rate = 0;
  std::optional<Outcome> real;
  // What steps took in sum, over what the engine's own cost model had said of each.
  double slowness = 1;
  Outcome simulated;
};

struct PolicyRun {
  PolicyKind policy{};
  std::vector<Load> loads;
};

// The ten steps of all runs that copy most in both directions.
struct BestTrace {
  std::vector<StepRecord> steps;
  std::string title;

  void Offer(std::span<const StepRecord> run, const std::string& name) {
    const auto best = MostSwaps(run);
    if (!steps.empty() && BlocksBothWays(best) <= BlocksBothWays(steps)) return;
    steps.assign(best.begin(), best.end());
    title = name;
  }
};

class PoliciesBench {
 public:
  explicit PoliciesBench(const Options& options)
      : options_(options), scenario_(ScenarioFor(options)) {
    if (!options.profile.empty()) Know(ReadProfile(options.profile));
  }

  std::string Run() {
    for (const PolicyKind policy : kPolicies) runs_.push_back(RunPolicy(policy));
    if (!options_.trace.empty()) {
      SaveText(options_.trace, TraceJson(trace_.steps, trace_.title));
    }
    return Json();
  }

 private:
  bool real() const { return options_.profile.empty(); }

  PolicyRun RunPolicy(PolicyKind policy) {
    std::unique_ptr<ServedEngine> engine;
    if (real()) engine = Open(policy);
    PolicyRun run = {policy, {}};
    for (const double rate : rates_) {
      run.loads.push_back(Measure(engine.get(), policy, rate));
      Print(policy, run.loads.back());
    }
    return run;
  }

  std::unique_ptr<ServedEngine> Open(PolicyKind policy) {
    auto engine = std::make_unique<ServedEngine>(ShapeNamed(scenario_.shape),
                                                 EngineOptions(scenario_, policy, options_));
    // All policies are predicted from the same machine, as the first engine found it.
    if (!machine_) {
      const EngineInfo& info = engine->info();
      const std::string type(DTypeName(scenario_.weights));
      Know(ProfileOf(scenario_.shape + " " + type + " on " + info.device + ", " + info.isa, info,
                     engine->profile()));
      if (!options_.save_profile.empty()) SaveText(options_.save_profile, ProfileJson(*machine_));
    }
    return engine;
  }

  void Know(MachineProfile machine) {
    machine_ = std::move(machine);
    bound_ms_ = LatencyBoundMs(*machine_, scenario_);
    const double most = SustainedRate(*machine_, scenario_, PolicyKind::kAdaptive, bound_ms_);
    for (const double share : scenario_.loads) rates_.push_back(share * most);
    std::printf("%s\n%s; sustained is what stays under %.1f ms per token\n", machine_->name.c_str(),
                MachineHeader(options_.threads).c_str(), bound_ms_);
    std::printf("%-16s %8s %16s %18s %18s %14s\n", "policy", "rate", "completed", "ms/token p50",
                "TTFT p99, ms", "waste, %");
  }

  Load Measure(ServedEngine* engine, PolicyKind policy, double rate) {
    Load load = {.rate = rate,
                 .real = std::nullopt,
                 .simulated = Predict(*machine_, scenario_, policy, rate)};
    if (engine == nullptr) return load;
    const auto until = static_cast<Nanos>(scenario_.mix.seconds * kNanosPerSecond);
    const std::vector<SimSession> sessions = Arrivals(scenario_, rate);
    const ServedRun served = engine->Serve(sessions, until);
    load.real = Summarize(served.report, kBlockTokens);
    const SchedulerStats& stats = served.report.stats;
    load.slowness = stats.measured_seconds / std::max(stats.predicted_seconds, 1e-9);
    char name[80];
    std::snprintf(name, sizeof(name), "%s, %.2f sessions per second",
                  std::string(PolicyName(policy)).c_str(), rate);
    trace_.Offer(served.steps, name);
    return load;
  }

  // Real ones, and in brackets those that were predicted.
  static void Print(PolicyKind policy, const Load& load) {
    const Outcome& said = load.simulated;
    const Outcome& did = load.real ? *load.real : said;
    std::printf("%-16s %8.2f %8u (%5u) %9.1f (%6.1f) %9.0f (%6.0f) %6.1f (%5.1f)\n",
                std::string(PolicyName(policy)).c_str(), load.rate, did.completed, said.completed,
                did.latency_ms.p50, said.latency_ms.p50, did.first_token_ms.p99,
                said.first_token_ms.p99, 100 * did.waste.total, 100 * said.waste.total);
    std::fflush(stdout);
  }

  double Sustained(const PolicyRun& run, bool measured) const {
    std::vector<RatePoint> points;
    for (const Load& load : run.loads) {
      const Outcome& outcome = measured ? *load.real : load.simulated;
      points.push_back({load.rate, outcome.latency_ms.p50});
    }
    return SustainedOf(points, bound_ms_);
  }

  // The largest deviation of completed sessions, simulated over real, from 1.
  double Worst() const {
    double worst = 0;
    for (const PolicyRun& run : runs_) {
      for (const Load& load : run.loads) {
        const double completed = std::max(1u, load.real->completed);
        worst = std::max(worst, std::abs(load.simulated.completed / completed - 1));
      }
    }
    return worst;
  }

  std::string Json() const {
    JsonWriter json;
    json.BeginObject()
        .Field("machine", std::string_view(machine_->name))
        .Field("secondsPerRun", scenario_.mix.seconds)
        .Field("deviceTokens", machine_->device_tokens)
        .Field("hostTokens", machine_->host_tokens)
        .Field("boundMs", bound_ms_);
    if (real()) json.Field("worst", Worst());
    json.Key("policies").BeginObject();
    for (const PolicyRun& run : runs_) Write(run, json);
    json.EndObject().EndObject();
    return json.Take();
  }

  void Write(const PolicyRun& run, JsonWriter& json) const {
    json.Key(PolicyName(run.policy)).BeginObject().Key("sustained").BeginObject();
    if (real()) json.Field("real", Sustained(run, true));
    json.Field("simulated", Sustained(run, false)).EndObject().Key("loads").BeginArray();
    for (const Load& load : run.loads) {
      json.BeginObject().Field("rate", load.rate);
      if (load.real) {
        json.Field("slowness", load.slowness).Key("real");
        bench::Write(*load.real, json);
      }
      json.Key("simulated");
      bench::Write(load.simulated, json);
      json.EndObject();
    }
    json.EndArray().EndObject();
  }

  const Options& options_;
  const Scenario scenario_;
  std::optional<MachineProfile> machine_;
  double bound_ms_ = 0;
  std::vector<double> rates_;
  std::vector<PolicyRun> runs_;
  BestTrace trace_;
};

}  // namespace

std::string RunPolicies(const Options& options) { return PoliciesBench(options).Run(); }

}  // namespace infercept::bench
