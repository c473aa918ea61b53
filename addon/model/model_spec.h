// What it takes to map a model's files and run it: the C++ twin of lib/model-spec.ts, which
// documents every field. TypeScript reads the untrusted headers into it; whoever uses an offset or
// a shape checks it again.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/tensor_spec.h"

namespace infercept {

struct RopeScaling {
  enum class Kind : uint8_t { kNone, kLinear, kLlama3, kFactors };
  Kind kind = Kind::kNone;
  double factor = 1;  // kLinear, kLlama3
  // kLlama3 only.
  double low_frequency_factor = 1;
  double high_frequency_factor = 4;
  double original_context_tokens = 8192;
};

struct RopeSpec {
  uint32_t dimension = 0;  // leading elements of each head that are rotated: even, at most head_dim
  double base = 10000;
  RopeScaling scaling;
  // Pairs (2i, 2i+1) as in GGUF; else (i, i + dimension/2) as in Hugging Face files.
  bool interleaved = false;
};

struct Hyperparameters {
  uint32_t layers = 0;
  uint32_t width = 0;  // of the residual stream
  uint32_t heads = 0;
  uint32_t kv_heads = 0;  // divides heads
  uint32_t head_dim = 0;
  uint32_t ffn_width = 0;
  uint32_t vocabulary_size = 0;
  uint32_t context_tokens = 0;  // the longest context that the model was made for
  float norm_epsilon = 1e-5f;
  RopeSpec rope;
  bool tied_embeddings = false;
};

struct ModelSpec {
  std::string architecture = "llama";
  Hyperparameters hyperparameters;
  std::vector<std::string> files;   // absolute paths
  std::vector<TensorSpec> tensors;  // exactly those that the architecture's table names
};

}  // namespace infercept
