// The mathematics of a CPU's ops as work of a device's stream: every call is a kernel that runs
// when its turn comes, and says what it reads and writes.
#pragma once

#include "device/step_arrays.h"
#include "kernels/ops.h"

namespace infercept::test {

class EnqueuedOps final : public Ops {
 public:
  // All outlive the ops.
  EnqueuedOps(const Ops& inner, Stream& stream, StepArrays& arrays)
      : inner_(inner), stream_(stream), arrays_(arrays) {}

  std::string_view isa() const override { return inner_.isa(); }
  size_t PackedBytes(DType dtype, uint32_t rows, uint32_t columns) const override;
  void Pack(const WeightView& source, std::span<std::byte> target, ThreadPool& pool) const override;
  uint32_t PackRows(DType dtype) const override { return inner_.PackRows(dtype); }
  uint32_t Bind(std::span<const TokenId> tokens, std::span<const uint32_t> positions,
                std::span<const AttentionSlice> slices, uint32_t context_tokens) const override;
  size_t MatMulScratchBytes(DType dtype, uint32_t tokens, uint32_t columns) const override {
    return inner_.MatMulScratchBytes(dtype, tokens, columns);
  }
  using Ops::MatMul;
  void MatMul(std::span<const MatMulProduct> products, const float* x, uint32_t tokens,
              std::span<std::byte> scratch, ThreadPool& pool) const override;
  void Embed(const WeightView& table, std::span<const TokenId> tokens, float* out) const override;
  void AddRmsNorm(const ResidualNorm& norm, uint32_t tokens, uint32_t width) const override;
  void AddLayerNorm(const ResidualNorm& norm, uint32_t tokens, uint32_t width) const override;
  void RmsNorm(const VectorNorm& norm, uint32_t tokens) const override;
  void AddBias(const float* bias, uint32_t width, uint32_t tokens, float* x,
               size_t stride) const override;
  void Add(const float* added, size_t count, float* x) const override;
  void Scale(float factor, size_t count, float* x) const override;
  void SoftCap(float cap, size_t count, float* x) const override;
  void Rope(float* x, size_t stride, std::span<const uint32_t> positions, uint32_t heads,
            uint32_t head_dim, const RopeView& rope) const override;
  void SiluMultiply(const float* gate, const float* up, size_t count, float* out) const override;
  void GeluMultiply(const float* gate, const float* up, size_t count, float* out) const override;
  void Gelu(size_t count, float* x) const override;
  void ClampedSwigluMultiply(const ClampedSwiglu& swiglu, const float* gate, const float* up,
                             size_t count, float* out) const override;
  void ChooseExperts(const ExpertChoice& choice, uint32_t tokens) const override;
  size_t ExpertBoundsBytes(uint32_t tokens, uint32_t experts, uint32_t used) const override {
    return inner_.ExpertBoundsBytes(tokens, experts, used);
  }
  void AssignPlaces(const ExpertPlaces& places, uint32_t tokens) const override;
  size_t ExpertScratchBytes(uint32_t tokens, uint32_t used, uint32_t columns) const override {
    return inner_.ExpertScratchBytes(tokens, used, columns);
  }
  void MatMulExperts(const ExpertMatMul& call, std::span<std::byte> scratch,
                     ThreadPool& pool) const override;
  void MixRows(const RowMix& mix, uint32_t tokens) const override;
  void WriteKv(const float* key, const float* value, size_t stride,
               std::span<const AttentionSlice> slices, const PagedKv& cache) const override;
  size_t AttentionScratchBytes(const AttentionLimits& limits) const override {
    return inner_.AttentionScratchBytes(limits);
  }
  void Attention(const float* query, size_t query_stride, std::span<const AttentionSlice> slices,
                 uint32_t heads, const PagedKv& cache, const AttentionRules& rules, float* out,
                 size_t out_stride, std::span<std::byte> scratch, ThreadPool& pool) const override;
  // By model/sampler.h.
  void Sample(const SampleRows& rows, uint32_t vocabulary) const override;
  std::span<TokenId> BoundTokens() const override { return arrays_.TokensOnDevice(); }
  void PickTokens(const TokenPicks& picks, std::span<TokenId> target) const override;

 private:
  const Ops& inner_;
  Stream& stream_;
  StepArrays& arrays_;
  mutable ThreadPool caller_{1};  // Kernels run on the thread that runs the device.
};

}  // namespace infercept::test
