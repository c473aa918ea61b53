// What it takes to map a model's files and run it: the C++ twin of lib/model-spec.ts, which
// documents every field. TypeScript reads the untrusted headers into it; whoever uses an offset or
// a shape checks it again.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/tensor_spec.h"
#include "kernels/ops.h"

namespace infercept {

struct RopeScaling {
  enum class Kind : uint8_t { kNone, kLinear, kLlama3, kDynamic, kFactors, kYarn, kLongRope };
  Kind kind = Kind::kNone;
  double factor = 1;  // kLinear, kLlama3, kDynamic, kYarn
  // kLlama3 only.
  double low_frequency_factor = 1;
  double high_frequency_factor = 4;
  double original_context_tokens = 8192;  // kLlama3, kDynamic, kYarn, kLongRope
  // kYarn: pairs that turn more than fast_turns times over the original context stay, those that
  // turn less than slow_turns times are stretched.
  double fast_turns = 32;
  double slow_turns = 1;
  bool whole_pairs = true;  // kYarn: the first and last pair between them are rounded outwards
  // kYarn, kLongRope: what cosines and sines are multiplied by.
  double amplitude = 1;
  // kLongRope: [dimension / 2] each; the long ones for contexts beyond the original.
  std::vector<double> short_factors = {};
  std::vector<double> long_factors = {};
};

struct RopeSpec {
  uint32_t dimension = 0;  // leading elements of each head that are rotated: even, at most head_dim
  double base = 10000;
  RopeScaling scaling;
  // Pairs (2i, 2i+1) as in GGUF; else (i, i + dimension/2) as in Hugging Face files.
  bool interleaved = false;
};

enum class NormKind : uint8_t { kRms, kLayer };

enum class Activation : uint8_t { kSilu, kGelu, kClampedSwiglu };

// A feed-forward network for each token, chosen by a router.
struct ExpertSpec {
  uint32_t count = 0;      // 0: one network for all
  uint32_t used = 0;       // for each token
  bool normalized = true;  // ExpertChoice
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

  NormKind norm = NormKind::kRms;
  float norm_weight_offset = 0;  // added to the weights of all norms
  bool post_norms = false;       // what a block computed is normalized before it is added
  bool query_key_norm = false;   // so is every head of queries and keys before it is rotated
  bool parallel_blocks = false;  // the feed-forward network reads what attention reads
  bool query_key_value_bias = false;
  bool attention_output_bias = false;
  bool feed_forward_bias = false;
  bool output_bias = false;
  bool gated = true;  // else the feed-forward network has no gate
  Activation activation = Activation::kSilu;
  ClampedSwiglu swiglu = {};  // only of Activation::kClampedSwiglu
  ExpertSpec experts = {};    // of every layer; each is ffn_width wide
  bool router_bias = false;
  float embedding_scale = 1;
  float attention_scale = 0;     // of dot products; 0: 1 / sqrt(head_dim)
  float attention_soft_cap = 0;  // AttentionRules; 0: none
  float logit_soft_cap = 0;      // likewise of the logits
  bool attention_sinks = false;
  std::vector<uint32_t> windows = {};  // [layers] AttentionRules::window_tokens; empty: none
  std::optional<RopeSpec> window_rope =
      std::nullopt;  // of layers with a window, where it is another one
};

struct ModelSpec {
  std::string architecture = "llama";  // the family's name, for people
  Hyperparameters hyperparameters;
  std::vector<std::string> files;   // absolute paths
  std::vector<TensorSpec> tensors;  // exactly those of the table in model_tensors.h
};

}  // namespace infercept
