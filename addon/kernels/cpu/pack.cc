#include "kernels/cpu/pack.h"

#include <algorithm>
#include <cstring>

#include "kernels/dequantize.h"

namespace infercept::cpu {
namespace {

// One tile of the target and the rows of the source that it takes.
struct TilePlan {
  const WeightView* source;
  uint32_t first_row;
  uint32_t slots;  // groups * lanes; slots past the last row stay zero
  int32_t weight_bias;
  std::byte* target;

  uint32_t rows() const { return std::min(slots, source->rows - first_row); }
};

// kBytes of each row at a time, one row beside the other.
template <size_t kBytes>
void InterleaveRow(const std::byte* row, uint32_t columns, size_t step, std::byte* target) {
  for (uint32_t c = 0; c < columns; ++c) {
    std::memcpy(target + c * step, row + c * kBytes, kBytes);
  }
}

template <size_t kBytes>
void PackFloats(const TilePlan& tile) {
  for (uint32_t r = 0; r < tile.rows(); ++r) {
    InterleaveRow<kBytes>(RowOf(*tile.source, tile.first_row + r), tile.source->columns,
                          tile.slots * kBytes, tile.target + r * kBytes);
  }
}

void PackQ8Block(const std::byte* block, int32_t weight_bias, uint32_t slots, uint32_t slot,
                 std::byte* target) {
  std::memcpy(target + slot * 2, block, 2);
  // Adding 128 to an int8 and reading it as uint8 is flipping its highest bit.
  const std::byte flip{static_cast<unsigned char>(weight_bias)};
  std::byte* bytes = target + slots * 2 + slot * 4;
  for (uint32_t i = 0; i < kQ8BlockValues; ++i) {
    bytes[i / 4 * slots * 4 + i % 4] = block[2 + i] ^ flip;
  }
}

void PackQ8(const TilePlan& tile) {
  const uint32_t blocks = tile.source->columns / kQ8BlockValues;
  for (uint32_t b = 0; b < blocks; ++b) {
    std::byte* target = tile.target + b * tile.slots * kQ8BlockBytes;
    for (uint32_t r = 0; r < tile.rows(); ++r) {
      PackQ8Block(RowOf(*tile.source, tile.first_row + r) + b * kQ8BlockBytes, tile.weight_bias,
                  tile.slots, r, target);
    }
  }
}

void PackTile(const TilePlan& tile) {
  switch (tile.source->dtype) {
    case DType::kF32:
      return PackFloats<4>(tile);
    case DType::kF16:
      return PackFloats<2>(tile);
    case DType::kBF16:
      return PackFloats<2>(tile);
    case DType::kQ8_0:
      return PackQ8(tile);
    default:
      return;  // CpuOps::Pack has refused it.
  }
}

}  // namespace

size_t GroupBytes(DType dtype, uint32_t columns, uint32_t lanes) {
  return lanes * RowBytes(dtype, columns);
}

void PackWeight(const WeightView& source, uint32_t lanes, int32_t weight_bias,
                std::span<std::byte> target, ThreadPool& pool) {
  const uint32_t groups = DivCeil(source.rows, lanes);
  const size_t group_bytes = GroupBytes(source.dtype, source.columns, lanes);
  pool.ParallelFor(DivCeil(groups, kTileGroups), 1, [&](uint32_t begin, uint32_t end, uint32_t) {
    for (uint32_t i = begin; i < end; ++i) {
      const uint32_t group = i * kTileGroups;
      const uint32_t tile_groups = std::min(kTileGroups, groups - group);
      std::byte* tile = target.data() + group * group_bytes;
      if ((group + tile_groups) * lanes > source.rows) {
        std::memset(tile, 0, tile_groups * group_bytes);
      }
      PackTile({&source, group * lanes, tile_groups * lanes, weight_bias, tile});
    }
  });
}

}  // namespace infercept::cpu
