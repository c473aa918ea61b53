// What the machine can do at most, measured in the run that uses the figures.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "base/thread_pool.h"

namespace infercept::bench {

// Bytes per second of reading memory that is in no cache, all threads together.
double ReadBandwidth(std::span<const std::byte> memory, uint32_t samples, ThreadPool& pool);

// Operations (a multiply and an add are two) per second of one ISA with all operands in registers,
// all threads together.
struct ComputeLimits {
  double int8 = 0;     // DotSigned
  double float32 = 0;  // MultiplyAdd
  double bf16 = 0;     // dot products of BF16 pairs; float32 where the ISA has none
};
ComputeLimits MeasureCompute(std::string_view isa, uint32_t samples, ThreadPool& pool);

}  // namespace infercept::bench
