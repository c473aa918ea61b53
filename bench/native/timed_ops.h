// An Ops object that counts the time the calling thread spends in each op of another one.
#pragma once

#include <array>
#include <chrono>
#include <string_view>
#include <thread>

#include "kernels/ops.h"

namespace infercept::bench {

class TimedOps final : public Ops {
 public:
  enum Op : size_t { kMatMul, kAttention, kNorm, kRope, kWriteKv, kElementwise, kEmbed, kOps };
  static constexpr std::string_view kNames[kOps] = {"matmul",   "attention",   "norm", "rope",
                                                    "write kv", "elementwise", "embed"};

  explicit TimedOps(const Ops& ops) : ops_(ops), thread_(std::this_thread::get_id()) {}

  // Since the last Reset; of the thread that made this object, others are not counted.
  double Seconds(Op op) const { return seconds_[op]; }
  void Reset() { seconds_ = {}; }

  std::string_view isa() const override { return ops_.isa(); }
  size_t PackedBytes(DType dtype, uint32_t rows, uint32_t columns) const override {
    return ops_.PackedBytes(dtype, rows, columns);
  }
  void Pack(const WeightView& source, std::span<std::byte> target,
            ThreadPool& pool) const override {
    ops_.Pack(source, target, pool);
  }
  uint32_t PackRows(DType dtype) const override { return ops_.PackRows(dtype); }
  bool FillRandom(const RandomMatrix& matrix) const override { return ops_.FillRandom(matrix); }
  uint32_t Bind(std::span<const TokenId> tokens, std::span<const uint32_t> positions,
                std::span<const AttentionSlice> slices, uint32_t context_tokens) const override {
    return ops_.Bind(tokens, positions, slices, context_tokens);
  }
  bool embeds_packed() const override { return ops_.embeds_packed(); }
  size_t MatMulScratchBytes(DType dtype, uint32_t tokens, uint32_t columns) const override {
    return ops_.MatMulScratchBytes(dtype, tokens, columns);
  }
  void MatMul(std::span<const MatMulProduct> products, const float* x, uint32_t tokens,
              std::span<std::byte> scratch, ThreadPool& pool) const override {
    Count(kMatMul, [&] { ops_.MatMul(products, x, tokens, scratch, pool); });
  }
  void Embed(const WeightView& table, std::span<const TokenId> tokens, float* out) const override {
    Count(kEmbed, [&] { ops_.Embed(table, tokens, out); });
  }
  void AddRmsNorm(const ResidualNorm& norm, uint32_t tokens, uint32_t width) const override {
    Count(kNorm, [&] { ops_.AddRmsNorm(norm, tokens, width); });
  }
  void AddLayerNorm(const ResidualNorm& norm, uint32_t tokens, uint32_t width) const override {
    Count(kNorm, [&] { ops_.AddLayerNorm(norm, tokens, width); });
  }
  void RmsNorm(const VectorNorm& norm, uint32_t tokens) const override {
    Count(kNorm, [&] { ops_.RmsNorm(norm, tokens); });
  }
  void AddBias(const float* bias, uint32_t width, uint32_t tokens, float* x,
               size_t stride) const override {
    Count(kElementwise, [&] { ops_.AddBias(bias, width, tokens, x, stride); });
  }
  void Add(const float* added, size_t count, float* x) const override {
    Count(kElementwise, [&] { ops_.Add(added, count, x); });
  }
  void Scale(float factor, size_t count, float* x) const override {
    Count(kElementwise, [&] { ops_.Scale(factor, count, x); });
  }
  void SoftCap(float cap, size_t count, float* x) const override {
    Count(kElementwise, [&] { ops_.SoftCap(cap, count, x); });
  }
  void Rope(float* x, size_t stride, std::span<const uint32_t> positions, uint32_t heads,
            uint32_t head_dim, const RopeView& rope) const override {
    Count(kRope, [&] { ops_.Rope(x, stride, positions, heads, head_dim, rope); });
  }
  void SiluMultiply(const float* gate, const float* up, size_t count, float* out) const override {
    Count(kElementwise, [&] { ops_.SiluMultiply(gate, up, count, out); });
  }
  void GeluMultiply(const float* gate, const float* up, size_t count, float* out) const override {
    Count(kElementwise, [&] { ops_.GeluMultiply(gate, up, count, out); });
  }
  void Gelu(size_t count, float* x) const override {
    Count(kElementwise, [&] { ops_.Gelu(count, x); });
  }
  void ClampedSwigluMultiply(const ClampedSwiglu& swiglu, const float* gate, const float* up,
                             size_t count, float* out) const override {
    Count(kElementwise, [&] { ops_.ClampedSwigluMultiply(swiglu, gate, up, count, out); });
  }
  void WriteKv(const float* key, const float* value, size_t stride,
               std::span<const AttentionSlice> slices, const PagedKv& cache) const override {
    Count(kWriteKv, [&] { ops_.WriteKv(key, value, stride, slices, cache); });
  }
  size_t AttentionScratchBytes(const AttentionLimits& limits) const override {
    return ops_.AttentionScratchBytes(limits);
  }
  void Attention(const float* query, size_t query_stride, std::span<const AttentionSlice> slices,
                 uint32_t heads, const PagedKv& cache, const AttentionRules& rules, float* out,
                 size_t out_stride, std::span<std::byte> scratch, ThreadPool& pool) const override {
    Count(kAttention, [&] {
      ops_.Attention(query, query_stride, slices, heads, cache, rules, out, out_stride, scratch,
                     pool);
    });
  }

 private:
  template <typename Body>
  void Count(Op op, const Body& body) const {
    if (std::this_thread::get_id() != thread_) return body();
    const auto begin = std::chrono::steady_clock::now();
    body();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
    seconds_[op] += elapsed.count();
  }

  const Ops& ops_;
  const std::thread::id thread_;
  mutable std::array<double, kOps> seconds_{};
};

}  // namespace infercept::bench
