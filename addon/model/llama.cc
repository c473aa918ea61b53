#include "model/llama.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>

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
  for (const AttentionSlice& slice : pass.input.slices) {
    const AttentionSlice part = Intersect(slice, first, count);
    pass.ops.WriteKv(qkv + layout.key, qkv + layout.value, layout.stride, {&part, 1}, cache);
  }
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
  // Keys follow the queries, so one call rotates the heads of both.
  pass.ForRows(layout.stride, [&](size_t first, size_t count) {
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
  const float scale = 1.0f / std::sqrt(static_cast<float>(h.head_dim));
  pass.ops.Attention(w.qkv, layout.stride, pass.input.slices, h.heads, cache, {.scale = scale},
                     w.attention, layout.key, w.scratch, pass.pool);
  MatMul({{weights.attention_output, w.projection, h.width}}, w.attention, pass);
}

// projection = down * (silu(gate * x) * (up * x))
void FeedForwardBlock(const LayerWeights& weights, const ForwardPass& pass) {
  const size_t ffn_width = pass.hyperparameters.ffn_width;
  Workspace& w = pass.workspace;
  MatMul({{weights.gate, w.gate, ffn_width}, {weights.up, w.up, ffn_width}}, w.normed, pass);
  pass.ForElements(pass.rows() * ffn_width, [&](size_t first, size_t count) {
    pass.ops.SiluMultiply(w.gate + first, w.up + first, count, w.gate + first);
  });
  MatMul({{weights.down, w.projection, pass.hyperparameters.width}}, w.gate, pass);
}

}  // namespace

std::vector<LayerTensor> LlamaLayerTensors(const Hyperparameters& h) {
  const uint32_t query = h.heads * h.head_dim;
  const uint32_t key = h.kv_heads * h.head_dim;
  return {
      {"attentionNorm", 1, h.width, nullptr, &LayerWeights::attention_norm},
      {"attention.query", query, h.width, &LayerWeights::query, nullptr},
      {"attention.key", key, h.width, &LayerWeights::key, nullptr},
      {"attention.value", key, h.width, &LayerWeights::value, nullptr},
      {"attention.output", h.width, query, &LayerWeights::attention_output, nullptr},
      {"feedForwardNorm", 1, h.width, nullptr, &LayerWeights::ffn_norm},
      {"feedForward.gate", h.ffn_width, h.width, &LayerWeights::gate, nullptr},
      {"feedForward.up", h.ffn_width, h.width, &LayerWeights::up, nullptr},
      {"feedForward.down", h.width, h.ffn_width, &LayerWeights::down, nullptr},
  };
}

void LlamaLayer(const LayerWeights& weights, const PagedKv& cache, const ForwardPass& pass) {
  float* normed = pass.workspace.normed;
  pass.AddAndNorm(weights.attention_norm, normed);
  QkvBlock(weights, cache, pass);
  const ForwardPass rest = pass.KeepWanted();
  AttentionBlock(weights, cache, rest);
  rest.AddAndNorm(weights.ffn_norm, normed);
  FeedForwardBlock(weights, rest);
}

}  // namespace infercept
