#include "model/model_tensors.h"

#include <utility>

namespace infercept {
namespace {

class Table {
 public:
  explicit Table(const Hyperparameters& h) : h_(h) {}

  void Matrix(std::string name, uint32_t rows, uint32_t columns, PackedWeight& target) {
    places_.push_back({prefix_ + std::move(name), rows, columns, &target, nullptr});
  }
  void Vector(std::string name, uint32_t columns, const float*& target, float offset = 0) {
    places_.push_back({prefix_ + std::move(name), 1, columns, nullptr, &target, offset});
  }
  void Norm(const std::string& name, NormWeights& target) {
    Vector(name, h_.width, target.weight, h_.norm_weight_offset);
    if (h_.norm == NormKind::kLayer) Vector(name + ".bias", h_.width, target.bias);
  }

  void Layer(uint32_t layer, LayerWeights& weights) {
    prefix_ = "layers." + std::to_string(layer) + ".";
    Norm("attentionNorm", weights.attention_norm);
    Attention(weights);
    if (h_.post_norms) Norm("attentionPostNorm", weights.attention_post_norm);
    if (!h_.parallel_blocks) Norm("feedForwardNorm", weights.ffn_norm);
    if (h_.experts.count == 0) {
      FeedForwardWeights& network = weights.feed_forward;
      FeedForward("feedForward.", network.gate, network.up, network.down);
    } else {
      Experts(weights);
    }
    if (h_.post_norms) Norm("feedForwardPostNorm", weights.ffn_post_norm);
    prefix_.clear();
  }

  std::vector<TensorPlace> Take() { return std::move(places_); }

 private:
  void Attention(LayerWeights& weights) {
    const uint32_t query = h_.heads * h_.head_dim;
    const uint32_t key = h_.kv_heads * h_.head_dim;
    Matrix("attention.query", query, h_.width, weights.query);
    Matrix("attention.key", key, h_.width, weights.key);
    Matrix("attention.value", key, h_.width, weights.value);
    Matrix("attention.output", h_.width, query, weights.attention_output);
    if (h_.query_key_value_bias) {
      Vector("attention.query.bias", query, weights.query_bias);
      Vector("attention.key.bias", key, weights.key_bias);
      Vector("attention.value.bias", key, weights.value_bias);
    }
    if (h_.attention_output_bias) {
      Vector("attention.output.bias", h_.width, weights.attention_output_bias);
    }
    if (h_.query_key_norm) {
      Vector("attention.queryNorm", h_.head_dim, weights.query_norm, h_.norm_weight_offset);
      Vector("attention.keyNorm", h_.head_dim, weights.key_norm, h_.norm_weight_offset);
    }
    if (h_.attention_sinks) Vector("attention.sinks", h_.heads, weights.sinks);
  }

  void FeedForward(const std::string& name, BiasedMatrix& gate, BiasedMatrix& up,
                   BiasedMatrix& down) {
    if (h_.gated) Matrix(name + "gate", h_.ffn_width, h_.width, gate.weight);
    Matrix(name + "up", h_.ffn_width, h_.width, up.weight);
    Matrix(name + "down", h_.width, h_.ffn_width, down.weight);
    if (!h_.feed_forward_bias) return;
    if (h_.gated) Vector(name + "gate.bias", h_.ffn_width, gate.bias);
    Vector(name + "up.bias", h_.ffn_width, up.bias);
    Vector(name + "down.bias", h_.width, down.bias);
  }

  void Experts(LayerWeights& weights) {
    Matrix("router", h_.experts.count, h_.width, weights.router);
    if (h_.router_bias) Vector("router.bias", h_.experts.count, weights.router_bias);
    ExpertWeights& all = weights.experts;
    for (auto* matrices : {&all.gate, &all.up, &all.down}) matrices->resize(h_.experts.count);
    for (uint32_t e = 0; e < h_.experts.count; ++e) {
      FeedForward("experts." + std::to_string(e) + ".", all.gate[e], all.up[e], all.down[e]);
    }
  }

  const Hyperparameters& h_;
  std::string prefix_;
  std::vector<TensorPlace> places_;
};

}  // namespace

std::vector<TensorPlace> PlaceTensors(const Hyperparameters& h, Weights& weights) {
  Table table(h);
  weights.layers.resize(h.layers);
  table.Matrix(h.tied_embeddings ? "embedding" : "output", h.vocabulary_size, h.width,
               weights.output);
  if (h.output_bias) table.Vector("output.bias", h.vocabulary_size, weights.output_bias);
  table.Norm("outputNorm", weights.output_norm);
  if (h.rope.scaling.kind == RopeScaling::Kind::kFactors) {
    table.Vector("ropeFactors", h.rope.dimension / 2, weights.rope_factors);
  }
  for (uint32_t layer = 0; layer < h.layers; ++layer) table.Layer(layer, weights.layers[layer]);
  return table.Take();
}

}  // namespace infercept
