#include "enqueued_ops.h"

#include <array>
#include <cstring>

#include "kernels/paged_kv.h"
#include "model/decode_graphs.h"

namespace infercept::test {
namespace {

constexpr size_t kFloat = sizeof(float);

// Rows of `width` floats, stride floats apart.
size_t RowsBytes(size_t rows, size_t stride, size_t width) {
  return rows == 0 ? 0 : ((rows - 1) * stride + width) * kFloat;
}

size_t WeightBytes(const Ops& inner, DType dtype, uint32_t rows, uint32_t columns) {
  const size_t packed = inner.PackedBytes(dtype, rows, columns);
  return packed != 0 ? packed : rows * RowBytes(dtype, columns);
}

// Keys and values of a layer in the blocks [first, last) of a slice's table.
template <typename Touch>
void ForBlocks(const PagedKv& cache, const AttentionSlice& slice, uint32_t first, uint32_t last,
               const Touch& touch) {
  for (uint32_t i = first; i < last; ++i) {
    const size_t offset = Index(slice.block_table[i]) * cache.block_stride;
    touch(cache.keys + offset, cache.kv_heads * KvPlaneBytes(cache));
    touch(cache.values + offset, cache.kv_heads * KvPlaneBytes(cache));
  }
}

uint32_t BlocksBefore(const PagedKv& cache, const AttentionSlice& slice) {
  return DivCeil(slice.first_position + slice.rows, cache.block_tokens);
}

}  // namespace

size_t EnqueuedOps::PackedBytes(DType dtype, uint32_t rows, uint32_t columns) const {
  return WeightBytes(inner_, dtype, rows, columns);
}

void EnqueuedOps::Pack(const WeightView& source, std::span<std::byte> target,
                       ThreadPool& pool) const {
  if (inner_.PackedBytes(source.dtype, source.rows, source.columns) != 0) {
    inner_.Pack(source, target, pool);
  } else {
    std::memcpy(target.data(), source.data, source.rows * RowBytes(source.dtype, source.columns));
  }
}

void EnqueuedOps::Bind(std::span<const TokenId> tokens, std::span<const uint32_t> positions,
                       std::span<const AttentionSlice> slices, uint32_t context_tokens) const {
  IC_CHECK(LongestContext(slices) <= context_tokens);
  IC_CHECK(arrays_.Bind(tokens, positions, slices).ok());
}

void EnqueuedOps::MatMul(std::span<const MatMulProduct> products, const float* x, uint32_t tokens,
                         std::span<std::byte> scratch, ThreadPool&) const {
  std::array<MatMulProduct, kMatMulProductsMax> all;
  IC_CHECK(products.size() <= all.size());
  std::copy(products.begin(), products.end(), all.begin());
  const size_t count = products.size();
  stream_.Launch(
      "MatMul",
      [=, inner = &inner_, pool = &caller_](NativeStream) {
        inner->MatMul(std::span(all.data(), count), x, tokens, scratch, *pool);
      },
      [=, inner = &inner_](AccessList& list) {
        list.Read(x, size_t{tokens} * all[0].weight.columns * kFloat);
        list.Write(scratch.data(), scratch.size());
        for (size_t i = 0; i < count; ++i) {
          const PackedWeight& weight = all[i].weight;
          list.Read(weight.data, WeightBytes(*inner, weight.dtype, weight.rows, weight.columns));
          for (size_t row = 0; row < tokens; ++row)
            list.Write(all[i].out + row * all[i].out_stride, weight.rows * kFloat);
        }
      });
}

void EnqueuedOps::Embed(const WeightView& table, std::span<const TokenId> tokens,
                        float* out) const {
  const std::span<const TokenId> ids = arrays_.OnDevice(tokens);
  stream_.Launch(
      "Embed", [=, inner = &inner_](NativeStream) { inner->Embed(table, ids, out); },
      [=](AccessList& list) {
        list.Read(ids.data(), ids.size_bytes());
        list.Read(table.data, table.rows * RowBytes(table.dtype, table.columns));
        list.Write(out, ids.size() * table.columns * kFloat);
      });
}

namespace {

void DescribeNorm(const ResidualNorm& norm, uint32_t tokens, uint32_t width, AccessList& list) {
  const size_t bytes = size_t{tokens} * width * kFloat;
  list.Read(norm.added, bytes);
  list.Read(norm.weight, width * kFloat);
  if (norm.bias != nullptr) list.Read(norm.bias, width * kFloat);
  list.Write(norm.residual, bytes);
  list.Write(norm.out, bytes);
}

}  // namespace

void EnqueuedOps::AddRmsNorm(const ResidualNorm& norm, uint32_t tokens, uint32_t width) const {
  stream_.Launch(
      "AddRmsNorm", [=, inner = &inner_](NativeStream) { inner->AddRmsNorm(norm, tokens, width); },
      [=](AccessList& list) { DescribeNorm(norm, tokens, width, list); });
}

void EnqueuedOps::AddLayerNorm(const ResidualNorm& norm, uint32_t tokens, uint32_t width) const {
  stream_.Launch(
      "AddLayerNorm",
      [=, inner = &inner_](NativeStream) { inner->AddLayerNorm(norm, tokens, width); },
      [=](AccessList& list) { DescribeNorm(norm, tokens, width, list); });
}

void EnqueuedOps::RmsNorm(const VectorNorm& norm, uint32_t tokens) const {
  stream_.Launch(
      "RmsNorm", [=, inner = &inner_](NativeStream) { inner->RmsNorm(norm, tokens); },
      [=](AccessList& list) {
        list.Read(norm.weight, norm.width * kFloat);
        list.Write(norm.x, RowsBytes(tokens, norm.stride, size_t{norm.vectors} * norm.width));
      });
}

void EnqueuedOps::AddBias(const float* bias, uint32_t width, uint32_t tokens, float* x,
                          size_t stride) const {
  stream_.Launch(
      "AddBias",
      [=, inner = &inner_](NativeStream) { inner->AddBias(bias, width, tokens, x, stride); },
      [=](AccessList& list) {
        list.Read(bias, width * kFloat);
        list.Write(x, RowsBytes(tokens, stride, width));
      });
}

void EnqueuedOps::Add(const float* added, size_t count, float* x) const {
  stream_.Launch(
      "Add", [=, inner = &inner_](NativeStream) { inner->Add(added, count, x); },
      [=](AccessList& list) {
        list.Read(added, count * kFloat);
        list.Write(x, count * kFloat);
      });
}

void EnqueuedOps::Scale(float factor, size_t count, float* x) const {
  stream_.Launch(
      "Scale", [=, inner = &inner_](NativeStream) { inner->Scale(factor, count, x); },
      [=](AccessList& list) { list.Write(x, count * kFloat); });
}

void EnqueuedOps::SoftCap(float cap, size_t count, float* x) const {
  stream_.Launch(
      "SoftCap", [=, inner = &inner_](NativeStream) { inner->SoftCap(cap, count, x); },
      [=](AccessList& list) { list.Write(x, count * kFloat); });
}

void EnqueuedOps::Rope(float* x, size_t stride, std::span<const uint32_t> positions, uint32_t heads,
                       uint32_t head_dim, const RopeView& rope) const {
  const std::span<const uint32_t> where = arrays_.OnDevice(positions);
  const size_t first = static_cast<size_t>(positions.data() - arrays_.positions().data());
  stream_.Launch(
      "Rope",
      [=, inner = &inner_](NativeStream) { inner->Rope(x, stride, where, heads, head_dim, rope); },
      [=, arrays = &arrays_](AccessList& list) {
        list.Read(where.data(), where.size_bytes());
        for (const uint32_t position : arrays->positions().subspan(first, where.size())) {
          const size_t pairs = rope.rope_dim / 2;
          list.Read(rope.cosine + position * pairs, pairs * kFloat);
          list.Read(rope.sine + position * pairs, pairs * kFloat);
        }
        list.Write(x, RowsBytes(where.size(), stride, size_t{heads} * head_dim));
      });
}

void EnqueuedOps::SiluMultiply(const float* gate, const float* up, size_t count, float* out) const {
  stream_.Launch(
      "SiluMultiply",
      [=, inner = &inner_](NativeStream) { inner->SiluMultiply(gate, up, count, out); },
      [=](AccessList& list) {
        list.Read(gate, count * kFloat);
        list.Read(up, count * kFloat);
        list.Write(out, count * kFloat);
      });
}

void EnqueuedOps::GeluMultiply(const float* gate, const float* up, size_t count, float* out) const {
  stream_.Launch(
      "GeluMultiply",
      [=, inner = &inner_](NativeStream) { inner->GeluMultiply(gate, up, count, out); },
      [=](AccessList& list) {
        list.Read(gate, count * kFloat);
        list.Read(up, count * kFloat);
        list.Write(out, count * kFloat);
      });
}

void EnqueuedOps::Gelu(size_t count, float* x) const {
  stream_.Launch(
      "Gelu", [=, inner = &inner_](NativeStream) { inner->Gelu(count, x); },
      [=](AccessList& list) { list.Write(x, count * kFloat); });
}

void EnqueuedOps::ClampedSwigluMultiply(const ClampedSwiglu& swiglu, const float* gate,
                                        const float* up, size_t count, float* out) const {
  stream_.Launch(
      "ClampedSwigluMultiply",
      [=, inner = &inner_](NativeStream) {
        inner->ClampedSwigluMultiply(swiglu, gate, up, count, out);
      },
      [=](AccessList& list) {
        list.Read(gate, count * kFloat);
        list.Read(up, count * kFloat);
        list.Write(out, count * kFloat);
      });
}

void EnqueuedOps::WriteKv(const float* key, const float* value, size_t stride,
                          std::span<const AttentionSlice> slices, const PagedKv& cache) const {
  const std::span<const AttentionSlice> there = arrays_.OnDevice(slices);
  const size_t first = static_cast<size_t>(slices.data() - arrays_.slices().data());
  const size_t width = size_t{cache.kv_heads} * cache.head_dim;
  stream_.Launch(
      "WriteKv",
      [=, inner = &inner_](NativeStream) { inner->WriteKv(key, value, stride, there, cache); },
      [=, arrays = &arrays_](AccessList& list) {
        list.Read(there.data(), there.size_bytes());
        for (const AttentionSlice& slice : arrays->slices().subspan(first, there.size())) {
          list.Read(key + slice.first_row * stride, RowsBytes(slice.rows, stride, width));
          list.Read(value + slice.first_row * stride, RowsBytes(slice.rows, stride, width));
          ForBlocks(cache, slice, slice.first_position / cache.block_tokens,
                    BlocksBefore(cache, slice),
                    [&](std::byte* data, size_t bytes) { list.Write(data, bytes); });
        }
      });
}

void EnqueuedOps::Attention(const float* query, size_t query_stride,
                            std::span<const AttentionSlice> slices, uint32_t heads,
                            const PagedKv& cache, const AttentionRules& rules, float* out,
                            size_t out_stride, std::span<std::byte> scratch, ThreadPool&) const {
  const std::span<const AttentionSlice> there = arrays_.OnDevice(slices);
  const size_t first = static_cast<size_t>(slices.data() - arrays_.slices().data());
  const size_t width = size_t{heads} * cache.head_dim;
  stream_.Launch(
      "Attention",
      [=, inner = &inner_, pool = &caller_](NativeStream) {
        inner->Attention(query, query_stride, there, heads, cache, rules, out, out_stride, scratch,
                         *pool);
      },
      [=, arrays = &arrays_](AccessList& list) {
        list.Read(there.data(), there.size_bytes());
        list.Write(scratch.data(), scratch.size());
        for (const AttentionSlice& slice : arrays->slices().subspan(first, there.size())) {
          list.Read(query + slice.first_row * query_stride,
                    RowsBytes(slice.rows, query_stride, width));
          list.Write(out + slice.first_row * out_stride, RowsBytes(slice.rows, out_stride, width));
          ForBlocks(cache, slice, 0, BlocksBefore(cache, slice),
                    [&](std::byte* data, size_t bytes) { list.Read(data, bytes); });
        }
      });
}

}  // namespace infercept::test
