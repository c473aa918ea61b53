// A measured machine, and the JSON it is kept as, which `infercept simulate --profile` takes as
// well (lib/measured-profile.ts).
#pragma once

#include <string>

#include "engine/engine_info.h"
#include "sched/cost_model.h"

namespace infercept::bench {

// What benchmarks give an engine, as users get it by default: the costs of a profile are per block.
inline constexpr uint32_t kBlockTokens = 16;

struct MachineProfile {
  std::string name;  // says which model on which machine
  CostProfile costs;
  size_t bytes_per_token = 0;
  uint32_t device_tokens = 0;
  uint32_t host_tokens = 0;
  uint32_t saturation_tokens = 0;
};

MachineProfile ProfileOf(const std::string& name, const EngineInfo& info, const CostProfile& costs);

std::string ProfileJson(const MachineProfile& profile);
// Throws for a file that has not all of it.
MachineProfile ReadProfile(const std::string& path);

// Throws if the file cannot be written.
void SaveText(const std::string& path, const std::string& text);

}  // namespace infercept::bench
