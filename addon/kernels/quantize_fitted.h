// Blocks of which the format says how to read them, not how to choose their scales. Here scales and
// minimums are chosen for the least squared error of each block: a search over scales near the one
// that the largest value asks for; for each, the codes it gives and the scale that fits these codes
// best (linear least squares); at last the neighbours of the rounded inner scales are tried.
#pragma once

#include "kernels/blocks.h"

namespace infercept {

// x: [BlockValues(Block::kDType)].
void QuantizeBlock(const float* x, Q2_KBlock& block);
void QuantizeBlock(const float* x, Q3_KBlock& block);
void QuantizeBlock(const float* x, Q4_KBlock& block);
void QuantizeBlock(const float* x, Q5_KBlock& block);
void QuantizeBlock(const float* x, Q6_KBlock& block);
void QuantizeBlock(const float* x, IQ4_NLBlock& block);
void QuantizeBlock(const float* x, IQ4_XSBlock& block);

}  // namespace infercept
