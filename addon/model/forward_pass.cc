#include "model/forward_pass.h"

#include "model/decode_graphs.h"

namespace infercept {

void ForwardPass::AddAndNorm(const NormWeights& norm, float* out) const {
  const size_t width = hyperparameters.width;
  ForRows(width, [&](size_t first, uint32_t count) {
    const ResidualNorm rows = {.added = workspace.projection + first * width,
                               .residual = workspace.residual + first * width,
                               .weight = norm.weight,
                               .epsilon = hyperparameters.norm_epsilon,
                               .out = out + first * width,
                               .bias = norm.bias};
    if (hyperparameters.norm == NormKind::kRms) {
      ops.AddRmsNorm(rows, count, hyperparameters.width);
    } else {
      ops.AddLayerNorm(rows, count, hyperparameters.width);
    }
  });
}

void ForwardPass::NormProjection(const NormWeights& norm) const {
  const size_t width = hyperparameters.width;
  ForRows(width, [&](size_t first, uint32_t count) {
    ops.RmsNorm({.x = workspace.projection + first * width,
                 .stride = width,
                 .vectors = 1,
                 .width = hyperparameters.width,
                 .weight = norm.weight,
                 .epsilon = hyperparameters.norm_epsilon},
                count);
  });
}

void ForwardPass::AddBias(const float* bias, uint32_t width, uint32_t count, float* x,
                          size_t stride) const {
  if (bias == nullptr) return;
  ForRows(count, width, [&](size_t first, uint32_t part) {
    ops.AddBias(bias, width, part, x + first * stride, stride);
  });
}

ForwardPass ForwardPass::KeepWanted() const {
  if (wanted == nullptr) return *this;
  const Hyperparameters& h = hyperparameters;
  wanted->MoveToFront(workspace.residual, h.width, stream);
  wanted->MoveToFront(workspace.qkv, size_t{h.heads + 2 * h.kv_heads} * h.head_dim, stream);
  if (h.parallel_blocks) wanted->MoveToFront(workspace.normed, h.width, stream);
  const ForwardInput rest = wanted->input();
  ops.Bind(rest.tokens, rest.positions, rest.slices, LongestContext(rest.slices));
  return {h, ops, workspace, pool, stream, rest, rope, window_tokens};
}

}  // namespace infercept
