#include "model/llama.h"

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

// The products of some matrices with the same inputs.
void MatMul(std::initializer_list<MatMulProduct> products, const float* x,
            const ForwardPass& pass) {
  pass.ops.MatMul(std::span(products.begin(), products.size()), x, pass.rows(),
                  pass.workspace.scratch, pass.pool);
}

// projection = attention_output * attention(rope(query), rope(key), value)
void AttentionBlock(const LayerWeights& weights, const PagedKv& cache, const ForwardPass& pass) {
  const Hyperparameters& h = pass.hyperparameters;
  const QkvLayout layout(h);
  Workspace& w = pass.workspace;
  MatMul({{weights.query, w.qkv, layout.stride},
          {weights.key, w.qkv + layout.key, layout.stride},
          {weights.value, w.qkv + layout.value, layout.stride}},
         w.normed, pass);
  // Keys follow the queries, so one call rotates the heads of both.
  pass.ForRows([&](uint32_t first, uint32_t count) {
    pass.ops.Rope(w.qkv + first * layout.stride, layout.stride,
                  pass.input.positions.subspan(first, count), h.heads + h.kv_heads, h.head_dim,
                  pass.rope);
  });
  pass.ops.WriteKv(w.qkv + layout.key, w.qkv + layout.value, layout.stride, pass.input.slices,
                   cache);
  const float scale = 1.0f / std::sqrt(static_cast<float>(h.head_dim));
  pass.ops.Attention(w.qkv, layout.stride, pass.input.slices, h.heads, cache, scale, w.attention,
                     layout.key, w.scratch, pass.pool);
  MatMul({{weights.attention_output, w.projection, h.width}}, w.attention, pass);
}

// projection = down * (silu(gate * x) * (up * x))
void FeedForwardBlock(const LayerWeights& weights, const ForwardPass& pass) {
  const size_t ffn_width = pass.hyperparameters.ffn_width;
  Workspace& w = pass.workspace;
  MatMul({{weights.gate, w.gate, ffn_width}, {weights.up, w.up, ffn_width}}, w.normed, pass);
  pass.ForRows([&](uint32_t first, uint32_t count) {
    float* gate = w.gate + first * ffn_width;
    pass.ops.SiluMultiply(gate, w.up + first * ffn_width, count * ffn_width, gate);
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
  Workspace& w = pass.workspace;
  pass.Norm(w.residual, weights.attention_norm, w.normed);
  AttentionBlock(weights, cache, pass);
  pass.AddTo(w.residual, w.projection);
  pass.Norm(w.residual, weights.ffn_norm, w.normed);
  FeedForwardBlock(weights, pass);
  pass.AddTo(w.residual, w.projection);
}

}  // namespace infercept
