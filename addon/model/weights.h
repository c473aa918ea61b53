// The weights of a loaded model in the form that kernels take.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "device/arena.h"
#include "kernels/ops.h"
#include "model/model_spec.h"
#include "model/tensor_source.h"

namespace infercept {

// One layer. Shapes are in lib/model-spec.ts; what an architecture does not have stays empty.
struct LayerWeights {
  const float* attention_norm = nullptr;  // [width]
  PackedWeight query;                     // [heads * head_dim][width]
  PackedWeight key;                       // [kv_heads * head_dim][width]
  PackedWeight value;                     // [kv_heads * head_dim][width]
  PackedWeight attention_output;          // [width][heads * head_dim]
  const float* ffn_norm = nullptr;        // [width]
  PackedWeight gate;                      // [ffn_width][width]
  PackedWeight up;                        // [ffn_width][width]
  PackedWeight down;                      // [width][ffn_width]
};

// A tensor that every layer of an architecture has, and where it goes: exactly one of the members
// is set.
struct LayerTensor {
  std::string_view name;  // after "layers.N."
  uint32_t rows = 0;
  uint32_t columns = 0;
  PackedWeight LayerWeights::*matrix = nullptr;
  const float* LayerWeights::*vector = nullptr;
};

struct Weights {
  WeightView embedding;                 // [vocabulary_size][width], read in place
  const float* output_norm = nullptr;   // [width]
  PackedWeight output;                  // [vocabulary_size][width]
  const float* rope_factors = nullptr;  // [dimension / 2], only with RopeScaling::Kind::kFactors
  std::vector<LayerWeights> layers;

  // Owners of what the members above point to.
  std::unique_ptr<TensorSource> source;
  Arena packed;
  std::vector<std::vector<float>> vectors;
};

// Called at least every few megabytes, and when all is loaded; false cancels.
using LoadProgress = std::function<bool(uint64_t loaded_bytes, uint64_t total_bytes)>;

// Reads and packs all tensors. A matrix whose packed layout is the file's is used where it is
// mapped. kModelFormat: a tensor is missing, has another shape, or its window is wrong;
// kOutOfMemory; kAborted.
Result<Weights> LoadWeights(const ModelSpec& spec, const std::vector<LayerTensor>& layer_tensors,
                            std::unique_ptr<TensorSource> source, const Ops& ops,
                            const LoadProgress& progress, ThreadPool& pool);

}  // namespace infercept
