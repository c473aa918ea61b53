// What one matrix-product kernel gets: one tile of a packed matrix times one panel of tokens.
#pragma once

#include "kernels/cpu/packed_layout.h"

namespace infercept::cpu {

// The inputs of `tokens` tokens. Cells of one place stand side by side, so that a kernel finds all
// tokens at constant distances from one pointer.
struct Panel {
  std::byte* values = nullptr;  // [columns / CellColumns][tokens][CellBytes]
  std::byte* side = nullptr;    // [columns / SideColumns][tokens] Q8Side or Q8KSide
  uint32_t tokens = 0;
};

// out[t][r] (+)= the tile's rows times the panel's tokens, over `units` units of the columns.
struct MatMulTile {
  const std::byte* weight = nullptr;  // the first of the units
  uint32_t units = 0;
  Panel panel;        // from the columns of the first unit on
  uint32_t rows = 0;  // <= kTileGroups * lanes; more in the layout are zeros
  float* out = nullptr;
  size_t out_stride = 0;
  bool add = false;  // to what `out` holds of the columns before
  // Beside each byte of weights, the one that lies so much further on is asked for. The processor's
  // own prefetching stops at each page and while a tile is used again.
  size_t ahead = 0;
};

using MatMulKernel = void (*)(const MatMulTile& tile);

// One token's inputs in the layout of InputKind, to place `token` of the panel.
using PrepareKernel = void (*)(const float* x, uint32_t columns, uint32_t token,
                               const Panel& panel);

}  // namespace infercept::cpu
