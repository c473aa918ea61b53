// The truth for every kernel test: the formulas of ops.h as loops, in double. Slow and plain on
// purpose.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <vector>

#include "kernels/blocks.h"
#include "kernels/dequantize.h"
#include "kernels/ops.h"
#include "kernels/paged_kv.h"
#include "kernels/quantize.h"
#include "kernels/shape_checks.h"

namespace infercept {
namespace {

// One value of a float dtype.
float ReadNumber(DType dtype, const std::byte* from) {
  float value = 0;
  DequantizeRow(dtype, from, 1, &value);
  return value;
}

void WriteNumber(DType dtype, float x, std::byte* to) { QuantizeRow(dtype, &x, 1, to); }

Q8_0Block QuantizeBlock(const float* x) {
  float largest = 0;
  for (uint32_t i = 0; i < kQ8BlockValues; ++i) largest = std::max(largest, std::abs(x[i]));
  Q8_0Block block;
  block.scale.Store(largest / 127.0f);
  const float scale = block.scale.Load();
  const float inverse = scale > 0 ? 1.0f / scale : 0.0f;
  for (uint32_t i = 0; i < kQ8BlockValues; ++i) {
    block.codes[i] =
        static_cast<int8_t>(std::clamp(std::nearbyint(x[i] * inverse), -127.0f, 127.0f));
  }
  return block;
}

// Where one position's key and value lie.
struct KvPlace {
  KvPlace(const PagedKv& cache_, const AttentionSlice& slice, uint32_t position, uint32_t kv_head)
      : cache(cache_), slot(position % cache.block_tokens) {
    const BlockId block = slice.block_table[TableEntry(cache, position)];
    keys = KvPlane(cache, cache.keys, block, kv_head);
    values = KvPlane(cache, cache.values, block, kv_head);
  }

  void WriteKey(const float* x) const {
    for (uint32_t d = 0; d < cache.head_dim; ++d) {
      if (cache.dtype != DType::kQ8_0) {
        WriteNumber(cache.dtype, x[d], keys + KeyOffset(cache, slot, d));
      } else if (d % kQ8BlockValues == 0) {
        const Q8_0Block block = QuantizeBlock(x + d);
        std::memcpy(keys + KeyScaleOffset(cache, slot, d), &block.scale, sizeof(block.scale));
        for (uint32_t i = 0; i < kQ8BlockValues; ++i) {
          keys[KeyOffset(cache, slot, d + i)] = static_cast<std::byte>(block.codes[i]);
        }
      }
    }
  }

  void WriteValue(const float* x) const {
    std::byte* row = values + ValueOffset(cache, slot);
    for (uint32_t d = 0; d < cache.head_dim; d += BlockValues(cache.dtype)) {
      std::byte* to = row + RowBytes(cache.dtype, d);
      if (cache.dtype != DType::kQ8_0) {
        WriteNumber(cache.dtype, x[d], to);
      } else {
        const Q8_0Block block = QuantizeBlock(x + d);
        std::memcpy(to, &block, sizeof(block));
      }
    }
  }

  std::vector<float> ReadKey() const {
    std::vector<float> key(cache.head_dim);
    for (uint32_t d = 0; d < cache.head_dim; ++d) {
      const std::byte* from = keys + KeyOffset(cache, slot, d);
      if (cache.dtype != DType::kQ8_0) {
        key[d] = ReadNumber(cache.dtype, from);
      } else {
        key[d] = ReadNumber(DType::kF16, keys + KeyScaleOffset(cache, slot, d)) *
                 static_cast<float>(static_cast<int8_t>(*from));
      }
    }
    return key;
  }

  std::vector<float> ReadValue() const {
    std::vector<float> value(cache.head_dim);
    DequantizeRow(cache.dtype, values + ValueOffset(cache, slot), cache.head_dim, value.data());
    return value;
  }

  const PagedKv& cache;
  uint32_t slot;
  std::byte* keys;
  std::byte* values;
};

class RefOps final : public Ops {
 public:
  std::string_view isa() const override { return "ref"; }

  size_t PackedBytes(DType dtype, uint32_t rows, uint32_t columns) const override {
    return rows * RowBytes(dtype, columns);
  }

  void Pack(const WeightView& source, std::span<std::byte> target, ThreadPool&) const override {
    CheckWeight(source.dtype, source.data, source.rows, source.columns);
    const size_t bytes = PackedBytes(source.dtype, source.rows, source.columns);
    IC_CHECK(target.size() >= bytes);
    std::memcpy(target.data(), source.data, bytes);
  }

  uint32_t PackRows(DType) const override { return 64; }

  size_t MatMulScratchBytes(DType, uint32_t, uint32_t) const override { return 0; }

