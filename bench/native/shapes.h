// Models by their true shapes, and types of weights by name.
#pragma once

#include <string>

#include "base/dtype.h"
#include "model/model_spec.h"

namespace infercept::bench {

// "tiny" (54 million parameters: a step takes a processor milliseconds), "1b", "gpt-j-6b",
// "vicuna-13b", "llama3-8b", "llama3-70b". Throws for any other name.
Hyperparameters ShapeNamed(const std::string& name);
// "bf16", "q8_0", ... Throws for any other name.
DType TypeNamed(const std::string& name);

// Weights that each token is multiplied with: all matrices but the embedding.
size_t StepWeights(const Hyperparameters& hyperparameters);

}  // namespace infercept::bench
