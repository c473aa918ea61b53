// Rows of a packed table as floats, the same bits as kernels/dequantize.h gives.
//
// Roofline, per value of b bits: b / 8 bytes read, 4 written, about 20 operations: bound by
// writing; a step embeds a few thousand values per token, which no kernel around it notices.
#include "kernels/cuda/device/numbers.cuh"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/shapes.h"
#include "kernels/cuda/weight_layout.h"

namespace infercept::cuda {
namespace {

constexpr uint32_t kThreads = 256;

struct Table {
  DType dtype;
  bool quantized;
  QuantizedLayout layout;
  const std::byte* data;
  uint32_t rows;
  uint32_t columns;
  size_t tile_bytes;
};

// One place of one tile in one chunk.
struct Place {
  const std::byte* chunk;
  uint32_t row;     // of the tile
  uint32_t column;  // of the chunk
};

__device__ __forceinline__ uint32_t ByteOf(const std::byte* from, uint32_t i) {
  return static_cast<uint32_t>(from[i]);
}

__device__ __forceinline__ float HalfOf(const std::byte* from, uint32_t i) {
  return AsFloat(reinterpret_cast<const F16*>(from)[i]);
}

__device__ __forceinline__ uint32_t WordOf(const std::byte* plane, uint32_t word, uint32_t lane) {
  return *reinterpret_cast<const uint32_t*>(plane + (word / 4 * kWarp + lane) * 16 + word % 4 * 4);
}

// weight_layout.h, backwards.
__device__ __forceinline__ int32_t CodeOf(const QuantizedLayout& layout, const Place& place) {
  const uint32_t unit = place.column / kUnitColumns;
  const uint32_t c = place.column % kUnitColumns;
  const bool by16 = ScaleColumns(layout.scales) == 16;
  const uint32_t step = by16 ? c / 16 : c % 8 / 4;
  const uint32_t lane = place.row % 8 * 4 + (by16 ? c % 16 / 4 : c / 8);
  const uint32_t half = place.row / 8;
  const uint32_t j = c % 4;
  uint32_t code;
  if (layout.low_bits == 8) {
    code = WordOf(place.chunk, 4 * unit + 2 * step + half, lane) >> (8 * j) & 0xFFu;
  } else {
    const uint32_t nibble = j / 2 * 2 + half + j % 2 * 4;
    code = WordOf(place.chunk, 2 * unit + step, lane) >> (4 * nibble) & 0xFu;
    const std::byte* high = place.chunk + layout.low_words() * kWarp * 4;
    const uint32_t field = 4 * step + nibble % 4;
    if (layout.high_bits == 2) {
      code |= (WordOf(high, unit, lane) >> (2 * field + nibble / 4 * 16) & 3u) << 4;
    } else if (layout.high_bits == 1) {
      code |= (WordOf(high, unit / 2, lane) >> (unit % 2 * 8 + field + nibble / 4 * 16) & 1u) << 4;
    }
  }
  return static_cast<int32_t>(code) - static_cast<int32_t>(layout.zero);
}

// Each product and difference rounds once, from left to right.
__device__ __forceinline__ float ValueOf(const QuantizedLayout& layout, const Place& place) {
  const auto code = static_cast<float>(CodeOf(layout, place));
  const std::byte* scales = place.chunk + (layout.low_words() + layout.high_words()) * kWarp * 4;
  const uint32_t row = place.row;
  const uint32_t unit = place.column / 32;
  const uint32_t run = place.column / ScaleColumns(layout.scales);
  const auto by = [&](uint32_t scale_begin, uint32_t factors) {
    const auto factor = static_cast<int8_t>(ByteOf(scales, row * factors + run));
    return __fmul_rn(HalfOf(scales + scale_begin, row), static_cast<float>(factor));
  };
  const auto by_minimum = [&](uint32_t runs) {
    const std::byte* bytes = scales + row * 2 * runs;
    const std::byte* halves = scales + kTileRows * 2 * runs + row * 4;
    const float scale = __fmul_rn(HalfOf(halves, 0), static_cast<float>(ByteOf(bytes, run)));
    const float minimum =
        __fmul_rn(HalfOf(halves, 1), static_cast<float>(ByteOf(bytes, runs + run)));
    return __fsub_rn(__fmul_rn(scale, code), minimum);
  };
  switch (layout.scales) {
    case Scales::kHalf:
      return __fmul_rn(HalfOf(scales, row * 8 + unit), code);
    case Scales::kBrain:
      return __fmul_rn(AsFloat(reinterpret_cast<const BF16*>(scales)[row * 8 + unit]), code);
    case Scales::kHalfMinimum:
      return __fsub_rn(__fmul_rn(HalfOf(scales, row * 8 + unit), code),
                       HalfOf(scales + 256, row * 8 + unit));
    case Scales::kByte32:
      return __fmul_rn(by(128, 8), code);
    case Scales::kByte16:
      return __fmul_rn(by(256, 16), code);
    case Scales::kByte32Minimum:
      return by_minimum(8);
    case Scales::kByte16Minimum:
      return by_minimum(16);
  }
  return 0;
}

__device__ __forceinline__ float FloatOf(const Table& table, size_t row, uint32_t column) {
  const size_t i = row * PaddedColumns(table.columns) + column;
  if (table.dtype == DType::kF32) return reinterpret_cast<const float*>(table.data)[i];
  if (table.dtype == DType::kF16) return AsFloat(reinterpret_cast<const F16*>(table.data)[i]);
  return AsFloat(reinterpret_cast<const BF16*>(table.data)[i]);
}

__global__ void __launch_bounds__(kThreads)
    EmbedKernel(Table table, const TokenId* tokens, float* out) {
  const uint32_t column = blockIdx.x * kThreads + threadIdx.x;
  if (column >= table.columns) return;
  const auto row = static_cast<uint32_t>(tokens[blockIdx.y]);
  float value = __uint_as_float(0x7FC00000u);  // NaN: no such row
  if (row < table.rows && table.quantized) {
    const std::byte* chunk = table.data + row / kTileRows * table.tile_bytes +
                             column / kChunkColumns * size_t{table.layout.chunk_bytes()};
    value = ValueOf(table.layout, {chunk, row % kTileRows, column % kChunkColumns});
  } else if (row < table.rows) {
    value = FloatOf(table, row, column);
  }
  out[size_t{blockIdx.y} * table.columns + column] = value;
}

}  // namespace

void Embed(const PackedWeight& table, const TokenId* tokens, uint32_t count, float* out,
           Stream stream) {
  IC_CHECK(table.data != nullptr && AllAligned(table.data) && table.rows > 0);
  IC_CHECK(table.columns > 0 && table.columns % BlockValues(table.dtype) == 0);
  if (count == 0) return;
  IC_CHECK(tokens != nullptr && out != nullptr);
  const bool quantized = IsQuantized(table.dtype);
  const Table arguments = {table.dtype,
                           quantized,
                           LayoutOf(table.dtype),
                           table.data,
                           table.rows,
                           table.columns,
                           quantized ? TileBytes(table.dtype, table.columns) : 0};
  for (uint32_t first = 0; first < count; first += kGridRowsMax) {
    const uint32_t rows = std::min(count - first, kGridRowsMax);
    Launch(&EmbedKernel, dim3{DivCeil(table.columns, kThreads), rows}, dim3{kThreads}, 0, stream,
           arguments, tokens + first, out + size_t{first} * table.columns);
  }
}

}  // namespace infercept::cuda
