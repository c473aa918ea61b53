// Rearranges weight matrices into the layout of packed_layout.h.
#pragma once

#include <span>

#include "base/thread_pool.h"
#include "kernels/cpu/packed_layout.h"
#include "kernels/tensor_view.h"

namespace infercept::cpu {

size_t PackedWeightBytes(DType dtype, uint32_t rows, uint32_t columns, uint32_t lanes);

// signed_bias is added to Q8_0's values: 128 where the dot product takes unsigned weights, else 0.
// REQUIRES: target holds PackedWeightBytes.
void PackWeight(const WeightView& source, uint32_t lanes, int32_t signed_bias,
                std::span<std::byte> target, ThreadPool& pool);

}  // namespace infercept::cpu
