// What the simulator says of a scenario on a measured machine.
#pragma once

#include <span>

#include "outcome.h"
#include "saved_profile.h"
#include "scenario.h"

namespace infercept::bench {

Outcome Predict(const MachineProfile& machine, const Scenario& scenario, PolicyKind policy,
                double rate);

// Median latency under which a load counts as sustained: the same for all policies.
double LatencyBoundMs(const MachineProfile& machine, const Scenario& scenario);
// The highest rate within the bound.
double SustainedRate(const MachineProfile& machine, const Scenario& scenario, PolicyKind policy,
                     double bound_ms);

struct RatePoint {
  double rate = 0;
  double latency_ms = 0;
};
// Where the latency of what was measured, by rising rate, crosses the bound; the last rate if it
// does not, and 0 if it is beyond it from the first one on.
double SustainedOf(std::span<const RatePoint> points, double bound_ms);

}  // namespace infercept::bench
