// Activations of one Forward, allocated once for the largest step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/status.h"
#include "device/cpu_device.h"
#include "kernels/ops.h"
#include "model/model_spec.h"

namespace infercept {

// The largest step.
struct WorkspaceLimits {
  uint32_t rows = 0;
  uint32_t context_tokens = 0;
  uint32_t threads = 0;
};

class Workspace {
 public:
  Workspace() = default;
  // In memory of the device, which outlives it. kOutOfMemory.
  static Result<Workspace> Create(const ModelSpec& spec, const Ops& ops,
                                  const WorkspaceLimits& limits, Device& device = CpuDevice());

  uint32_t rows_max() const { return rows_max_; }
  uint32_t logit_rows_max() const { return logit_rows_max_; }

  // All row-major, in floats.
  float* residual = nullptr;  // [rows_max][width]
  float* normed = nullptr;    // [rows_max][width]
  // [rows_max][(heads + 2 kv_heads) head_dim]: query, key and value of each token
  float* qkv = nullptr;
  float* attention = nullptr;   // [rows_max][heads * head_dim]
  float* gate = nullptr;        // [rows_max][ffn_width]; with experts [places][ffn_width]
  float* up = nullptr;          // likewise
  float* projection = nullptr;  // [rows_max][width]
  // Only with experts.
  float* expert_scores = nullptr;   // [rows_max][experts]
  float* expert_weights = nullptr;  // [rows_max][used]
  float* expert_outputs = nullptr;  // [places][width]
  ExpertPlaces expert_places;
  float* logit_inputs = nullptr;  // [rows_max][width], final norm applied
  float* logits = nullptr;        // [logit_rows_max][vocabulary_size]
  // Only where the device is not the host: for sampling there.
  float* adjusted_logits = nullptr;  // [logit_rows_max][vocabulary_size]
  float* host_logits = nullptr;      // the same in memory of the host; on the CPU the very same
  std::span<std::byte> scratch;      // for MatMul and Attention

 private:
  Arena arena_;
  Arena host_;
  uint32_t rows_max_ = 0;
  uint32_t logit_rows_max_ = 0;
};

}  // namespace infercept
