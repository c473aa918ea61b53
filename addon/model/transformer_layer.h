// One layer of a decoder: attention with rotary positions, and a feed-forward network, each on the
// normalized residual stream. What sets model families apart is a fact of Hyperparameters; none is
// known by name here.
#pragma once

#include "kernels/tensor_view.h"
#include "model/forward_pass.h"
#include "model/weights.h"

namespace infercept {

// Takes the residual stream, which is workspace.residual + workspace.projection, one layer further,
// and stores the layer's keys and values in `cache`. What the layer's last block computed stays in
// projection: whoever reads the stream next adds it.
void TransformerLayer(const LayerWeights& weights, const PagedKv& cache, const ForwardPass& pass);

}  // namespace infercept
