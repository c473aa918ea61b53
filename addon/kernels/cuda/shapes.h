// What launchers ask about their arguments.
#pragma once

#include <cstdint>

#include "base/check.h"
#include "base/types.h"

namespace infercept::cuda {

// Blocks of one launch along x, and along y: limits of every device.
inline constexpr uint32_t kGridColumnsMax = 0x7FFFFFFF;
inline constexpr uint32_t kGridRowsMax = 65535;

// Null counts as aligned.
template <typename... T>
bool AllAligned(const T*... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

}  // namespace infercept::cuda
