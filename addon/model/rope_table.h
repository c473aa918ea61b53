// Cosines and sines of the rotary embedding for every position (Su et al., "RoFormer", 2021, eq.
// 15), made once.
#pragma once

#include <span>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "device/cpu_device.h"
#include "kernels/ops.h"
#include "model/model_spec.h"

namespace infercept {

// Radians per position of each pair, for contexts of up to context_tokens. `factors`: of the tensor
// ropeFactors, [dimension / 2] for RopeScaling::Kind::kFactors, else empty.
std::vector<double> RopeFrequencies(const RopeSpec& rope, uint32_t context_tokens,
                                    std::span<const float> factors);

class RopeTable {
 public:
  RopeTable() = default;
  // In memory of the device. kOutOfMemory, kDevice. REQUIRES: all factors of the scaling have
  // dimension / 2 elements.
  static Result<RopeTable> Create(const RopeSpec& rope, uint32_t context_tokens,
                                  std::span<const float> factors, ThreadPool& pool,
                                  Device& device = CpuDevice(), Stream& stream = CpuStream());

  RopeView view() const;

 private:
  RopeTable(Arena values, const RopeSpec& rope, uint32_t context_tokens);

  Arena values_;  // [2: cosine, sine][context_tokens][dimension / 2] floats
  uint32_t context_tokens_ = 0;
  uint32_t dimension_ = 0;
  bool interleaved_ = false;
};

}  // namespace infercept
