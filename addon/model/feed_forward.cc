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

// out = network(normed).
void Network(const FeedForwardWeights& weights, const ForwardPass& pass, float* out) {
  const Hyperparameters& h = pass.hyperparameters;
  Workspace& w = pass.workspace;
  const uint32_t rows = pass.rows();
  // Without a gate, what is activated is where a gate would be.
  float* up = h.gated ? w.up : w.gate;
  const MatMulProduct products[] = {{weights.up.weight, up, h.ffn_width},
                                    {weights.gate.weight, w.gate, h.ffn_width}};
  pass.ops.MatMul(std::span(products, h.gated ? 2 : 1), w.normed, rows, w.scratch, pass.pool);
  pass.AddBias(weights.up.bias, h.ffn_width, rows, up, h.ffn_width);
  pass.AddBias(weights.gate.bias, h.ffn_width, rows, w.gate, h.ffn_width);
  Activate(pass, size_t{rows} * h.ffn_width);
  pass.ops.MatMul({weights.down.weight, out, h.width}, w.gate, rows, w.scratch, pass.pool);
  pass.AddBias(weights.down.bias, h.width, rows, out, h.width);
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
                            .chosen = w.expert_places.chosen + first * experts.used,
                            .weights = w.expert_weights + first * experts.used},
                           count);
  });
  pass.ops.AssignPlaces(w.expert_places, rows);
}

// Each expert computes all rows that chose it at once; a row's outputs are added in the order of
// its own choice, whatever else is in the step.
void Experts(const ExpertWeights& weights, const ForwardPass& pass, float* out) {
  const Hyperparameters& h = pass.hyperparameters;
  Workspace& w = pass.workspace;
  const ExpertPlaces& places = w.expert_places;
  const uint32_t used = h.experts.used;
  const auto multiply = [&](std::span<const ExpertProduct> products, const float* x,
                            const uint32_t* rows) {
    pass.ops.MatMulExperts(
        {.products = products, .places = places, .tokens = pass.rows(), .x = x, .rows = rows},
        w.scratch, pass.pool);
  };
  const ExpertProduct first[] = {{weights.up, h.gated ? w.up : w.gate}, {weights.gate, w.gate}};
  multiply(std::span(first, h.gated ? 2 : 1), w.normed, places.rows);
  Activate(pass, size_t{pass.rows()} * used * h.ffn_width);
  const ExpertProduct second[] = {{weights.down, w.expert_outputs}};
  multiply(second, w.gate, nullptr);
  pass.ForRows(pass.rows(), size_t{h.width} * used, [&](size_t row, uint32_t count) {
    pass.ops.MixRows({.x = w.expert_outputs,
                      .places = places.places + row * used,
                      .weights = w.expert_weights + row * used,
                      .used = used,
                      .width = h.width,
                      .out = out + row * h.width},
                     count);
  });
}

}  // namespace

void FeedForward(const LayerWeights& weights, const ForwardPass& pass, float* out) {
  if (pass.hyperparameters.experts.count == 0) return Network(weights.feed_forward, pass, out);
  Route(weights, pass);
  Experts(weights.experts, pass, out);
}

}  // namespace infercept
