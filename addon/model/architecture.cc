#include "model/architecture.h"

#include "model/llama.h"

namespace infercept {
namespace {

constexpr Architecture kArchitectures[] = {
    {.name = "llama", .layer_tensors = LlamaLayerTensors, .forward_layer = LlamaLayer},
};

}  // namespace

void ForwardPass::Norm(const float* x, const float* weight, float* out) const {
  const size_t width = hyperparameters.width;
  ForRows([&](uint32_t first, uint32_t count) {
    ops.RmsNorm(x + first * width, weight, hyperparameters.norm_epsilon, count,
                hyperparameters.width, out + first * width);
  });
}

void ForwardPass::AddTo(float* x, const float* y) const {
  const size_t width = hyperparameters.width;
  ForRows([&](uint32_t first, uint32_t count) {
    ops.Add(y + first * width, count * width, x + first * width);
  });
}

const Architecture* FindArchitecture(std::string_view name) {
  for (const Architecture& architecture : kArchitectures) {
    if (architecture.name == name) return &architecture;
  }
  return nullptr;
}

}  // namespace infercept
