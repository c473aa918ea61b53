#include "model/feed_forward.h"

#include <span>

namespace infercept {
namespace {

// hidden = activation(gate) * up, or activation(up) without a gate.
void Activate(const Hyperparameters& h, const ForwardPass& pass, size_t elements) {
  Workspace& w = pass.workspace;
  pass.ForElements(elements, [&](size_t first, size_t count) {
    if (!h.gated) return pass.ops.Gelu(count, w.gate + first);
    if (h.activation == Activation::kSilu) {
      pass.ops.SiluMultiply(w.gate + first, w.up + first, count, w.gate + first);
    } else {
      pass.ops.GeluMultiply(w.gate + first, w.up + first, count, w.gate + first);
    }
  });
}

// out = down * hidden(inputs), for `rows` rows of inputs.
void Network(const FeedForwardWeights& weights, const float* inputs, const ForwardPass& pass,
             float* out) {
  const Hyperparameters& h = pass.hyperparameters;
  Workspace& w = pass.workspace;
  const uint32_t rows = pass.rows();
  // Without a gate, what is activated is where a gate would be.
  const MatMulProduct products[] = {{weights.up, h.gated ? w.up : w.gate, h.ffn_width},
                                    {weights.gate, w.gate, h.ffn_width}};
  pass.ops.MatMul(std::span(products, h.gated ? 2 : 1), inputs, rows, w.scratch, pass.pool);
  pass.AddBias(weights.up_bias, h.ffn_width, h.gated ? w.up : w.gate, h.ffn_width);
  pass.AddBias(weights.gate_bias, h.ffn_width, w.gate, h.ffn_width);
  Activate(h, pass, size_t{rows} * h.ffn_width);
  pass.ops.MatMul({weights.down, out, h.width}, w.gate, rows, w.scratch, pass.pool);
  pass.AddBias(weights.down_bias, h.width, out, h.width);
}

}  // namespace

void FeedForward(const LayerWeights& weights, const ForwardPass& pass, float* out) {
  Network(weights.feed_forward, pass.workspace.normed, pass, out);
}

}  // namespace infercept
