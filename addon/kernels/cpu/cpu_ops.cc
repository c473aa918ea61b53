#include "kernels/cpu/cpu_ops.h"

#include <algorithm>
#include <numeric>

#include "kernels/cpu/pack.h"
#include "kernels/dequantize.h"
#include "kernels/shape_checks.h"

namespace infercept::cpu {
namespace {

// Multiply-adds in one range of work, at least. Handing a range to another thread costs about a
// microsecond; this many take several.
constexpr uint64_t kRangeOperations = 128 * 1024;

// One vector register, and one cache line.
constexpr size_t kAlignment = 64;

constexpr size_t Align(size_t bytes) { return DivCeil(bytes, kAlignment) * kAlignment; }

// Takes aligned pieces off the front of scratch.
class Scratch {
 public:
  explicit Scratch(std::span<std::byte> bytes) : bytes_(bytes) {
    IC_CHECK(IsAligned(bytes.data(), kAlignment));
  }
  template <typename T>
  T* Take(size_t count) {
    const size_t bytes = Align(count * sizeof(T));
    IC_CHECK(bytes <= bytes_.size());
    T* taken = reinterpret_cast<T*>(bytes_.data());
    bytes_ = bytes_.subspan(bytes);
    return taken;
  }

 private:
  std::span<std::byte> bytes_;
};

uint32_t Grain(uint64_t operations) {
  return static_cast<uint32_t>(
      std::max<uint64_t>(1, kRangeOperations / std::max<uint64_t>(1, operations)));
}

auto MatMulOf(const Kernels& kernels, DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return kernels.matmul_f32;
    case DType::kF16:
      return kernels.matmul_f16;
    case DType::kBF16:
      return kernels.matmul_bf16;
    case DType::kQ8_0:
      return kernels.matmul_q8;
    default:
      // Pack has refused it.
      return kernels.matmul_f32;
  }
}

bool HasKernel(DType dtype) { return !IsQuantized(dtype) || dtype == DType::kQ8_0; }

}  // namespace

size_t CpuOps::PackedBytes(DType dtype, uint32_t rows, uint32_t columns) const {
  return DivCeil(rows, kernels_.lanes) * GroupBytes(dtype, columns, kernels_.lanes);
}

void CpuOps::Pack(const WeightView& source, std::span<std::byte> target, ThreadPool& pool) const {
  CheckWeight(source.dtype, source.data, source.rows, source.columns);
  IC_CHECK(HasKernel(source.dtype));
  IC_CHECK(target.size() >= PackedBytes(source.dtype, source.rows, source.columns));
  IC_CHECK(IsAligned(target.data(), kAlignment));
  PackWeight(source, kernels_.lanes, kernels_.weight_bias, target, pool);
}

// Whole tiles; and so many rows of any length are whole cache lines.
uint32_t CpuOps::PackRows(DType) const {
  return std::lcm(kTileGroups * kernels_.lanes, static_cast<uint32_t>(kAlignment));
}

size_t CpuOps::MatMulScratchBytes(DType dtype, uint32_t tokens, uint32_t columns) const {
  if (dtype != DType::kQ8_0) return 0;
  const size_t values = size_t{tokens} * columns;
  return Align(values) + 2 * Align(values / kQ8BlockValues * 4);
}

QuantizedTokens CpuOps::Quantize(const float* x, uint32_t tokens, uint32_t columns,
                                 std::span<std::byte> scratch, ThreadPool& pool) const {
  const size_t blocks = columns / kQ8BlockValues;
  Scratch pieces(scratch);
  const QuantizedTokens out = {pieces.Take<int8_t>(size_t{tokens} * columns),
                               pieces.Take<float>(tokens * blocks),
                               pieces.Take<int32_t>(tokens * blocks)};
  // Quantizing a value costs about as much as eight multiply-adds.
  pool.ParallelFor(tokens, Grain(8 * columns), [&](uint32_t begin, uint32_t end, uint32_t) {
    for (size_t t = begin; t < end; ++t) {
      kernels_.quantize(
          x + t * columns, columns,
          {out.values + t * columns, out.scales + t * blocks, out.corrections + t * blocks});
    }
  });
  return out;
}

