// The Llama architecture (Touvron et al. 2023; Grattafiori et al. 2024): pre-norm transformer
// layers with rotary embedding, grouped-query attention and a SwiGLU feed-forward network, no
// biases.
#pragma once

#include <vector>

#include "model/architecture.h"

namespace infercept {

std::vector<LayerTensor> LlamaLayerTensors(const Hyperparameters& hyperparameters);

void LlamaLayer(const LayerWeights& weights, const PagedKv& cache, const ForwardPass& pass);

}  // namespace infercept
