#include "device/op_accesses.h"

#include "kernels/paged_kv.h"

namespace infercept {
namespace {

constexpr size_t kFloat = sizeof(float);

// Rows of `width` floats, stride floats apart.
size_t RowsBytes(size_t rows, size_t stride, size_t width) {
  return rows == 0 ? 0 : ((rows - 1) * stride + width) * kFloat;
}

// Keys and values of a layer in the blocks of a slice's table from `first` to the slice's end.
template <typename Touch>
void ForBlocks(const PagedKv& cache, const AttentionSlice& slice, uint32_t first,
               const Touch& touch) {
  const size_t bytes = cache.kv_heads * KvPlaneBytes(cache);
  const uint32_t end = DivCeil(slice.first_position + slice.rows, cache.block_tokens);
  for (uint32_t i = first; i < end; ++i) {
    const size_t offset =
        Index(slice.block_table[size_t{i} * cache.groups + cache.group]) * cache.block_stride;
    touch(cache.keys + offset, bytes);
    touch(cache.values + offset, bytes);
  }
}

}  // namespace

void DescribeMatMul(const Ops& ops, std::span<const MatMulProduct> products, const float* x,
                    uint32_t tokens, std::span<std::byte> scratch, AccessList& list) {
  list.Read(x, size_t{tokens} * products.front().weight.columns * kFloat);
  list.Write(scratch.data(), scratch.size());
  for (const MatMulProduct& product : products) {
    const PackedWeight& weight = product.weight;
    list.Read(weight.data, ops.PackedBytes(weight.dtype, weight.rows, weight.columns));
    for (size_t row = 0; row < tokens; ++row) {
      list.Write(product.out + row * product.out_stride, weight.rows * kFloat);
    }
  }
}

void DescribeEmbed(const Ops& ops, const WeightView& table, size_t tokens, float* out,
                   AccessList& list) {
  list.Read(table.data, ops.embeds_packed()
                            ? ops.PackedBytes(table.dtype, table.rows, table.columns)
                            : table.rows * RowBytes(table.dtype, table.columns));
  list.Write(out, tokens * table.columns * kFloat);
}

void DescribeNorm(const ResidualNorm& norm, uint32_t tokens, uint32_t width, AccessList& list) {
  const size_t bytes = size_t{tokens} * width * kFloat;
  list.Read(norm.added, bytes);
  list.Read(norm.weight, width * kFloat);
  if (norm.bias != nullptr) list.Read(norm.bias, width * kFloat);
  list.Write(norm.residual, bytes);
  list.Write(norm.out, bytes);
}

void DescribeNorm(const VectorNorm& norm, uint32_t tokens, AccessList& list) {
  list.Read(norm.weight, norm.width * kFloat);
  list.Write(norm.x, RowsBytes(tokens, norm.stride, size_t{norm.vectors} * norm.width));
}

void DescribeAddBias(const float* bias, uint32_t width, uint32_t tokens, float* x, size_t stride,
                     AccessList& list) {
  list.Read(bias, width * kFloat);
  list.Write(x, RowsBytes(tokens, stride, width));
}

void DescribeElements(const float* first, const float* second, size_t count, float* out,
                      AccessList& list) {
  if (first != nullptr) list.Read(first, count * kFloat);
  if (second != nullptr) list.Read(second, count * kFloat);
  list.Write(out, count * kFloat);
}

void DescribeRope(float* x, size_t stride, std::span<const uint32_t> positions, uint32_t heads,
                  uint32_t head_dim, const RopeView& rope, AccessList& list) {
  const size_t pairs = rope.rope_dim / 2;
  for (const uint32_t position : positions) {
    list.Read(rope.cosine + position * pairs, pairs * kFloat);
    list.Read(rope.sine + position * pairs, pairs * kFloat);
  }
  list.Write(x, RowsBytes(positions.size(), stride, size_t{heads} * head_dim));
}

void DescribeChooseExperts(const ExpertChoice& choice, uint32_t tokens, AccessList& list) {
  const size_t choices = size_t{tokens} * choice.used;
  list.Read(choice.scores, size_t{tokens} * choice.experts * kFloat);
  list.Write(choice.chosen, choices * sizeof(uint32_t));
  list.Write(choice.weights, choices * kFloat);
}

void DescribeAssignPlaces(const Ops& ops, const ExpertPlaces& places, uint32_t tokens,
                          AccessList& list) {
  const size_t bytes = size_t{tokens} * places.used * sizeof(uint32_t);
  list.Read(places.chosen, bytes);
  list.Write(places.rows, bytes);
  list.Write(places.places, bytes);
  list.Write(places.bounds, ops.ExpertBoundsBytes(tokens, places.experts, places.used));
}

void DescribeMatMulExperts(const Ops& ops, const ExpertMatMul& call, std::span<std::byte> scratch,
                           AccessList& list) {
  const ExpertPlaces& places = call.places;
  const size_t count = size_t{call.tokens} * places.used;
  const uint32_t columns = call.products.front().experts.front().weight.columns;
  list.Read(places.bounds, ops.ExpertBoundsBytes(call.tokens, places.experts, places.used));
  list.Read(call.x, (call.rows == nullptr ? count : call.tokens) * columns * kFloat);
  if (call.rows != nullptr) list.Read(call.rows, count * sizeof(uint32_t));
  list.Write(scratch.data(), scratch.size());
  for (const ExpertProduct& product : call.products) {
    for (const auto& [weight, bias] : product.experts) {
      list.Read(weight.data, ops.PackedBytes(weight.dtype, weight.rows, weight.columns));
      if (bias != nullptr) list.Read(bias, weight.rows * kFloat);
    }
    list.Write(product.out, count * product.experts.front().weight.rows * kFloat);
  }
}

void DescribeMixRows(const RowMix& mix, uint32_t tokens, AccessList& list) {
  const size_t choices = size_t{tokens} * mix.used;
  list.Read(mix.x, choices * mix.width * kFloat);
  list.Read(mix.places, choices * sizeof(uint32_t));
  list.Read(mix.weights, choices * kFloat);
  list.Write(mix.out, size_t{tokens} * mix.width * kFloat);
}

void DescribeWriteKv(const float* key, const float* value, size_t stride,
                     std::span<const AttentionSlice> slices, const PagedKv& cache,
                     AccessList& list) {
  const size_t width = size_t{cache.kv_heads} * cache.head_dim;
  for (const AttentionSlice& slice : slices) {
    list.Read(key + slice.first_row * stride, RowsBytes(slice.rows, stride, width));
    list.Read(value + slice.first_row * stride, RowsBytes(slice.rows, stride, width));
    ForBlocks(cache, slice, slice.first_position / cache.block_tokens,
              [&](std::byte* data, size_t bytes) { list.Write(data, bytes); });
  }
}

void DescribeAttention(const float* query, size_t query_stride,
                       std::span<const AttentionSlice> slices, uint32_t heads, const PagedKv& cache,
                       const AttentionRules& rules, float* out, size_t out_stride,
                       std::span<std::byte> scratch, AccessList& list) {
  const size_t width = size_t{heads} * cache.head_dim;
  if (rules.sinks != nullptr) list.Read(rules.sinks, heads * kFloat);
  list.Write(scratch.data(), scratch.size());
  for (const AttentionSlice& slice : slices) {
    list.Read(query + slice.first_row * query_stride, RowsBytes(slice.rows, query_stride, width));
    list.Write(out + slice.first_row * out_stride, RowsBytes(slice.rows, out_stride, width));
    const uint32_t first = rules.FirstVisible(slice.first_position) / cache.block_tokens;
    ForBlocks(cache, slice, first, [&](std::byte* data, size_t bytes) { list.Read(data, bytes); });
  }
}

// Which of the recent tokens, biases and places for the most probable tokens belong to these rows
// is known on the device: all of them, then.
void DescribeSample(const SampleRows& rows, uint32_t vocabulary, AccessList& list) {
  const size_t logits = rows.rows.size() * vocabulary * kFloat;
  list.Read(rows.logits, logits);
  list.Read(rows.rows.data(), rows.rows.size_bytes());
  list.Read(rows.recent.data(), rows.recent.size_bytes());
  list.Read(rows.biases.data(), rows.biases.size_bytes());
  list.Write(rows.adjusted, logits);
  list.Write(rows.results, rows.rows.size() * sizeof(RowSample));
  list.Write(rows.top.data(), rows.top.size_bytes());
}

void DescribePickTokens(const TokenPicks& picks, std::span<TokenId> target, AccessList& list) {
  list.Read(picks.picks.data(), picks.picks.size_bytes());
  list.Read(picks.samples.data(), picks.samples.size_bytes());
  list.Write(target.data(), target.size_bytes());
}

}  // namespace infercept
