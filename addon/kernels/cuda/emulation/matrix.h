// Matrix instructions, lane by lane as device/mma.cuh lays them out.
#pragma once

#include "kernels/cuda/emulation/emulator.h"

namespace infercept::emulation {

// 16x8x16.
void MultiplyAdd(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const Site& site);
void MultiplyAddF16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                    const Site& site);

// REQUIRES: each lane's row is 16 bytes.
void LoadMatricesTransposed(uint32_t (&m)[4], const void* row, const Site& site);

}  // namespace infercept::emulation
