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
      const uint32_t columns = WholeBlocks(dtype, 160);
      const Matrix matrix = MakeMatrix(random, dtype, rows, columns);
      const std::vector<float> x = random.Activations(size_t{kTokens} * columns);
      for (const Ops* ops : SupportedOps()) {
        PackedMatrix packed(*ops, matrix);
        std::vector<float> alone;
        for (uint32_t t = 0; t < kTokens; ++t) {
          const std::vector<float> row(x.begin() + t * columns, x.begin() + (t + 1) * columns);
          std::ranges::copy(packed.Times(row, 1), std::back_inserter(alone));
        }
        for (uint32_t tokens = 2; tokens <= kTokens; ++tokens) {
          ExpectSameBits(std::span(alone).first(size_t{tokens} * rows), packed.Times(x, tokens),
                         Describe(*ops, dtype, tokens));
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
      const uint32_t head_dim = dtype == DType::kQ8_0 ? 32 : 16;
      CompareCuts({.dtype = dtype, .head_dim = head_dim, .block_tokens = block_tokens});
    }
  }
  CompareCuts({.heads = 7, .kv_heads = 1, .head_dim = 20});
}

// Under every rule, and with windows whose hidden splits are skipped.
TEST(OpsInvariance, AttentionRulesDoNotDependOnChunksOrBatches) {
  CompareCuts({.window_tokens = 20});
  CompareCuts({.soft_cap = 3, .window_tokens = 1});
  CompareCuts({.sinks = {1, -2, 3, 0}});
}

// Sequences that end in several splits, with `shared` equal tokens at their beginning.
std::vector<SequenceInput> LongSequences(Random& random, const AttentionShape& shape,
                                         uint32_t shared) {
  std::vector<SequenceInput> sequences;
  for (const uint32_t tokens : {1030u, 700u, 777u, 512u, 1030u, 530u, 300u, 769u, 650u, 512u}) {
    sequences.push_back(MakeSequence(random, shape, tokens));
    const auto count = static_cast<ptrdiff_t>(std::min(shared, tokens) * shape.kv_width());
    std::copy_n(sequences.front().key.begin(), count, sequences.back().key.begin());
    std::copy_n(sequences.front().value.begin(), count, sequences.back().value.begin());
  }
  return sequences;
}

std::vector<Piece> Pieces(const std::vector<SequenceInput>& sequences, uint32_t last_rows) {
  std::vector<Piece> pieces;
  for (uint32_t i = 0; i < sequences.size(); ++i) {
    // Some prefill a few rows, across a split's end.
    const uint32_t rows = i % 3 == 2 ? 5 * last_rows : last_rows;
    pieces.push_back({i, sequences[i].tokens - rows, rows});
  }
  return pieces;
}

// Neither does it depend on which sequences of the batch have the same blocks, nor on how many
// threads share the splits of long ones.
TEST(OpsInvariance, AttentionDoesNotDependOnSharedBlocksOrThreads) {
  ThreadPool one(1);
  ThreadPool two(2);
  for (const DType dtype : kKvDTypes) {
    for (const uint32_t shared : {256u, 512u}) {
      for (const uint32_t rows : {1u, 2u}) {
        Random random(36);
        AttentionShape shape{.dtype = dtype, .heads = 8, .kv_heads = 1, .head_dim = 32};
        if (shared == 512) shape.sinks.assign(8, 0.5f);
        if (rows == 2) shape.window_tokens = 300;
        const auto sequences = LongSequences(random, shape, shared);
        const std::vector<Piece> pieces = Pieces(sequences, rows);
        PagedSequences apart(random, shape, sequences);
        PagedSequences together(random, shape, sequences);
        for (PagedSequences* paged : {&apart, &together}) paged->Whole(*SupportedOps().front());
        together.Share(shared);
        for (const Ops* ops : SupportedOps()) {
          const std::string what = Describe(*ops, shape) + ", shared " + std::to_string(shared);
          std::vector<float> expected;
          for (const Piece& piece : pieces) {
            std::ranges::copy(apart.Step(*ops, {&piece, 1}, one), std::back_inserter(expected));
          }
          ExpectSameBits(expected, apart.Step(*ops, pieces, one), what + ", one thread, apart");
          ExpectSameBits(expected, together.Step(*ops, pieces, one), what + ", one thread");
          ExpectSameBits(expected, together.Step(*ops, pieces, two), what + ", two threads");
          ExpectSameBits(expected, together.Step(*ops, pieces), what + ", three threads");
          ExpectSameBits(expected, apart.Step(*ops, pieces), what + ", three threads, apart");
        }
      }
    }
  }
}

// A single token whose splits are cut among threads, and the same token as the last of a prefill.
TEST(OpsInvariance, AttentionDoesNotDependOnCuttingOneSequence) {
  ThreadPool one(1);
  Random random(37);
  for (const DType dtype : kKvDTypes) {
    AttentionShape shape{.dtype = dtype, .heads = 2, .kv_heads = 1, .head_dim = 32};
    if (dtype == DType::kF16) shape.window_tokens = 1100;
    PagedSequences paged(random, shape, {MakeSequence(random, shape, 2500)});
    for (const Ops* ops : SupportedOps()) {
      const std::vector<float> whole = paged.Whole(*ops)[0];
      const Piece last{0, 2499, 1};
      const auto expected = std::span(whole).last(shape.query_width());
      ExpectSameBits(expected, paged.Step(*ops, {&last, 1}, one), Describe(*ops, shape) + ", one");
      ExpectSameBits(expected, paged.Step(*ops, {&last, 1}), Describe(*ops, shape) + ", three");
    }
  }
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
