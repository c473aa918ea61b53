// The table of a model's tensors: which there are, their shapes, and where they go.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/model_spec.h"
#include "model/weights.h"

namespace infercept {

// Exactly one of `matrix` and `vector` is set. A vector has one row.
struct TensorPlace {
  std::string name;  // canonical, as in TensorSpec
  uint32_t rows = 0;
  uint32_t columns = 0;
  PackedWeight* matrix = nullptr;
  const float** vector = nullptr;
  float offset = 0;  // added to a vector's values
};

// All but the embedding's rows as they are looked up; with tied embeddings the output matrix is
// "embedding". Resizes weights.layers; places stay valid as long as nobody else does.
std::vector<TensorPlace> PlaceTensors(const Hyperparameters& hyperparameters, Weights& weights);

}  // namespace infercept