  using Ops::MatMul;
  void MatMul(std::span<const MatMulProduct> products, const float* x, uint32_t tokens,
              std::span<std::byte>, ThreadPool& pool) const override {
    CheckProducts(products, tokens);
    for (const MatMulProduct& product : products) {
      pool.ParallelFor(product.weight.rows, 1, [&](uint32_t begin, uint32_t end, uint32_t) {
        for (uint32_t r = begin; r < end; ++r) MultiplyRow(product, r, x, tokens);
      });
    }
  }

  void Embed(const WeightView& table, std::span<const TokenId> tokens, float* out) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      IC_CHECK(tokens[i] >= 0 && static_cast<uint32_t>(tokens[i]) < table.rows);
      DequantizeRow(table.dtype, RowOf(table, static_cast<size_t>(tokens[i])), table.columns,
                    out + i * table.columns);
    }
  }

  void AddRmsNorm(const ResidualNorm& norm, uint32_t tokens, uint32_t width) const override {
    for (size_t t = 0; t < tokens; ++t) {
      float* residual = norm.residual + t * width;
      double squares = 0;
      for (uint32_t i = 0; i < width; ++i) {
        residual[i] += norm.added[t * width + i];
        squares += double{residual[i]} * residual[i];
      }
      const double factor = 1.0 / std::sqrt(squares / width + double{norm.epsilon});
      for (uint32_t i = 0; i < width; ++i) {
        norm.out[t * width + i] = static_cast<float>(residual[i] * factor * norm.weight[i]);
      }
    }
  }

  void AddLayerNorm(const ResidualNorm& norm, uint32_t tokens, uint32_t width) const override {
    for (size_t t = 0; t < tokens; ++t) {
      float* residual = norm.residual + t * width;
      double sum = 0;
      for (uint32_t i = 0; i < width; ++i) sum += residual[i] += norm.added[t * width + i];
      const double mean = sum / width;
      double squares = 0;
      for (uint32_t i = 0; i < width; ++i) squares += (residual[i] - mean) * (residual[i] - mean);
      const double factor = 1.0 / std::sqrt(squares / width + double{norm.epsilon});
      for (uint32_t i = 0; i < width; ++i) {
        const double scaled = (residual[i] - mean) * factor;
        norm.out[t * width + i] = static_cast<float>(scaled * norm.weight[i] + norm.bias[i]);
      }
    }
  }

  void RmsNorm(const VectorNorm& norm, uint32_t tokens) const override {
    for (size_t t = 0; t < tokens; ++t) {
      for (size_t v = 0; v < norm.vectors; ++v) {
        float* x = norm.x + t * norm.stride + v * norm.width;
        double squares = 0;
        for (uint32_t i = 0; i < norm.width; ++i) squares += double{x[i]} * x[i];
        const double factor = 1.0 / std::sqrt(squares / norm.width + double{norm.epsilon});
        for (uint32_t i = 0; i < norm.width; ++i) {
          x[i] = static_cast<float>(x[i] * factor * norm.weight[i]);
        }
      }
    }
  }

  void AddBias(const float* bias, uint32_t width, uint32_t tokens, float* x,
               size_t stride) const override {
    for (size_t t = 0; t < tokens; ++t) Add(bias, width, x + t * stride);
  }

  void Add(const float* added, size_t count, float* x) const override {
    for (size_t i = 0; i < count; ++i) x[i] += added[i];
  }

  void Scale(float factor, size_t count, float* x) const override {
    for (size_t i = 0; i < count; ++i) x[i] *= factor;
  }

  void SoftCap(float cap, size_t count, float* x) const override {
    for (size_t i = 0; i < count; ++i) x[i] = static_cast<float>(Capped(x[i], double{cap}));
  }

  void Rope(float* x, size_t stride, std::span<const uint32_t> positions, uint32_t heads,
            uint32_t head_dim, const RopeView& rope) const override {
    IC_CHECK(rope.rope_dim <= head_dim && rope.rope_dim % 2 == 0);
    const uint32_t half = rope.rope_dim / 2;
    for (size_t t = 0; t < positions.size(); ++t) {
      for (uint32_t h = 0; h < heads; ++h) {
        float* head = x + t * stride + size_t{h} * head_dim;
        for (uint32_t i = 0; i < half; ++i) {
          const double cosine = rope.cosine[size_t{positions[t]} * half + i];
          const double sine = rope.sine[size_t{positions[t]} * half + i];
          float& a = head[rope.interleaved ? 2 * i : i];
          float& b = head[rope.interleaved ? 2 * i + 1 : i + half];
          const double a_rotated = a * cosine - b * sine;
          const double b_rotated = a * sine + b * cosine;
          a = static_cast<float>(a_rotated);
          b = static_cast<float>(b_rotated);
        }
      }
    }
  }

  void SiluMultiply(const float* gate, const float* up, size_t count, float* out) const override {
    for (size_t i = 0; i < count; ++i) {
      out[i] = static_cast<float>(gate[i] / (1.0 + std::exp(-double{gate[i]})) * up[i]);
    }
  }

