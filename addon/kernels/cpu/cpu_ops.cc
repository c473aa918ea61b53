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

// How many tokens each panel has: as many as the widest that fit, spread evenly. What a token
// computes does not depend on it (ops.h, Rule 1).
class PanelSplit {
 public:
  PanelSplit() : PanelSplit(0, 1) {}
  PanelSplit(uint32_t tokens, uint32_t panel_tokens)
      : count_(std::max(1u, DivCeil(tokens, panel_tokens))),
        tokens_(tokens / count_),
        longer_(tokens % count_) {}

  uint32_t count() const { return count_; }
  uint32_t first_token(uint32_t panel) const { return panel * tokens_ + std::min(panel, longer_); }
  uint32_t tokens(uint32_t panel) const { return tokens_ + (panel < longer_ ? 1 : 0); }
  uint32_t panel_of(uint32_t token) const {
    const uint32_t in_longer = longer_ * (tokens_ + 1);
    return token < in_longer ? token / (tokens_ + 1) : longer_ + (token - in_longer) / tokens_;
  }

 private:
  uint32_t count_;
  uint32_t tokens_;  // of a panel; the first `longer_` have one more
  uint32_t longer_;
};

size_t ValueBytes(InputKind kind, uint32_t columns) {  // of one token
  return size_t{DivCeil(columns, CellColumns(kind))} * CellBytes(kind);
}
size_t AllSideBytes(InputKind kind, uint32_t columns) {  // of one token
  return columns / SideColumns(kind) * SideBytes(kind);
}

InputKind InputOf(const Kernels& kernels, DType dtype) {
  if (dtype == DType::kBF16) return kernels.bf16_inputs;
  if (!IsQuantized(dtype)) return InputKind::kF32;
  return BlockValues(dtype) == 256 ? InputKind::kQ8K : InputKind::kQ8;
}

// Weights of one pass over all panels, about. Half of the smallest second-level caches of
// processors with these instructions: the panels' inputs and sums pass through it as well.
constexpr size_t kChunkBytes = 128 * 1024;

// How far a pass over weights that come from memory asks ahead: what arrives at 50 GB/s in 300 ns,
// a loaded machine's latency.
constexpr size_t kStreamAhead = 16 * 1024;

}  // namespace

// The inputs of one MatMul, in each layout that its weights ask for.
struct CpuOps::Inputs {
  struct Layout {
    PanelSplit split;
    Panel all;  // as if one panel held all tokens; values == nullptr: not needed
  };

  uint32_t columns;
  Layout layouts[kInputKinds];

  Layout& Of(InputKind kind) { return layouts[static_cast<uint32_t>(kind)]; }
  const PanelSplit& SplitOf(InputKind kind) const {
    return layouts[static_cast<uint32_t>(kind)].split;
  }
  // A panel from a column on, which begins a cell and a side.
  Panel PanelOf(InputKind kind, uint32_t panel, size_t column) const {
    const auto& [split, all] = layouts[static_cast<uint32_t>(kind)];
    const size_t first = split.first_token(panel);
    const uint32_t tokens = split.tokens(panel);
    return {all.values + first * ValueBytes(kind, columns) +
                column / CellColumns(kind) * tokens * CellBytes(kind),
            all.side + first * AllSideBytes(kind, columns) +
                column / SideColumns(kind) * tokens * SideBytes(kind),
            tokens};
  }
};

size_t CpuOps::PackedBytes(DType dtype, uint32_t rows, uint32_t columns) const {
  return PackedWeightBytes(dtype, rows, columns, kernels_.lanes);
}

void CpuOps::Pack(const WeightView& source, std::span<std::byte> target, ThreadPool& pool) const {
  CheckWeight(source.dtype, source.data, source.rows, source.columns);
  IC_CHECK(target.size() >= PackedBytes(source.dtype, source.rows, source.columns));
  IC_CHECK(IsAligned(target.data(), kAlignment));
  PackWeight(source, kernels_.lanes, kernels_.signed_bias, target, pool);
}

// Whole tiles; and so many rows of any length are whole cache lines.
uint32_t CpuOps::PackRows(DType) const {
  return std::lcm(kTileGroups * kernels_.lanes, static_cast<uint32_t>(kAlignment));
}

size_t CpuOps::MatMulScratchBytes(DType dtype, uint32_t tokens, uint32_t columns) const {
  const InputKind kind = InputOf(kernels_, dtype);
  return Align(tokens * ValueBytes(kind, columns)) + Align(tokens * AllSideBytes(kind, columns));
}

void CpuOps::Prepare(InputKind kind, const float* x, const Inputs& inputs, uint32_t tokens,
                     ThreadPool& pool) const {
  const PrepareKernel prepare = kernels_.prepare_of(kind);
  const PanelSplit& split = inputs.SplitOf(kind);
  const uint32_t columns = inputs.columns;
  // Quantizing a value costs about as much as eight multiply-adds.
  pool.ParallelFor(tokens, Grain(8 * columns), [&](uint32_t begin, uint32_t end, uint32_t) {
    for (uint32_t t = begin; t < end; ++t) {
      const uint32_t panel = split.panel_of(t);
      prepare(x + size_t{t} * columns, columns, t - split.first_token(panel),
              inputs.PanelOf(kind, panel, 0));
    }
  });
}

