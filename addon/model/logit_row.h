// Loops over all logits of one row, a hundred thousand at times, in chains side by side so that
// compilers make vector instructions of them. NaN counts as minus infinity.
#pragma once

#include <span>

#include "base/types.h"

namespace infercept {

// Minus infinity if none is larger.
float LargestLogit(std::span<const float> logits);

// The first of the largest ones.
TokenId BestToken(std::span<const float> logits);

// weights[i] = e^(logits[i] - largest), within 1e-5 of it; 0 below 1e-37 and where logits[i] <
// floor. REQUIRES: largest is finite, and no logit is larger.
void WeighLogits(std::span<const float> logits, float largest, float floor,
                 std::span<float> weights);

double SumWeights(std::span<const float> weights);

}  // namespace infercept
