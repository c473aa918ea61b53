// A timeline of some steps for chrome://tracing and Perfetto.
#pragma once

#include <span>
#include <string>

#include "engine/engine_info.h"

namespace infercept::bench {

inline constexpr size_t kTracedSteps = 10;

// The neighbouring steps that copy most in the direction in which they copy less.
std::span<const StepRecord> MostSwaps(std::span<const StepRecord> steps);
// Blocks of that direction.
uint64_t BlocksBothWays(std::span<const StepRecord> steps);

// One lane for each stream and one for the host. Records say how long things took, not when they
// began: computation and copies begin with their step, the host's part ends it, and steps follow
// one another without a gap.
std::string TraceJson(std::span<const StepRecord> steps, const std::string& title);

}  // namespace infercept::bench