// One tile by all panels, chunk of the columns by chunk.
void CpuOps::RunTile(const MatMulProduct& product, uint32_t tile, bool next_tile_follows,
                     const Inputs& inputs) const {
  const PackedWeight& weight = product.weight;
  const InputKind kind = InputOf(kernels_, weight.dtype);
  const MatMulKernel kernel = kernels_.matmul_of(weight.dtype);
  const uint32_t tile_rows = kTileGroups * kernels_.lanes;
  const PackedUnit unit = UnitOf(weight.dtype);
  const size_t unit_bytes = size_t{tile_rows} * unit.row_bytes;
  const uint32_t units = PackedUnits(weight.dtype, weight.columns);
  const PanelSplit& split = inputs.SplitOf(kind);
  const uint32_t panels = split.count();
  const uint32_t chunk =
      panels == 1 ? units : std::min(units, static_cast<uint32_t>(kChunkBytes / unit_bytes) + 1);
  const std::byte* tile_weight = weight.data + size_t{tile} * units * unit_bytes;
  const uint32_t row = tile * tile_rows;
  for (uint32_t begin = 0; begin < units; begin += chunk) {
    const uint32_t end = std::min(units, begin + chunk);
    // The first panel asks for what it reads itself a little later; the second for the next chunk,
    // which may be the next tile's: memory works while the processor multiplies.
    const bool more = end < units || next_tile_follows;
    const size_t next = more ? size_t{end - begin} * unit_bytes : 0;
    for (uint32_t i = 0; i < panels; ++i) {
      const size_t first_token = split.first_token(i);
      kernel({.weight = tile_weight + begin * unit_bytes,
              .units = end - begin,
              .panel = inputs.PanelOf(kind, i, size_t{begin} * unit.columns),
              .rows = std::min(tile_rows, weight.rows - row),
              .out = product.out + first_token * product.out_stride + row,
              .out_stride = product.out_stride,
              .add = begin > 0,
              .ahead = i == 0   ? kStreamAhead
                       : i == 1 ? next
                                : 0});
    }
  }
}

void CpuOps::MatMul(std::span<const MatMulProduct> products, const float* x, uint32_t tokens,
                    std::span<std::byte> scratch, ThreadPool& pool) const {
  CheckProducts(products, tokens);
  if (tokens == 0) return;
  const uint32_t columns = products.front().weight.columns;
  Inputs inputs{columns, {}};
  Scratch pieces(scratch);
  const uint32_t tile_rows = kTileGroups * kernels_.lanes;
  uint32_t tiles_end[kMatMulProductsMax];  // of each product, counted over all of them
  uint32_t tiles = 0;
  for (size_t i = 0; i < products.size(); ++i) {
    const PackedWeight& weight = products[i].weight;
    IC_CHECK(IsAligned(weight.data, kAlignment));
    tiles += DivCeil(weight.rows, tile_rows);
    tiles_end[i] = tiles;
    const InputKind kind = InputOf(kernels_, weight.dtype);
    auto& [split, all] = inputs.Of(kind);
    if (all.values != nullptr) continue;
    split = PanelSplit(tokens, kernels_.panel_tokens.For(kind, tokens));
    all.values = pieces.Take<std::byte>(tokens * ValueBytes(kind, columns));
    all.side = pieces.Take<std::byte>(tokens * AllSideBytes(kind, columns));
    Prepare(kind, x, inputs, tokens, pool);
  }
  const uint64_t tile_operations = uint64_t{tile_rows} * columns * tokens;
  pool.ParallelFor(tiles, Grain(tile_operations), [&](uint32_t begin, uint32_t end, uint32_t) {
    size_t product = 0;
    for (uint32_t tile = begin; tile < end; ++tile) {
      while (tile >= tiles_end[product]) ++product;
      const uint32_t first = product == 0 ? 0 : tiles_end[product - 1];
      const bool next_tile_follows = tile + 1 < std::min(end, tiles_end[product]);
      RunTile(products[product], tile - first, next_tile_follows, inputs);
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

void CpuOps::AddLayerNorm(const ResidualNorm& norm, uint32_t tokens, uint32_t width) const {
  IC_CHECK(width > 0 && norm.bias != nullptr);
  for (size_t t = 0; t < tokens; ++t) {
    kernels_.add_layer_norm({norm.added + t * width, norm.residual + t * width, norm.weight,
                             norm.epsilon, norm.out + t * width, norm.bias},
                            width);
  }
}

void CpuOps::RmsNorm(const VectorNorm& norm, uint32_t tokens) const {
  IC_CHECK(norm.width > 0 && (tokens <= 1 || norm.stride >= size_t{norm.vectors} * norm.width));
  for (size_t t = 0; t < tokens; ++t) {
    for (size_t v = 0; v < norm.vectors; ++v) {
      kernels_.rms_norm(norm.x + t * norm.stride + v * norm.width, norm);
    }
  }
}

// The three below do next to nothing with each value: plain loops keep up with memory.
void CpuOps::AddBias(const float* bias, uint32_t width, uint32_t tokens, float* x,
                     size_t stride) const {
  for (size_t t = 0; t < tokens; ++t) Add(bias, width, x + t * stride);
}

void CpuOps::Add(const float* added, size_t count, float* x) const {
  for (size_t i = 0; i < count; ++i) x[i] += added[i];
}

void CpuOps::Scale(float factor, size_t count, float* x) const {
  for (size_t i = 0; i < count; ++i) x[i] *= factor;
}

void CpuOps::SoftCap(float cap, size_t count, float* x) const {
  IC_CHECK(cap > 0);
  kernels_.soft_cap(cap, count, x);
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

void CpuOps::GeluMultiply(const float* gate, const float* up, size_t count, float* out) const {
  kernels_.gelu_multiply(gate, up, count, out);
}

void CpuOps::Gelu(size_t count, float* x) const { kernels_.gelu(count, x); }

void CpuOps::ClampedSwigluMultiply(const ClampedSwiglu& swiglu, const float* gate, const float* up,
                                   size_t count, float* out) const {
  kernels_.clamped_swiglu(swiglu, gate, up, count, out);
}

}  // namespace infercept::cpu
