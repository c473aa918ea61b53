// Goal: weights are loaded in pieces of bounded size, what was packed is forgotten, what needs no
// packing stays where it is, and whoever listens can stop it anywhere. Method: a recording source
// and a recording Ops; what a model computes from loaded weights is tested in model_test.
#include "model/weights.h"

#include <algorithm>
#include <cstring>

#include "model/model_tensors.h"
#include "test.h"

namespace infercept::test {
namespace {

constexpr size_t kPieceBytesMax = size_t{9} << 20;  // 8 MiB, rounded to whole PackRows
constexpr uint32_t kPackRows = 64;

// Packs nothing but counts, and computes nothing.
class RecordingOps final : public Ops {
 public:
  explicit RecordingOps(bool in_place) : in_place_(in_place) {}

  std::string_view isa() const override { return "recording"; }
  size_t PackedBytes(DType dtype, uint32_t rows, uint32_t columns) const override {
    return in_place_ ? 0 : rows * RowBytes(dtype, columns);
  }
  void Pack(const WeightView& source, std::span<std::byte> target, ThreadPool&) const override {
    const size_t bytes = source.rows * RowBytes(source.dtype, source.columns);
    EXPECT_GE(target.size(), bytes);
    EXPECT_LE(bytes, kPieceBytesMax);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(target.data()) % 64, 0u);
    std::memcpy(target.data(), source.data, bytes);
    ++packs;
  }
  uint32_t PackRows(DType) const override { return kPackRows; }
  void Embed(const WeightView& table, std::span<const TokenId>, float* out) const override {
    std::memcpy(out, table.data, table.columns * sizeof(float));
  }

  size_t MatMulScratchBytes(DType, uint32_t, uint32_t) const override { return 0; }
  void MatMul(std::span<const MatMulProduct>, const float*, uint32_t, std::span<std::byte>,
              ThreadPool&) const override {}
  void AddRmsNorm(const ResidualNorm&, uint32_t, uint32_t) const override {}
  void AddLayerNorm(const ResidualNorm&, uint32_t, uint32_t) const override {}
  void RmsNorm(const VectorNorm&, uint32_t) const override {}
  void AddBias(const float*, uint32_t, uint32_t, float*, size_t) const override {}
  void Add(const float*, size_t, float*) const override {}
  void Scale(float, size_t, float*) const override {}
  void SoftCap(float, size_t, float*) const override {}
  void Rope(float*, size_t, std::span<const uint32_t>, uint32_t, uint32_t,
            const RopeView&) const override {}
  void SiluMultiply(const float*, const float*, size_t, float*) const override {}
  void GeluMultiply(const float*, const float*, size_t, float*) const override {}
  void Gelu(size_t, float*) const override {}
  void ClampedSwigluMultiply(const ClampedSwiglu&, const float*, const float*, size_t,
                             float*) const override {}
  void WriteKv(const float*, const float*, size_t, std::span<const AttentionSlice>,
               const PagedKv&) const override {}
  size_t AttentionScratchBytes(const AttentionLimits&) const override { return 0; }
  void Attention(const float*, size_t, std::span<const AttentionSlice>, uint32_t, const PagedKv&,
                 const AttentionRules&, float*, size_t, std::span<std::byte>,
                 ThreadPool&) const override {}

  mutable uint32_t packs = 0;

 private:
  const bool in_place_;
};

// A row of the matrices below: 256 floats.
constexpr size_t kMarkDistance = 1024;

// Differs from row to row.
std::byte MarkAt(size_t place) { return static_cast<std::byte>(place / kMarkDistance % 251); }

// Marks the first byte of every row; counts the bytes that were forgotten.
class RecordingSource final : public TensorSource {
 public:
  RecordingSource(size_t bytes, size_t& forgotten) : bytes_(bytes), forgotten_(forgotten) {
    for (size_t i = 0; i < bytes; i += kMarkDistance) bytes_[i] = MarkAt(i);
  }
  Result<std::span<const std::byte>> Read(const TensorSpec& tensor) override {
    return std::span<const std::byte>(bytes_.data() + tensor.offset, tensor.byte_length);
  }
  void Forget(std::span<const std::byte> bytes) override { forgotten_ += bytes.size(); }

