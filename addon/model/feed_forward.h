// The feed-forward network of a layer: one for all tokens, or a choice of experts for each.
#pragma once

#include "model/forward_pass.h"
#include "model/weights.h"

namespace infercept {

// out = network(workspace.normed), [rows][width]. `out` may be normed.
void FeedForward(const LayerWeights& weights, const ForwardPass& pass, float* out);

}  // namespace infercept
