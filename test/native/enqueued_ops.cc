#include "enqueued_ops.h"

#include <array>
#include <cstring>

#include "device/op_accesses.h"
#include "model/decode_graphs.h"
#include "model/sampler.h"

namespace infercept::test {
namespace {

void SampleRowOnHost(const SampleRows& rows, uint32_t vocabulary, size_t i) {
  const SampleRow& row = rows.rows[i];
  IC_CHECK(row.mask == nullptr);
  SamplingParams params = {.temperature = row.temperature,
                           .top_k = row.top_k,
                           .top_p = row.top_p,
                           .min_p = row.min_p,
                           .repetition_penalty = row.repetition_penalty,
                           .presence_penalty = row.presence_penalty,
                           .frequency_penalty = row.frequency_penalty};
  for (const TokenBias& bias : rows.biases.subspan(row.bias_first, row.bias_count)) {
    params.logit_bias.emplace_back(bias.token, bias.bias);
  }
  if (row.wants_logprob) params.logprobs = static_cast<int32_t>(row.top_count);
  const SampleRequest request = {.params = &params,
                                 .recent = rows.recent.subspan(row.recent_first, row.recent_count),
                                 .uniform = row.uniform};
  SamplerScratch scratch;
  SampleResult result;
  Sample({rows.logits + i * vocabulary, vocabulary}, request, scratch, result);
  rows.results[i] = {result.token, result.logprob};
  result.top.resize(row.top_count, {-1, 0});
  for (uint32_t k = 0; k < row.top_count; ++k) {
    rows.top[row.top_first + k] = {result.top[k].token, result.top[k].logprob};
  }
}

}  // namespace

size_t EnqueuedOps::PackedBytes(DType dtype, uint32_t rows, uint32_t columns) const {
  const size_t packed = inner_.PackedBytes(dtype, rows, columns);
  return packed != 0 ? packed : rows * RowBytes(dtype, columns);
}

void EnqueuedOps::Pack(const WeightView& source, std::span<std::byte> target,
                       ThreadPool& pool) const {
  if (inner_.PackedBytes(source.dtype, source.rows, source.columns) != 0) {
    inner_.Pack(source, target, pool);
  } else {
    std::memcpy(target.data(), source.data, source.rows * RowBytes(source.dtype, source.columns));
  }
}

uint32_t EnqueuedOps::Bind(std::span<const TokenId> tokens, std::span<const uint32_t> positions,
                           std::span<const AttentionSlice> slices, uint32_t context_tokens) const {
  IC_CHECK(LongestContext(slices) <= context_tokens);
  IC_CHECK(arrays_.Bind(tokens, positions, slices).ok());
  return 0;
}

void EnqueuedOps::MatMul(std::span<const MatMulProduct> products, const float* x, uint32_t tokens,
                         std::span<std::byte> scratch, ThreadPool&) const {
  std::array<MatMulProduct, kMatMulProductsMax> all;
  IC_CHECK(products.size() <= all.size());
  std::copy(products.begin(), products.end(), all.begin());
  const size_t count = products.size();
  stream_.Launch(
      "MatMul",
      [=, inner = &inner_, pool = &caller_](NativeStream) {
        inner->MatMul(std::span(all.data(), count), x, tokens, scratch, *pool);
      },
      [=, ops = this](AccessList& list) {
        DescribeMatMul(*ops, std::span(all.data(), count), x, tokens, scratch, list);
      });
}

void EnqueuedOps::Embed(const WeightView& table, std::span<const TokenId> tokens,
                        float* out) const {
  const std::span<const TokenId> ids = arrays_.OnDevice(tokens);
  stream_.Launch(
      "Embed", [=, inner = &inner_](NativeStream) { inner->Embed(table, ids, out); },
      [=, ops = this](AccessList& list) {
        list.Read(ids.data(), ids.size_bytes());
        DescribeEmbed(*ops, table, ids.size(), out, list);
      });
}

void EnqueuedOps::AddRmsNorm(const ResidualNorm& norm, uint32_t tokens, uint32_t width) const {
  stream_.Launch(
      "AddRmsNorm", [=, inner = &inner_](NativeStream) { inner->AddRmsNorm(norm, tokens, width); },
      [=](AccessList& list) { DescribeNorm(norm, tokens, width, list); });
}

void EnqueuedOps::AddLayerNorm(const ResidualNorm& norm, uint32_t tokens, uint32_t width) const {
  stream_.Launch(
      "AddLayerNorm",
      [=, inner = &inner_](NativeStream) { inner->AddLayerNorm(norm, tokens, width); },
      [=](AccessList& list) { DescribeNorm(norm, tokens, width, list); });
}

void EnqueuedOps::RmsNorm(const VectorNorm& norm, uint32_t tokens) const {
  stream_.Launch(
      "RmsNorm", [=, inner = &inner_](NativeStream) { inner->RmsNorm(norm, tokens); },
      [=](AccessList& list) { DescribeNorm(norm, tokens, list); });
}

void EnqueuedOps::AddBias(const float* bias, uint32_t width, uint32_t tokens, float* x,
                          size_t stride) const {
  stream_.Launch(
      "AddBias",
      [=, inner = &inner_](NativeStream) { inner->AddBias(bias, width, tokens, x, stride); },
      [=](AccessList& list) { DescribeAddBias(bias, width, tokens, x, stride, list); });
}

void EnqueuedOps::Add(const float* added, size_t count, float* x) const {
  stream_.Launch(
      "Add", [=, inner = &inner_](NativeStream) { inner->Add(added, count, x); },
      [=](AccessList& list) { DescribeElements(added, nullptr, count, x, list); });
}

void EnqueuedOps::Scale(float factor, size_t count, float* x) const {
  stream_.Launch(
      "Scale", [=, inner = &inner_](NativeStream) { inner->Scale(factor, count, x); },
      [=](AccessList& list) { DescribeElements(nullptr, nullptr, count, x, list); });
}

void EnqueuedOps::SoftCap(float cap, size_t count, float* x) const {
  stream_.Launch(
      "SoftCap", [=, inner = &inner_](NativeStream) { inner->SoftCap(cap, count, x); },
      [=](AccessList& list) { DescribeElements(nullptr, nullptr, count, x, list); });
}

void EnqueuedOps::Rope(float* x, size_t stride, std::span<const uint32_t> positions, uint32_t heads,
                       uint32_t head_dim, const RopeView& rope) const {
  const std::span<const uint32_t> where = arrays_.OnDevice(positions);
  const size_t first = static_cast<size_t>(positions.data() - arrays_.positions().data());
  stream_.Launch(
      "Rope",
      [=, inner = &inner_](NativeStream) { inner->Rope(x, stride, where, heads, head_dim, rope); },
      [=, arrays = &arrays_](AccessList& list) {
        list.Read(where.data(), where.size_bytes());
        DescribeRope(x, stride, arrays->positions().subspan(first, where.size()), heads, head_dim,
                     rope, list);
      });
}

void EnqueuedOps::SiluMultiply(const float* gate, const float* up, size_t count, float* out) const {
  stream_.Launch(
      "SiluMultiply",
      [=, inner = &inner_](NativeStream) { inner->SiluMultiply(gate, up, count, out); },
      [=](AccessList& list) { DescribeElements(gate, up, count, out, list); });
}

void EnqueuedOps::GeluMultiply(const float* gate, const float* up, size_t count, float* out) const {
  stream_.Launch(
      "GeluMultiply",
      [=, inner = &inner_](NativeStream) { inner->GeluMultiply(gate, up, count, out); },
      [=](AccessList& list) { DescribeElements(gate, up, count, out, list); });
}

void EnqueuedOps::Gelu(size_t count, float* x) const {
  stream_.Launch(
      "Gelu", [=, inner = &inner_](NativeStream) { inner->Gelu(count, x); },
      [=](AccessList& list) { DescribeElements(nullptr, nullptr, count, x, list); });
}

void EnqueuedOps::ClampedSwigluMultiply(const ClampedSwiglu& swiglu, const float* gate,
                                        const float* up, size_t count, float* out) const {
  stream_.Launch(
      "ClampedSwigluMultiply",
      [=, inner = &inner_](NativeStream) {
        inner->ClampedSwigluMultiply(swiglu, gate, up, count, out);
      },
      [=](AccessList& list) { DescribeElements(gate, up, count, out, list); });
}

void EnqueuedOps::ChooseExperts(const ExpertChoice& choice, uint32_t tokens) const {
  stream_.Launch(
      "ChooseExperts", [=, inner = &inner_](NativeStream) { inner->ChooseExperts(choice, tokens); },
      [=](AccessList& list) { DescribeChooseExperts(choice, tokens, list); });
}

void EnqueuedOps::AssignPlaces(const ExpertPlaces& places, uint32_t tokens) const {
  stream_.Launch(
      "AssignPlaces", [=, inner = &inner_](NativeStream) { inner->AssignPlaces(places, tokens); },
      [=, ops = this](AccessList& list) { DescribeAssignPlaces(*ops, places, tokens, list); });
}

void EnqueuedOps::MatMulExperts(const ExpertMatMul& call, std::span<std::byte> scratch,
                                ThreadPool&) const {
  std::array<ExpertProduct, kMatMulProductsMax> products;
  IC_CHECK(call.products.size() <= products.size());
  std::copy(call.products.begin(), call.products.end(), products.begin());
  const size_t count = call.products.size();
  stream_.Launch(
      "MatMulExperts",
      [=, inner = &inner_, pool = &caller_](NativeStream) {
        ExpertMatMul kept = call;
        kept.products = std::span(products.data(), count);
        inner->MatMulExperts(kept, scratch, *pool);
      },
      [=, ops = this](AccessList& list) {
        ExpertMatMul kept = call;
        kept.products = std::span(products.data(), count);
        DescribeMatMulExperts(*ops, kept, scratch, list);
      });
}

void EnqueuedOps::MixRows(const RowMix& mix, uint32_t tokens) const {
  stream_.Launch(
      "MixRows", [=, inner = &inner_](NativeStream) { inner->MixRows(mix, tokens); },
      [=](AccessList& list) { DescribeMixRows(mix, tokens, list); });
}

void EnqueuedOps::WriteKv(const float* key, const float* value, size_t stride,
                          std::span<const AttentionSlice> slices, const PagedKv& cache) const {
  const std::span<const AttentionSlice> there = arrays_.OnDevice(slices);
  const size_t first = static_cast<size_t>(slices.data() - arrays_.slices().data());
  stream_.Launch(
      "WriteKv",
      [=, inner = &inner_](NativeStream) { inner->WriteKv(key, value, stride, there, cache); },
      [=, arrays = &arrays_](AccessList& list) {
        list.Read(there.data(), there.size_bytes());
        DescribeWriteKv(key, value, stride, arrays->slices().subspan(first, there.size()), cache,
                        list);
      });
}

void EnqueuedOps::Attention(const float* query, size_t query_stride,
                            std::span<const AttentionSlice> slices, uint32_t heads,
                            const PagedKv& cache, const AttentionRules& rules, float* out,
                            size_t out_stride, std::span<std::byte> scratch, ThreadPool&) const {
  const std::span<const AttentionSlice> there = arrays_.OnDevice(slices);
  const size_t first = static_cast<size_t>(slices.data() - arrays_.slices().data());
  stream_.Launch(
      "Attention",
      [=, inner = &inner_, pool = &caller_](NativeStream) {
        inner->Attention(query, query_stride, there, heads, cache, rules, out, out_stride, scratch,
                         *pool);
      },
      [=, arrays = &arrays_](AccessList& list) {
        list.Read(there.data(), there.size_bytes());
        DescribeAttention(query, query_stride, arrays->slices().subspan(first, there.size()), heads,
                          cache, rules, out, out_stride, scratch, list);
      });
}

void EnqueuedOps::Sample(const SampleRows& rows, uint32_t vocabulary) const {
  stream_.Launch(
      "Sample",
      [=](NativeStream) {
        for (size_t i = 0; i < rows.rows.size(); ++i) SampleRowOnHost(rows, vocabulary, i);
      },
      [=](AccessList& list) { DescribeSample(rows, vocabulary, list); });
}

void EnqueuedOps::PickTokens(const TokenPicks& picks, std::span<TokenId> target) const {
  stream_.Launch(
      "PickTokens",
      [=](NativeStream) {
        for (const TokenPick& pick : picks.picks) {
          target[pick.target] = picks.samples[pick.sample].token;
        }
      },
      [=](AccessList& list) { DescribePickTokens(picks, target, list); });
}

}  // namespace infercept::test