 private:
  std::vector<std::byte> bytes_;
  size_t& forgotten_;
};

// One layer, with a vocabulary of 20,000 x 256 floats: 20 MB in three pieces.
ModelSpec MakeSpec(bool tied) {
  ModelSpec spec;
  spec.hyperparameters = {.layers = 1,
                          .width = 256,
                          .heads = 4,
                          .kv_heads = 2,
                          .head_dim = 64,
                          .ffn_width = 512,
                          .vocabulary_size = 20'000,
                          .context_tokens = 64,
                          .norm_epsilon = 1e-5f,
                          .rope = {.dimension = 64, .base = 10000, .scaling = {}},
                          .tied_embeddings = tied};
  const Hyperparameters& h = spec.hyperparameters;
  uint64_t offset = 0;
  const auto add = [&](std::string name, uint32_t rows, uint32_t columns) {
    const uint64_t bytes = uint64_t{rows} * columns * sizeof(float);
    spec.tensors.push_back({std::move(name), DType::kF32, rows, columns, 0, offset, bytes});
    offset += bytes;
  };
  add("embedding", h.vocabulary_size, h.width);
  Weights weights;
  for (const TensorPlace& place : PlaceTensors(h, weights)) {
    if (place.name != "embedding") add(place.name, place.rows, place.columns);
  }
  return spec;
}

uint64_t BytesOf(const ModelSpec& spec, bool matrices_only) {
  uint64_t bytes = 0;
  for (const TensorSpec& tensor : spec.tensors) {
    if (!matrices_only || tensor.rows > 1) bytes += tensor.byte_length;
  }
  return bytes;
}

struct Loaded {
  Result<Weights> weights;
  size_t forgotten;
};

Loaded Load(const ModelSpec& spec, const RecordingOps& ops, const LoadProgress& progress = {}) {
  ThreadPool pool(2);
  size_t forgotten = 0;
  auto source = std::make_unique<RecordingSource>(BytesOf(spec, false), forgotten);
  Result<Weights> weights = LoadWeights(spec, std::move(source), ops, progress, pool);
  return {std::move(weights), forgotten};
}

TEST(Weights, ForgetsEveryMatrixThatItPacked) {
  for (const bool tied : {false, true}) {
    const ModelSpec spec = MakeSpec(tied);
    const RecordingOps ops(false);
    const Loaded loaded = Load(spec, ops);
    ASSERT_TRUE(loaded.weights.ok());
    // All but the embedding, which is packed only where it is the output matrix too.
    const uint64_t embedding = tied ? 0 : spec.tensors[0].byte_length;
    EXPECT_EQ(loaded.forgotten, BytesOf(spec, true) - embedding);
  }
}

TEST(Weights, PiecesMakeTheWholeMatrix) {
  const ModelSpec spec = MakeSpec(false);
  const RecordingOps ops(false);
  const Loaded loaded = Load(spec, ops);
  ASSERT_TRUE(loaded.weights.ok());
  EXPECT_EQ(ops.packs, 3u + 7u);  // the output matrix in three pieces, a layer's matrices in one
  const Weights& weights = loaded.weights.value();
  const TensorSpec& output = spec.tensors[1];
  for (size_t i = 0; i < output.byte_length; i += kMarkDistance) {
    ASSERT_TRUE(weights.output.data[i] == MarkAt(output.offset + i)) << "byte " << i;
  }
}

TEST(Weights, WhatNeedsNoPackingStaysWhereItIs) {
  const ModelSpec spec = MakeSpec(true);
  const RecordingOps ops(true);
  const Loaded loaded = Load(spec, ops);
  ASSERT_TRUE(loaded.weights.ok());
  const Weights& weights = loaded.weights.value();
  EXPECT_EQ(ops.packs, 0u);
  EXPECT_EQ(loaded.forgotten, 0u);
  EXPECT_EQ(weights.packed.size(), 0u);
  EXPECT_TRUE(weights.output.data == weights.embedding.data);
}

TEST(Weights, ReportsEveryFewMegabytes) {
  const ModelSpec spec = MakeSpec(false);
  const RecordingOps ops(false);
  uint64_t last = 0;
  const Loaded loaded = Load(spec, ops, [&](uint64_t done, uint64_t total) {
    EXPECT_TRUE(done >= last && done - last <= kPieceBytesMax) << last << " to " << done;
    EXPECT_LE(done, total);
    last = done;
    return true;
  });
  ASSERT_TRUE(loaded.weights.ok());
  EXPECT_EQ(last, BytesOf(spec, false) - spec.tensors[0].byte_length);
}

TEST(Weights, StopsWithinAMatrix) {
  const ModelSpec spec = MakeSpec(true);
  const RecordingOps ops(false);
  const Loaded loaded = Load(spec, ops, [&](uint64_t done, uint64_t) { return done == 0; });
  EXPECT_EQ(loaded.weights.status().code(), StatusCode::kAborted);
  EXPECT_EQ(ops.packs, 1u);
}

}  // namespace
}  // namespace infercept::test
