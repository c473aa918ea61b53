#include "model/feed_forward.h"

#include <span>

namespace infercept {
namespace {

// gate = activation(gate) * up, or activation(gate) without `up`.
void Activate(const ForwardPass& pass, size_t elements) {
  const Hyperparameters& h = pass.hyperparameters;
  const Ops& ops = pass.ops;
  Workspace& w = pass.workspace;
  pass.ForElements(elements, [&](size_t first, size_t count) {
    float* gate = w.gate + first;
    const float* up = w.up + first;
    if (!h.gated) return ops.Gelu(count, gate);
    switch (h.activation) {
      case Activation::kSilu:
        return ops.SiluMultiply(gate, up, count, gate);
      case Activation::kGelu:
        return ops.GeluMultiply(gate, up, count, gate);
      case Activation::kClampedSwiglu:
        return ops.ClampedSwigluMultiply(h.swiglu, gate, up, count, gate);
    }
  });
}

// out = network(inputs), for `rows` rows.
void Network(const FeedForwardWeights& weights, const float* inputs, uint32_t rows,
             const ForwardPass& pass, float* out) {
  const Hyperparameters& h = pass.hyperparameters;
  Workspace& w = pass.workspace;
  // Without a gate, what is activated is where a gate would be.
  float* up = h.gated ? w.up : w.gate;
  const MatMulProduct products[] = {{weights.up, up, h.ffn_width},
                                    {weights.gate, w.gate, h.ffn_width}};
  pass.ops.MatMul(std::span(products, h.gated ? 2 : 1), inputs, rows, w.scratch, pass.pool);
  pass.AddBias(weights.up_bias, h.ffn_width, rows, up, h.ffn_width);
  pass.AddBias(weights.gate_bias, h.ffn_width, rows, w.gate, h.ffn_width);
  Activate(pass, size_t{rows} * h.ffn_width);
  pass.ops.MatMul({weights.down, out, h.width}, w.gate, rows, w.scratch, pass.pool);
  pass.AddBias(weights.down_bias, h.width, rows, out, h.width);
}

// Which experts each row takes, and with what weight.
void Route(const LayerWeights& weights, const ForwardPass& pass) {
  const ExpertSpec& experts = pass.hyperparameters.experts;
  Workspace& w = pass.workspace;
  const uint32_t rows = pass.rows();
  pass.ops.MatMul({weights.router, w.expert_scores, experts.count}, w.normed, rows, w.scratch,
                  pass.pool);
  pass.AddBias(weights.router_bias, experts.count, rows, w.expert_scores, experts.count);
  pass.ForRows(rows, size_t{experts.count} * experts.used, [&](size_t first, uint32_t count) {
    pass.ops.ChooseExperts({.scores = w.expert_scores + first * experts.count,
                            .experts = experts.count,
                            .used = experts.used,
                            .normalized = experts.normalized,
                            .chosen = w.expert_rows.chosen() + first * experts.used,
                            .weights = w.expert_weights + first * experts.used},
                           count);
  });
  w.expert_rows.Assign(rows, experts.used);
}

// Each expert computes all rows that chose it at once; a row's outputs are added in the order of
// its own choice, whatever else is in the step.
void Experts(const LayerWeights& weights, const ForwardPass& pass, float* out) {
  const Hyperparameters& h = pass.hyperparameters;
  Workspace& w = pass.workspace;
  Route(weights, pass);
  const size_t width = h.width;
  const ExpertRows& chosen = w.expert_rows;
  const WeightView normed = {DType::kF32, reinterpret_cast<const std::byte*>(w.normed), pass.rows(),
                             h.width};
  const std::span<const TokenId> rows = chosen.rows();
  pass.ForRows(rows.size(), width, [&](size_t first, uint32_t count) {
    pass.ops.Embed(normed, rows.subspan(first, count), w.expert_inputs + first * width);
  });
  for (uint32_t e = 0; e < h.experts.count; ++e) {
    const size_t first = chosen.begin(e) * width;
    const uint32_t count = chosen.begin(e + 1) - chosen.begin(e);
    if (count == 0) continue;
    Network(weights.experts[e], w.expert_inputs + first, count, pass, w.expert_outputs + first);
  }
  const uint32_t used = h.experts.used;
  pass.ForRows(pass.rows(), width * used, [&](size_t first, uint32_t count) {
    pass.ops.MixRows(w.expert_outputs, chosen.places() + first * used,
                     w.expert_weights + first * used, used, count, h.width, out + first * width);
  });
}

}  // namespace

void FeedForward(const LayerWeights& weights, const ForwardPass& pass, float* out) {
  if (pass.hyperparameters.experts.count != 0) return Experts(weights, pass, out);
  Network(weights.feed_forward, pass.workspace.normed, pass.rows(), pass, out);
}

}  // namespace infercept
