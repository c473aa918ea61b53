// The mathematics of a model as work of a CUDA device's stream: every call enqueues the launcher of
// its kernel (kernels/cuda/kernels.h), which proves the shapes. Activations are floats; inputs of
// matrix products are rounded to BF16.
//
// How attention is dealt out to thread blocks is planned on the host once per Bind, for all layers,
// and goes to the device with the arrays of the step.
//
// Links the kernels: a program has them for a device, or emulated for tests.
// Owner: whoever loads a model. Thread: whoever enqueues on the stream.
#pragma once

#include <memory>
#include <optional>

#include "device/step_arrays.h"
#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/cublaslt.h"
#include "kernels/ops.h"

namespace infercept {

// What the calls to come are about.
struct CudaOpsLimits {
  uint32_t rows = 0;    // of one step
  uint32_t slices = 0;  // likewise
  uint32_t context_tokens = 0;
  uint32_t block_tokens = 0;
  uint32_t heads = 0;
  uint32_t kv_heads = 0;
  uint32_t head_dim = 0;
  uint32_t groups = 1;  // PagedKv::groups
  // What a token gets does not depend on what else is in its step: our own kernels alone.
  bool deterministic = false;
};

class CudaOps final : public Ops {
 public:
  // kOutOfMemory, kDevice. Device and stream outlive the ops. `library` multiplies where it takes
  // less time, unless `limits.deterministic`.
  static Result<std::unique_ptr<CudaOps>> Create(
      Device& device, Stream& stream, const CudaOpsLimits& limits,
      const std::optional<cuda::CublasLtFunctions>& library);

  std::string_view isa() const override { return "cuda"; }
  size_t PackedBytes(DType dtype, uint32_t rows, uint32_t columns) const override;
  void Pack(const WeightView& source, std::span<std::byte> target, ThreadPool& pool) const override;
  uint32_t PackRows(DType dtype) const override;
  bool FillRandom(const RandomMatrix& matrix) const override;
  // Form 1: the kernel for many queries reads blocks that slices share.
  uint32_t Bind(std::span<const TokenId> tokens, std::span<const uint32_t> positions,
                std::span<const AttentionSlice> slices, uint32_t context_tokens) const override;

  size_t MatMulScratchBytes(DType dtype, uint32_t tokens, uint32_t columns) const override;
  using Ops::MatMul;
  void MatMul(std::span<const MatMulProduct> products, const float* x, uint32_t tokens,
              std::span<std::byte> scratch, ThreadPool& pool) const override;
  bool embeds_packed() const override { return true; }
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
  size_t ExpertBoundsBytes(uint32_t tokens, uint32_t experts, uint32_t used) const override;
  void AssignPlaces(const ExpertPlaces& places, uint32_t tokens) const override;
  size_t ExpertScratchBytes(uint32_t tokens, uint32_t used, uint32_t columns) const override;
  // REQUIRES: the matrices of a product have one type, and lie evenly apart, as do their biases.
  void MatMulExperts(const ExpertMatMul& call, std::span<std::byte> scratch,
                     ThreadPool& pool) const override;
  void MixRows(const RowMix& mix, uint32_t tokens) const override;

  // Slices are all that were bound.
  void WriteKv(const float* key, const float* value, size_t stride,
               std::span<const AttentionSlice> slices, const PagedKv& cache) const override;
  size_t AttentionScratchBytes(const AttentionLimits& limits) const override;
  void Attention(const float* query, size_t query_stride, std::span<const AttentionSlice> slices,
                 uint32_t heads, const PagedKv& cache, const AttentionRules& rules, float* out,
                 size_t out_stride, std::span<std::byte> scratch, ThreadPool& pool) const override;

  void Sample(const SampleRows& rows, uint32_t vocabulary) const override;
  std::span<TokenId> BoundTokens() const override { return bound_->arrays.TokensOnDevice(); }
  void PickTokens(const TokenPicks& picks, std::span<TokenId> target) const override;

 private:
  // What Bind replaces.
  struct Bound {
    StepArrays arrays;
    cuda::AttentionPlan plan;
  };
  // Numbers of the plan's lists in the arrays.
  enum List : size_t { kFew, kMany, kMerges, kRuns };

  CudaOps(Stream& stream, StepArrays arrays, const cuda::AttentionPlanShape& shape,
          std::unique_ptr<cuda::CublasLt> library);
  template <typename T>
  std::span<const T> OnDevice(List list, const std::vector<T>& entries) const;
  // The slices on the device. REQUIRES: they are all that were bound.
  const AttentionSlice* AllOnDevice(std::span<const AttentionSlice> slices) const;

  // Constant after construction.
  Stream& stream_;
  const cuda::AttentionPlanShape shape_;
  const std::unique_ptr<Bound> bound_;
  const std::unique_ptr<cuda::CublasLt> library_;  // null: not there, or not wanted
};

}  // namespace infercept