  void GeluMultiply(const float* gate, const float* up, size_t count, float* out) const override {
    for (size_t i = 0; i < count; ++i) out[i] = static_cast<float>(GeluOf(gate[i]) * up[i]);
  }

  void Gelu(size_t count, float* x) const override {
    for (size_t i = 0; i < count; ++i) x[i] = static_cast<float>(GeluOf(x[i]));
  }

  void ClampedSwigluMultiply(const ClampedSwiglu& swiglu, const float* gate, const float* up,
                             size_t count, float* out) const override {
    for (size_t i = 0; i < count; ++i) {
      const double x = std::min(gate[i], swiglu.limit);
      const double factor = std::clamp(up[i], -swiglu.limit, swiglu.limit);
      out[i] = static_cast<float>(x / (1 + std::exp(-double{swiglu.alpha} * x)) * (factor + 1));
    }
  }

  void WriteKv(const float* key, const float* value, size_t stride,
               std::span<const AttentionSlice> slices, const PagedKv& cache) const override {
    CheckCache(cache, slices);
    for (const AttentionSlice& slice : slices) {
      for (uint32_t i = 0; i < slice.rows; ++i) {
        const size_t row = (slice.first_row + i) * stride;
        for (uint32_t h = 0; h < cache.kv_heads; ++h) {
          const size_t from = row + size_t{h} * cache.head_dim;
          const KvPlace place(cache, slice, slice.first_position + i, h);
          place.WriteKey(key + from);
          place.WriteValue(value + from);
        }
      }
    }
  }

  size_t AttentionScratchBytes(const AttentionLimits&) const override { return 0; }

  void Attention(const float* query, size_t query_stride, std::span<const AttentionSlice> slices,
                 uint32_t heads, const PagedKv& cache, const AttentionRules& rules, float* out,
                 size_t out_stride, std::span<std::byte>, ThreadPool&) const override {
    CheckCache(cache, slices);
    IC_CHECK(heads % cache.kv_heads == 0);
    for (const AttentionSlice& slice : slices) {
      for (uint32_t i = 0; i < slice.rows; ++i) {
        for (uint32_t h = 0; h < heads; ++h) {
          const size_t row = slice.first_row + i;
          const size_t head = size_t{h} * cache.head_dim;
          Attend({query + row * query_stride + head, h, h / (heads / cache.kv_heads),
                  slice.first_position + i},
                 slice, cache, rules, out + row * out_stride + head);
        }
      }
    }
  }

 private:
  static double Capped(double x, double cap) { return cap * std::tanh(x / cap); }

  static double GeluOf(double x) {
    return x / 2 * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
  }

  static void MultiplyRow(const MatMulProduct& product, uint32_t r, const float* x,
                          uint32_t tokens) {
    const auto& [dtype, data, rows, columns] = product.weight;
    std::vector<float> row(columns);
    DequantizeRow(dtype, data + r * RowBytes(dtype, columns), columns, row.data());
    for (uint32_t t = 0; t < tokens; ++t) {
      double sum = 0;
      for (uint32_t c = 0; c < columns; ++c) sum += double{row[c]} * x[size_t{t} * columns + c];
      product.out[t * product.out_stride + r] = static_cast<float>(sum);
    }
  }

  struct Query {
    const float* values;
    uint32_t head;
    uint32_t kv_head;
    uint32_t position;
  };

  // One query of one head: softmax over the positions it sees, then the weighted mean of the
  // values.
  static void Attend(const Query& query, const AttentionSlice& slice, const PagedKv& cache,
                     const AttentionRules& rules, float* out) {
    const uint32_t end = query.position + 1;
    const uint32_t first = rules.FirstVisible(query.position);
    std::vector<double> weights;
    for (uint32_t p = first; p < end; ++p) {
      const std::vector<float> key = KvPlace(cache, slice, p, query.kv_head).ReadKey();
      double dot = 0;
      for (uint32_t d = 0; d < cache.head_dim; ++d) dot += double{query.values[d]} * key[d];
      const double score = dot * double{rules.scale};
      weights.push_back(rules.soft_cap == 0 ? score : Capped(score, double{rules.soft_cap}));
    }
    if (rules.sinks != nullptr) weights.push_back(rules.sinks[query.head]);
    const double largest = *std::max_element(weights.begin(), weights.end());
    double total = 0;
    for (double& weight : weights) total += weight = std::exp(weight - largest);
    std::vector<double> mean(cache.head_dim);
    for (uint32_t p = first; p < end; ++p) {
      const std::vector<float> value = KvPlace(cache, slice, p, query.kv_head).ReadValue();
      for (uint32_t d = 0; d < cache.head_dim; ++d) {
        mean[d] += weights[p - first] / total * value[d];
      }
    }
    for (uint32_t d = 0; d < cache.head_dim; ++d) out[d] = static_cast<float>(mean[d]);
  }
};

}  // namespace

const Ops& ReferenceOps() {
  static const RefOps ops;
  return ops;
}

}  // namespace infercept
