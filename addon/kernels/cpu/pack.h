// Rearranges weight matrices into the layout of kernels.h.
#pragma once

#include <span>

#include "base/thread_pool.h"
#include "kernels/cpu/kernels.h"

namespace infercept::cpu {

// Bytes of one group of `lanes` rows.
size_t GroupBytes(DType dtype, uint32_t columns, uint32_t lanes);

// REQUIRES: target holds DivCeil(rows, lanes) groups.
void PackWeight(const WeightView& source, uint32_t lanes, int32_t weight_bias,
                std::span<std::byte> target, ThreadPool& pool);

}  // namespace infercept::cpu
