#include "model/architecture.h"

#include "model/llama.h"

namespace infercept {
namespace {

constexpr Architecture kArchitectures[] = {
    {.name = "llama", .layer_tensors = LlamaLayerTensors, .forward_layer = LlamaLayer},
};

}  // namespace

void ForwardPass::AddAndNorm(const float* weight, float* out) const {
  const size_t width = hyperparameters.width;
  ForRows(width, [&](size_t first, uint32_t count) {
    ops.AddRmsNorm({.added = workspace.projection + first * width,
                    .residual = workspace.residual + first * width,
                    .weight = weight,
                    .epsilon = hyperparameters.norm_epsilon,
                    .out = out + first * width},
                   count, hyperparameters.width);
  });
}

ForwardPass ForwardPass::KeepWanted() const {
  if (wanted == nullptr) return *this;
  const Hyperparameters& h = hyperparameters;
  wanted->MoveToFront(workspace.residual, h.width);
  wanted->MoveToFront(workspace.qkv, size_t{h.heads + 2 * h.kv_heads} * h.head_dim);
  return {h, ops, rope, workspace, pool, wanted->input()};
}

const Architecture* FindArchitecture(std::string_view name) {
  for (const Architecture& architecture : kArchitectures) {
    if (architecture.name == name) return &architecture;
  }
  return nullptr;
}

}  // namespace infercept
