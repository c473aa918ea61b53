#include "model/transformer_layer.h"

#include <algorithm>
#include <initializer_list>

#include "model/feed_forward.h"

namespace infercept {
namespace {

// Where query, key and value of one token stand in workspace.qkv, in floats.
struct QkvLayout {
  explicit QkvLayout(const Hyperparameters& h)
      : key(size_t{h.heads} * h.head_dim),
        value(key + size_t{h.kv_heads} * h.head_dim),
        stride(value + size_t{h.kv_heads} * h.head_dim) {}

  size_t key;
  size_t value;
  size_t stride;
};

// The part of a slice that lies in the rows [first, first + count); may be empty.
AttentionSlice Intersect(const AttentionSlice& slice, size_t first, size_t count) {
  const auto begin = std::max(slice.first_row, static_cast<uint32_t>(first));
  const auto end = std::min(slice.first_row + slice.rows, static_cast<uint32_t>(first + count));
  return {.first_row = begin,
          .rows = end > begin ? end - begin : 0,
          .first_position = slice.first_position + (begin - slice.first_row),
          .block_table = slice.block_table};
}

// The products of some matrices with the same inputs.
void MatMul(std::initializer_list<MatMulProduct> products, const float* x,
            const ForwardPass& pass) {
  pass.ops.MatMul(std::span(products.begin(), products.size()), x, pass.rows(),
                  pass.workspace.scratch, pass.pool);
}

// Stores keys and values of the rows [first, first + count).
void WriteKv(const QkvLayout& layout, size_t first, size_t count, const PagedKv& cache,
             const ForwardPass& pass) {
  const float* qkv = pass.workspace.qkv;
  if (count == pass.rows()) {
    pass.ops.WriteKv(qkv + layout.key, qkv + layout.value, layout.stride, pass.input.slices, cache);
    return;
  }
  for (const AttentionSlice& slice : pass.input.slices) {
    const AttentionSlice part = Intersect(slice, first, count);
    pass.ops.WriteKv(qkv + layout.key, qkv + layout.value, layout.stride, {&part, 1}, cache);
  }
}

// Each head of queries and keys is normalized (Dehghani et al. 2023).
void NormHeads(const LayerWeights& weights, const QkvLayout& layout, size_t first, uint32_t count,
               const ForwardPass& pass) {
  const Hyperparameters& h = pass.hyperparameters;
  float* row = pass.workspace.qkv + first * layout.stride;
  const auto norm = [&](float* x, uint32_t heads, const float* weight) {
    pass.ops.RmsNorm({x, layout.stride, heads, h.head_dim, weight, h.norm_epsilon}, count);
  };
  norm(row, h.heads, weights.query_norm);
  norm(row + layout.key, h.kv_heads, weights.key_norm);
}

// qkv = rope(query), rope(key), value; keys and values are stored.
void QkvBlock(const LayerWeights& weights, const PagedKv& cache, const ForwardPass& pass) {
  const Hyperparameters& h = pass.hyperparameters;
  const QkvLayout layout(h);
  Workspace& w = pass.workspace;
  MatMul({{weights.query, w.qkv, layout.stride},
          {weights.key, w.qkv + layout.key, layout.stride},
          {weights.value, w.qkv + layout.value, layout.stride}},
         w.normed, pass);
  const uint32_t key_width = h.kv_heads * h.head_dim;
  pass.AddBias(weights.query_bias, h.heads * h.head_dim, pass.rows(), w.qkv, layout.stride);
  pass.AddBias(weights.key_bias, key_width, pass.rows(), w.qkv + layout.key, layout.stride);
  pass.AddBias(weights.value_bias, key_width, pass.rows(), w.qkv + layout.value, layout.stride);
  // Keys follow the queries, so one call rotates the heads of both.
  pass.ForRows(layout.stride, [&](size_t first, uint32_t count) {
    if (h.query_key_norm) NormHeads(weights, layout, first, count, pass);
    pass.ops.Rope(w.qkv + first * layout.stride, layout.stride,
                  pass.input.positions.subspan(first, count), h.heads + h.kv_heads, h.head_dim,
                  pass.rope);
    WriteKv(layout, first, count, cache, pass);
  });
}

// projection = attention_output * attention(query, stored keys and values)
void AttentionBlock(const LayerWeights& weights, const PagedKv& cache, const ForwardPass& pass) {
  const Hyperparameters& h = pass.hyperparameters;
  const QkvLayout layout(h);
  Workspace& w = pass.workspace;
  const AttentionRules rules = {.scale = h.attention_scale,
                                .soft_cap = h.attention_soft_cap,
                                .window_tokens = pass.window_tokens,
                                .sinks = weights.sinks};
  pass.ops.Attention(w.qkv, layout.stride, pass.input.slices, h.heads, cache, rules, w.attention,
                     layout.key, w.scratch, pass.pool);
  MatMul({{weights.attention_output, w.projection, h.width}}, w.attention, pass);
  pass.AddBias(weights.attention_output_bias, h.width, pass.rows(), w.projection, h.width);
}

// Both blocks read the same normalized stream: projection = attention + network.
void ParallelFeedForward(const LayerWeights& weights, const ForwardPass& pass) {
  Workspace& w = pass.workspace;
  FeedForward(weights, pass, w.normed);
  pass.ForElements(size_t{pass.rows()} * pass.hyperparameters.width,
                   [&](size_t first, size_t count) {
                     pass.ops.Add(w.normed + first, count, w.projection + first);
                   });
}

}  // namespace

void TransformerLayer(const LayerWeights& weights, const PagedKv& cache, const ForwardPass& pass) {
  const Hyperparameters& h = pass.hyperparameters;
  Workspace& w = pass.workspace;
  pass.AddAndNorm(weights.attention_norm, w.normed);
  QkvBlock(weights, cache, pass);
  const ForwardPass rest = pass.KeepWanted();
  AttentionBlock(weights, cache, rest);
  if (h.parallel_blocks) return ParallelFeedForward(weights, rest);
  if (h.post_norms) rest.NormProjection(weights.attention_post_norm);
  rest.AddAndNorm(weights.ffn_norm, w.normed);
  FeedForward(weights, rest, w.projection);
  if (h.post_norms) rest.NormProjection(weights.ffn_post_norm);
}

}  // namespace infercept
