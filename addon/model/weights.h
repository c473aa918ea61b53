// The weights of a loaded model in the form that kernels take.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "device/cpu_device.h"
#include "kernels/ops.h"
#include "model/model_spec.h"
#include "model/tensor_source.h"

namespace infercept {

// Of one norm: [width] each.
struct NormWeights {
  const float* weight = nullptr;
  const float* bias = nullptr;  // only of NormKind::kLayer
};

// A feed-forward network.
struct FeedForwardWeights {
  BiasedMatrix gate;  // [ffn_width][width]
  BiasedMatrix up;    // [ffn_width][width]
  BiasedMatrix down;  // [width][ffn_width]
};

// The same of every expert: [experts] each.
struct ExpertWeights {
  std::vector<BiasedMatrix> gate;
  std::vector<BiasedMatrix> up;
  std::vector<BiasedMatrix> down;
};

// One layer. What a model does not have stays empty.
struct LayerWeights {
  NormWeights attention_norm;
  PackedWeight query;             // [heads * head_dim][width]
  PackedWeight key;               // [kv_heads * head_dim][width]
  PackedWeight value;             // [kv_heads * head_dim][width]
  PackedWeight attention_output;  // [width][heads * head_dim]
  const float* query_bias = nullptr;
  const float* key_bias = nullptr;
  const float* value_bias = nullptr;
  const float* attention_output_bias = nullptr;
  const float* query_norm = nullptr;  // [head_dim]
  const float* key_norm = nullptr;    // [head_dim]
  const float* sinks = nullptr;       // [heads]
  NormWeights attention_post_norm;
  NormWeights ffn_norm;
  FeedForwardWeights feed_forward;  // empty with experts
  PackedWeight router;              // [experts][width]
  const float* router_bias = nullptr;
  ExpertWeights experts;
  NormWeights ffn_post_norm;
};

struct Weights {
  // [vocabulary_size][width] As Ops::Embed takes it: read in place, or packed.
  WeightView embedding;
  NormWeights output_norm;
  PackedWeight output;                  // [vocabulary_size][width]
  const float* output_bias = nullptr;   // [vocabulary_size]
  const float* rope_factors = nullptr;  // [dimension / 2], only with RopeScaling::Kind::kFactors
  std::vector<LayerWeights> layers;

  // Owners of what the members above point to. On another device than the host all of it is in
  // `packed`, but for rope_factors, which the host reads.
  std::unique_ptr<TensorSource> source;
  Arena packed;
  std::vector<std::vector<float>> vectors;
};

// Called at least every few megabytes, and when all is loaded; false cancels.
using LoadProgress = std::function<bool(uint64_t loaded_bytes, uint64_t total_bytes)>;

// Reads and packs all tensors, into memory of the device that the ops compute on. On the CPU a
// matrix whose packed layout is the file's is used where it is mapped; to another device pieces are
// copied while the next ones are packed. kModelFormat: a tensor is missing, has another shape, is
// none of the model's, or its window is wrong; kOutOfMemory; kDevice; kAborted.
Result<Weights> LoadWeights(const ModelSpec& spec, std::unique_ptr<TensorSource> source,
                            const Ops& ops, const LoadProgress& progress, ThreadPool& pool,
                            Device& device = CpuDevice(), Stream& stream = CpuStream());

}  // namespace infercept
