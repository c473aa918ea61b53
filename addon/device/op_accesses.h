// What the ops of kernels/ops.h read and write, for devices that check the order of work
// (device.h, AccessList). Arguments are those of the op; tokens, positions and slices are the
// host's, and whoever computes on another device adds the arrays that its kernels read in their
// place.
#pragma once

#include "device/device.h"
#include "kernels/ops.h"

namespace infercept {

// `ops` say how weights are stored. REQUIRES: they pack every matrix.
void DescribeMatMul(const Ops& ops, std::span<const MatMulProduct> products, const float* x,
                    uint32_t tokens, std::span<std::byte> scratch, AccessList& list);
void DescribeEmbed(const Ops& ops, const WeightView& table, size_t tokens, float* out,
                   AccessList& list);
void DescribeNorm(const ResidualNorm& norm, uint32_t tokens, uint32_t width, AccessList& list);
void DescribeNorm(const VectorNorm& norm, uint32_t tokens, AccessList& list);
void DescribeAddBias(const float* bias, uint32_t width, uint32_t tokens, float* x, size_t stride,
                     AccessList& list);
// Element by element: out[i] of first[i] and second[i], if there are such; out may be one of them.
void DescribeElements(const float* first, const float* second, size_t count, float* out,
                      AccessList& list);
void DescribeRope(float* x, size_t stride, std::span<const uint32_t> positions, uint32_t heads,
                  uint32_t head_dim, const RopeView& rope, AccessList& list);
void DescribeChooseExperts(const ExpertChoice& choice, uint32_t tokens, AccessList& list);
void DescribeAssignPlaces(const Ops& ops, const ExpertPlaces& places, uint32_t tokens,
                          AccessList& list);
// `ops` as of DescribeMatMul.
void DescribeMatMulExperts(const Ops& ops, const ExpertMatMul& call, std::span<std::byte> scratch,
                           AccessList& list);
void DescribeMixRows(const RowMix& mix, uint32_t tokens, AccessList& list);
void DescribeWriteKv(const float* key, const float* value, size_t stride,
                     std::span<const AttentionSlice> slices, const PagedKv& cache,
                     AccessList& list);
void DescribeAttention(const float* query, size_t query_stride,
                       std::span<const AttentionSlice> slices, uint32_t heads, const PagedKv& cache,
                       const AttentionRules& rules, float* out, size_t out_stride,
                       std::span<std::byte> scratch, AccessList& list);
void DescribeSample(const SampleRows& rows, uint32_t vocabulary, AccessList& list);
void DescribePickTokens(const TokenPicks& picks, std::span<TokenId> target, AccessList& list);

}  // namespace infercept
