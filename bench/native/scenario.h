// What `policies` runs: a model, memory that is scarce for it, and sessions with interceptions,
// scaled so that minutes show what hours would.
#pragma once

#include <vector>

#include "base/dtype.h"
#include "engine/runtime.h"
#include "harness.h"
#include "sim/workload.h"

namespace infercept::bench {

struct Scenario {
  std::string shape;
  DType weights = DType::kBF16;
  uint32_t device_tokens = 0;
  uint32_t host_tokens = 0;
  uint32_t step_tokens = 0;
  MixOptions mix;             // sessions arrive for mix.seconds, and all is measured then
  std::vector<double> loads;  // shares of what `adaptive` sustains in the simulation
};

// By device: a processor serves a tiny model, so that its steps take milliseconds as well.
Scenario ScenarioFor(const Options& options);

std::vector<SimSession> Arrivals(const Scenario& scenario, double rate);
RuntimeOptions EngineOptions(const Scenario& scenario, PolicyKind policy, const Options& options);

}  // namespace infercept::bench
