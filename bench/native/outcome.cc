#include "outcome.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace infercept::bench {
namespace {

double Milliseconds(Nanos duration) { return static_cast<double>(duration) * 1e-6; }

Distribution Distribute(std::vector<double> values) {
  if (values.empty()) return {};
  std::ranges::sort(values);
  const auto at = [&](double share) {
    const auto place = static_cast<size_t>(share * static_cast<double>(values.size()));
    return values[std::min(place, values.size() - 1)];
  };
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  return {sum / static_cast<double>(values.size()), at(0.5), at(0.99)};
}

WasteShares SharesOf(const WasteStats& waste) {
  const double capacity = std::max(waste.capacity, 1.0);
  const double copies = waste.recompute + waste.stall + waste.swap_wait;
  return {waste.preserved_idle / capacity, waste.recompute / capacity,
          waste.stall / capacity,          waste.swap_wait / capacity,
          waste.wasted() / capacity,       (waste.paper_preserved + copies) / capacity};
}

void Write(const char* name, const Distribution& distribution, JsonWriter& json) {
  json.Key(name)
      .BeginObject()
      .Field("mean", distribution.mean)
      .Field("p50", distribution.p50)
      .Field("p99", distribution.p99)
      .EndObject();
}

}  // namespace

Outcome Summarize(const SimReport& report, uint32_t block_tokens) {
  Outcome outcome;
  std::vector<double> latencies;
  std::vector<double> first_tokens;
  for (const SimSessionReport& session : report.sessions) {
    const bool ended = session.finished >= 0;
    if (session.arrival < 0 || (!ended && session.arrival >= report.virtual_time)) continue;
    ++outcome.sessions;
    outcome.completed += ended ? 1 : 0;
    const Nanos lived = ended ? session.finished : report.virtual_time - session.arrival;
    const uint32_t tokens = std::max(1u, session.output_tokens);
    latencies.push_back(Milliseconds(lived - session.intercepted) / tokens);
    first_tokens.push_back(Milliseconds(session.first_token >= 0 ? session.first_token : lived));
  }
  const SchedulerStats& stats = report.stats;
  outcome.completed_per_second = outcome.completed / (Milliseconds(report.virtual_time) / 1000);
  outcome.latency_ms = Distribute(std::move(latencies));
  outcome.first_token_ms = Distribute(std::move(first_tokens));
  outcome.waste = SharesOf(stats.waste);
  outcome.steps = stats.steps;
  outcome.computed_tokens = stats.query_tokens;
  outcome.recomputed_tokens = stats.recomputed_tokens;
  outcome.swapped_out_tokens = stats.swapped_out_blocks * block_tokens;
  outcome.swapped_in_tokens = stats.swapped_in_blocks * block_tokens;
  return outcome;
}

void Write(const Outcome& outcome, JsonWriter& json) {
  json.BeginObject()
      .Field("sessions", outcome.sessions)
      .Field("completed", outcome.completed)
      .Field("completedPerSecond", outcome.completed_per_second);
  Write("latencyMs", outcome.latency_ms, json);
  Write("firstTokenMs", outcome.first_token_ms, json);
  const WasteShares& waste = outcome.waste;
  json.Key("waste")
      .BeginObject()
      .Field("preservedIdle", waste.preserved_idle)
      .Field("recompute", waste.recompute)
      .Field("stall", waste.stall)
      .Field("swapWait", waste.swap_wait)
      .Field("total", waste.total)
      .Field("paper", waste.paper)
      .EndObject();
  json.Field("steps", outcome.steps)
      .Field("computedTokens", outcome.computed_tokens)
      .Field("recomputedTokens", outcome.recomputed_tokens)
      .Field("swappedOutTokens", outcome.swapped_out_tokens)
      .Field("swappedInTokens", outcome.swapped_in_tokens)
      .EndObject();
}

}  // namespace infercept::bench
