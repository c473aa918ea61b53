// Facts that the engine reports about itself. Plain values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/types.h"

namespace infercept {

struct EngineInfo {
  std::string device;  // "cpu", "cuda:0"
  std::string isa;     // of the kernels
  uint32_t threads = 0;
  uint32_t context_tokens = 0;  // the longest context of one sequence
  uint32_t block_tokens = 0;
  uint32_t block_groups = 1;  // LayerGroups::count
  uint32_t device_blocks = 0;
  uint32_t host_blocks = 0;
  size_t bytes_per_token = 0;  // of KV cache
  size_t weight_bytes = 0;
  uint32_t saturation_tokens = 0;  // S, as calibrated
};

enum class LoadPhase : uint8_t {
  kWeights,    // mapping and repacking
  kCalibrate,  // measuring what steps and copies cost
};

struct ProgressNotice {
  LoadPhase phase = LoadPhase::kWeights;
  size_t loaded_bytes = 0;
  size_t total_bytes = 0;
};

// One executed step.
struct StepRecord {
  uint64_t step = 0;
  uint32_t slices = 0;
  uint32_t tokens = 0;
  uint32_t decodes = 0;  // slices of one token that sample
  uint32_t swap_out_blocks = 0;
  uint32_t swap_in_blocks = 0;
  Nanos compute = 0;
  Nanos swap_out = 0;  // of the copies, each direction on its own
  Nanos swap_in = 0;
  Nanos total = 0;
};

}  // namespace infercept
