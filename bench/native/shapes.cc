#include "shapes.h"

#include <stdexcept>
#include <string_view>

namespace infercept::bench {
namespace {

Hyperparameters Llama(uint32_t layers, uint32_t width, uint32_t heads, uint32_t kv_heads,
                      uint32_t ffn_width) {
  const uint32_t head_dim = width / heads;
  return {.layers = layers,
          .width = width,
          .heads = heads,
          .kv_heads = kv_heads,
          .head_dim = head_dim,
          .ffn_width = ffn_width,
          .vocabulary_size = 32000,
          .context_tokens = 4096,
          .rope = {.dimension = head_dim, .base = 10000, .scaling = {}, .interleaved = true}};
}

Hyperparameters Llama3(uint32_t layers, uint32_t width, uint32_t heads, uint32_t ffn_width) {
  Hyperparameters h = Llama(layers, width, heads, 8, ffn_width);
  h.vocabulary_size = 128256;
  h.context_tokens = 8192;
  h.rope.base = 500000;
  return h;
}

Hyperparameters Tiny() {
  Hyperparameters h = Llama(8, 768, 12, 4, 2048);
  h.vocabulary_size = 8192;
  h.context_tokens = 2048;
  return h;
}

// Attention and feed-forward network side by side after one norm, heads of 256 values of which 64
// are rotated, biases everywhere but in attention.
Hyperparameters GptJ() {
  Hyperparameters h = Llama(28, 4096, 16, 16, 16384);
  h.vocabulary_size = 50400;
  h.context_tokens = 2048;
  h.rope.dimension = 64;
  h.norm = NormKind::kLayer;
  h.parallel_blocks = true;
  h.feed_forward_bias = true;
  h.output_bias = true;
  h.gated = false;
  h.activation = Activation::kGelu;
  return h;
}

}  // namespace

Hyperparameters ShapeNamed(const std::string& name) {
  if (name == "tiny") return Tiny();
  if (name == "1b") return Llama(22, 2048, 32, 4, 5632);
  if (name == "gpt-j-6b") return GptJ();
  if (name == "vicuna-13b") return Llama(40, 5120, 40, 40, 13824);
  if (name == "llama3-8b") return Llama3(32, 4096, 32, 14336);
  if (name == "llama3-70b") return Llama3(80, 8192, 64, 28672);
  throw std::runtime_error("there is no shape " + name +
                           "; there are tiny, 1b, gpt-j-6b, vicuna-13b, llama3-8b and llama3-70b");
}

DType TypeNamed(const std::string& name) {
  for (const DTypeTraits& traits : kDTypeTraits) {
    if (traits.name == name) return traits.dtype;
  }
  throw std::runtime_error("no type of weights is called " + name);
}

size_t StepWeights(const Hyperparameters& h) {
  const size_t heads = size_t{2} * h.heads + size_t{2} * h.kv_heads;
  const size_t layer = h.width * (heads * h.head_dim + (h.gated ? 3 : 2) * size_t{h.ffn_width});
  return h.layers * layer + size_t{h.vocabulary_size} * h.width;
}

}  // namespace infercept::bench
