// Goal: Rule 1 of ops.h. What an op computes for a token has the same bits alone, in any batch, and
// however a prefill is
//       cut; for every ISA and dtype.
// Method: every token alone once; then batches of 2 to 33, and random cuts over scattered blocks,
// compared bit by bit.
#include <algorithm>
#include <cmath>

#include "ops_attention_support.h"
#include "test.h"

namespace infercept::test {
namespace {

constexpr uint32_t kTokens = 33;

std::string Describe(const Ops& ops, DType dtype, uint32_t tokens) {
  return std::string(ops.isa()) + " " + std::string(DTypeName(dtype)) + ", " +
         std::to_string(tokens) + " tokens";
}

TEST(OpsInvariance, MatMulRowsDoNotDependOnTheBatch) {
  Random random(31);
  for (const uint32_t rows : {1u, 40u, 200u}) {
    for (const DType dtype : kWeightDTypes) {
      const Matrix matrix = MakeMatrix(random, dtype, rows, 160);
      const std::vector<float> x = random.Activations(kTokens * 160);
      for (const Ops* ops : SupportedOps()) {
        std::vector<float> alone;
        for (uint32_t t = 0; t < kTokens; ++t) {
          const std::vector<float> row(x.begin() + t * 160, x.begin() + (t + 1) * 160);
          std::ranges::copy(MatMul(*ops, matrix, row, 1), std::back_inserter(alone));
        }
        for (uint32_t tokens = 2; tokens <= kTokens; ++tokens) {
          ExpectSameBits(std::span(alone).first(size_t{tokens} * rows),
                         MatMul(*ops, matrix, x, tokens), Describe(*ops, dtype, tokens));
        }
      }
    }
  }
}

TEST(OpsInvariance, AddRmsNormRowsDoNotDependOnTheBatch) {
  Random random(32);
  for (const uint32_t width : {7u, 48u, 100u}) {
    const std::vector<float> added = random.Activations(kTokens * width);
    const std::vector<float> x = random.Activations(kTokens * width);
    const std::vector<float> weight = random.Activations(width);
    for (const Ops* ops : SupportedOps()) {
      std::vector<float> residual = x;
      std::vector<float> together(x.size());
      ops->AddRmsNorm({added.data(), residual.data(), weight.data(), 1e-5f, together.data()},
                      kTokens, width);
      residual = x;
      std::vector<float> alone(x.size());
      for (size_t t = 0; t < kTokens; ++t) {
        ops->AddRmsNorm({added.data() + t * width, residual.data() + t * width, weight.data(),
                         1e-5f, alone.data() + t * width},
                        1, width);
      }
      ExpectSameBits(alone, together, std::string(ops->isa()));
    }
  }
}

// Elements, too: a tail of a short array and the middle of a long one.
TEST(OpsInvariance, SiluMultiplyElementsDoNotDependOnTheirPlace) {
  Random random(33);
  const std::vector<float> gate = random.Activations(75);
  const std::vector<float> up = random.Activations(75);
  for (const Ops* ops : SupportedOps()) {
    std::vector<float> together(75);
    ops->SiluMultiply(gate.data(), up.data(), 75, together.data());
    for (size_t i = 0; i < 75; ++i) {
      float alone = 0;
      ops->SiluMultiply(&gate[i], &up[i], 1, &alone);
      ExpectSameBits({&together[i], 1}, {&alone, 1}, std::string(ops->isa()));
    }
  }
}

// Cuts each sequence into random chunks and mixes the chunks of all sequences into random batches.
std::vector<std::vector<float>> StepRandomly(PagedSequences& paged, const Ops& ops, Random& random,
                                             std::span<const uint32_t> lengths,
                                             uint32_t chunk_max) {
  std::vector<std::vector<float>> outputs(lengths.size());
  std::vector<uint32_t> done(lengths.size());
  for (;;) {
    std::vector<Piece> pieces;
    for (uint32_t s = 0; s < lengths.size(); ++s) {
      const uint32_t left = lengths[s] - done[s];
      if (left == 0 || random.Below(3) == 0) continue;
      pieces.push_back({s, done[s], std::min(left, 1 + random.Below(chunk_max))});
      done[s] += pieces.back().rows;
    }
    const std::vector<float> out = paged.Step(ops, pieces);
    auto from = out.begin();
    for (const Piece& piece : pieces) {
      const auto count = static_cast<ptrdiff_t>(piece.rows * paged.shape().query_width());
      outputs[piece.sequence].insert(outputs[piece.sequence].end(), from, from + count);
      from += count;
    }
    if (std::ranges::equal(done, lengths)) return outputs;
  }
}

void CompareCuts(const AttentionShape& shape) {
  constexpr uint32_t kLengths[] = {1, 30, 75, 130};
  Random random(34);
  std::vector<SequenceInput> sequences;
  for (const uint32_t tokens : kLengths) sequences.push_back(MakeSequence(random, shape, tokens));
  for (const Ops* ops : SupportedOps()) {
    const auto expected = PagedSequences(random, shape, sequences).Whole(*ops);
    for (const uint32_t chunk_max : {1u, 5u, 17u, 64u}) {
      PagedSequences paged(random, shape, sequences);
      const auto actual = StepRandomly(paged, *ops, random, kLengths, chunk_max);
      for (size_t s = 0; s < expected.size(); ++s) {
        ExpectSameBits(expected[s], actual[s],
                       Describe(*ops, shape) + ", chunks up to " + std::to_string(chunk_max));
      }
    }
  }
}

TEST(OpsInvariance, AttentionDoesNotDependOnChunksBatchesOrBlocks) {
  for (const DType dtype : kKvDTypes) {
    for (const uint32_t block_tokens : {1u, 4u, 16u, 32u}) {
      CompareCuts({.dtype = dtype, .block_tokens = block_tokens});
    }
  }
  CompareCuts({.heads = 7, .kv_heads = 1, .head_dim = 20});
}

// The block size is no input of the arithmetic at all.
TEST(OpsInvariance, AttentionDoesNotDependOnTheBlockSize) {
  Random random(35);
  AttentionShape shape;
  const SequenceInput sequence = MakeSequence(random, shape, 100);
  for (const Ops* ops : SupportedOps()) {
    const std::vector<float> expected = PagedSequences(random, shape, {sequence}).Whole(*ops)[0];
    for (const uint32_t block_tokens : {1u, 7u, 64u}) {
      AttentionShape other = shape;
      other.block_tokens = block_tokens;
      ExpectSameBits(expected, PagedSequences(random, other, {sequence}).Whole(*ops)[0],
                     Describe(*ops, other));
    }
  }
}

}  // namespace
}  // namespace infercept::test