void CpuOps::RunTile(const MatMulProduct& product, uint32_t tile, const float* x,
                     const QuantizedTokens& quantized, uint32_t tokens) const {
  const PackedWeight& weight = product.weight;
  const uint32_t group = tile * kTileGroups;
  const uint32_t groups = std::min(kTileGroups, DivCeil(weight.rows, kernels_.lanes) - group);
  const uint32_t row = group * kernels_.lanes;
  const size_t group_bytes = GroupBytes(weight.dtype, weight.columns, kernels_.lanes);
  MatMulOf(kernels_,
           weight.dtype)({weight.data + group * group_bytes, groups,
                          std::min(groups * kernels_.lanes, weight.rows - row), weight.columns, x,
                          quantized, tokens, product.out + row, product.out_stride});
}

void CpuOps::MatMul(std::span<const MatMulProduct> products, const float* x, uint32_t tokens,
                    std::span<std::byte> scratch, ThreadPool& pool) const {
  CheckProducts(products, tokens);
  if (tokens == 0) return;
  const uint32_t columns = products.front().weight.columns;
  uint32_t tiles_end[kMatMulProductsMax];  // of each product, counted over all of them
  uint32_t tiles = 0;
  bool any_quantized = false;
  for (size_t i = 0; i < products.size(); ++i) {
    const PackedWeight& weight = products[i].weight;
    IC_CHECK(IsAligned(weight.data, kAlignment));
    tiles += DivCeil(weight.rows, kernels_.lanes * kTileGroups);
    tiles_end[i] = tiles;
    any_quantized = any_quantized || weight.dtype == DType::kQ8_0;
  }
  QuantizedTokens quantized;
  if (any_quantized) quantized = Quantize(x, tokens, columns, scratch, pool);
  const uint64_t tile_operations = uint64_t{kTileGroups} * kernels_.lanes * columns * tokens;
  pool.ParallelFor(tiles, Grain(tile_operations), [&](uint32_t begin, uint32_t end, uint32_t) {
    size_t product = 0;
    for (uint32_t tile = begin; tile < end; ++tile) {
      while (tile >= tiles_end[product]) ++product;
      const uint32_t first = product == 0 ? 0 : tiles_end[product - 1];
      RunTile(products[product], tile - first, x, quantized, tokens);
    }
  });
}

void CpuOps::Embed(const WeightView& table, std::span<const TokenId> tokens, float* out) const {
  CheckWeight(table.dtype, table.data, table.rows, table.columns);
  for (size_t i = 0; i < tokens.size(); ++i) {
    IC_CHECK(tokens[i] >= 0 && static_cast<uint32_t>(tokens[i]) < table.rows);
    DequantizeRow(table.dtype, RowOf(table, static_cast<size_t>(tokens[i])), table.columns,
                  out + i * table.columns);
  }
}

void CpuOps::AddRmsNorm(const ResidualNorm& norm, uint32_t tokens, uint32_t width) const {
  IC_CHECK(width > 0);
  for (size_t t = 0; t < tokens; ++t) {
    kernels_.add_rms_norm({norm.added + t * width, norm.residual + t * width, norm.weight,
                           norm.epsilon, norm.out + t * width},
                          width);
  }
}

void CpuOps::Rope(float* x, size_t stride, std::span<const uint32_t> positions, uint32_t heads,
                  uint32_t head_dim, const RopeView& rope) const {
  IC_CHECK(rope.rope_dim <= head_dim && rope.rope_dim % 2 == 0);
  for (size_t t = 0; t < positions.size(); ++t) {
    const size_t row = size_t{positions[t]} * (rope.rope_dim / 2);
    for (uint32_t h = 0; h < heads; ++h) {
      kernels_.rope(x + t * stride + size_t{h} * head_dim, rope.cosine + row, rope.sine + row,
                    rope);
    }
  }
}

void CpuOps::SiluMultiply(const float* gate, const float* up, size_t count, float* out) const {
  kernels_.silu_multiply(gate, up, count, out);
}

}  // namespace infercept::cpu
