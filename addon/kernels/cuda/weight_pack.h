// Brings weights from the file's layout into the device's (weight_layout.h), on the host.
#pragma once

#include <cstddef>
#include <span>

#include "kernels/tensor_view.h"

namespace infercept::cuda {

size_t PackedBytes(DType dtype, uint32_t rows, uint32_t columns);

// A matrix may be packed piece by piece: pieces of its rows, each but the last a multiple of 16
// long, pack one behind the other to what the whole matrix packs to. REQUIRES: target.size() >=
// PackedBytes.
void Pack(const WeightView& source, std::span<std::byte> target);

}  // namespace infercept::cuda
