// Goal: attention and the KV writes are right for every dtype, ISA, head shape and block size, over
// scattered blocks. Method: against the reference in double, which reads the same rounded cache;
// unwritten memory is NaN.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "ops_attention_support.h"
#include "test.h"

namespace infercept::test {
namespace {

// A head of this dtype: Q8_0 needs a multiple of 32.
uint32_t HeadDimOf(DType dtype) { return dtype == DType::kQ8_0 ? 64 : 16; }

// An output is a mean of values with weights e^score. A score has an error of about sqrt(head_dim)
// roundings of its norm, and the weight that relative error; the mean adds sqrt(tokens) roundings
// of the largest value.
double Tolerance(const AttentionShape& shape, const SequenceInput& sequence) {
  double largest = 0;
  for (const float value : sequence.value) largest = std::max(largest, std::abs(double{value}));
  double score = 0;
  for (const auto* side : {&sequence.query, &sequence.key}) {
    double squares = 0;
    for (const float value : *side) squares = std::max(squares, std::abs(double{value}));
    score = score == 0 ? squares : score * squares;
  }
  score *= std::sqrt(shape.head_dim) * shape.head_dim / 8.0 * static_cast<double>(shape.scale());
  const double weights = 2 * score + 4 * std::sqrt(sequence.tokens) + 16;
  return largest * weights * kEpsilon;
}

void Compare(Random& random, const AttentionShape& shape, uint32_t tokens) {
  std::vector<SequenceInput> sequences = {MakeSequence(random, shape, tokens)};
  const double tolerance = Tolerance(shape, sequences[0]);
  PagedSequences paged(random, shape, std::move(sequences));
  const std::vector<float> expected = paged.Whole(ReferenceOps())[0];
  const std::vector<double> tolerances(expected.size(), tolerance);
  const std::vector<std::byte> keys(paged.keys().begin(), paged.keys().end());
  for (const Ops* ops : SupportedOps()) {
    ExpectClose(expected, paged.Whole(*ops)[0], tolerances, Describe(*ops, shape));
    EXPECT_TRUE(std::ranges::equal(keys, paged.keys()))
        << Describe(*ops, shape) << ": cache differs from the reference's";
  }
}

TEST(OpsAttention, AgreesWithTheReferenceForEveryDTypeAndBlockSize) {
  Random random(21);
  for (const DType dtype : kKvDTypes) {
    for (const uint32_t block_tokens : {1u, 4u, 16u, 32u}) {
      for (const uint32_t tokens : {1u, 2u, 31u, 32u, 33u, 70u}) {
        Compare(random,
                {.dtype = dtype, .head_dim = HeadDimOf(dtype), .block_tokens = block_tokens},
                tokens);
      }
    }
  }
}

TEST(OpsAttention, AgreesWithTheReferenceForEveryHeadShape) {
  Random random(22);
  for (const auto& [heads, kv_heads] :
       {std::pair{1u, 1u}, {8u, 1u}, {6u, 2u}, {5u, 5u}, {80u, 1u}}) {
    for (const uint32_t head_dim : {1u, 4u, 20u, 64u, 100u, 128u}) {
      Compare(random, {.heads = heads, .kv_heads = kv_heads, .head_dim = head_dim}, 37);
    }
    for (const uint32_t head_dim : {32u, 96u, 128u}) {
      Compare(random,
              {.dtype = DType::kQ8_0, .heads = heads, .kv_heads = kv_heads, .head_dim = head_dim},
              37);
    }
  }
}

TEST(OpsAttention, OnePositionReturnsItsValue) {
  Random random(23);
  const AttentionShape shape{.dtype = DType::kF32, .heads = 2, .kv_heads = 1, .head_dim = 24};
  SequenceInput sequence = MakeSequence(random, shape, 1);
  std::vector<float> expected = sequence.value;
  expected.insert(expected.end(), sequence.value.begin(), sequence.value.end());
  PagedSequences paged(random, shape, {sequence});
  for (const Ops* ops : SupportedOps()) {
    ExpectSameBits(expected, paged.Whole(*ops)[0], Describe(*ops, shape));
  }
}

// Scores of several hundred would overflow e^score; the running maximum must keep weights at
// most 1.
TEST(OpsAttention, LargeScoresDoNotOverflow) {
  Random random(24);
  const AttentionShape shape{.dtype = DType::kF32, .heads = 1, .kv_heads = 1, .head_dim = 16};
  SequenceInput sequence = MakeSequence(random, shape, 80);
  for (float& value : sequence.query) value *= 40.0f;
  const double tolerance = Tolerance(shape, sequence);
  PagedSequences paged(random, shape, {sequence});
  const std::vector<float> expected = paged.Whole(ReferenceOps())[0];
  for (const Ops* ops : SupportedOps()) {
    ExpectClose(expected, paged.Whole(*ops)[0], std::vector<double>(expected.size(), tolerance),
                Describe(*ops, shape));
  }
}

// Positions of several splits: the last rows of a prefill, and single tokens, against the
// reference. Sequences of one batch end before, at and behind a split's end.
TEST(OpsAttention, AgreesWithTheReferenceOverManySplits) {
  Random random(26);
  for (const DType dtype : kKvDTypes) {
    const AttentionShape shape{.dtype = dtype, .head_dim = HeadDimOf(dtype)};
    constexpr uint32_t kLengths[] = {255, 256, 257, 511, 800, 1025};
    std::vector<SequenceInput> sequences;
    std::vector<Piece> most;
    std::vector<Piece> last;
    std::vector<double> tolerances;
    for (uint32_t i = 0; i < std::size(kLengths); ++i) {
      const uint32_t rows = i % 2 == 0 ? 1 : 9;
      sequences.push_back(MakeSequence(random, shape, kLengths[i]));
      most.push_back({i, 0, kLengths[i] - rows});
      last.push_back({i, kLengths[i] - rows, rows});
      tolerances.insert(tolerances.end(), rows * shape.query_width(),
                        Tolerance(shape, sequences.back()));
    }
    PagedSequences paged(random, shape, std::move(sequences));
    for (const Ops* ops : SupportedOps()) {
      paged.Step(*ops, most);
      const std::vector<float> actual = paged.Step(*ops, last);
      ExpectClose(paged.Step(ReferenceOps(), last), actual, tolerances, Describe(*ops, shape));
    }
  }
}

// Windows that end before, at and behind the ends of splits, of blocks and of the context; capped
// scores; scores that no value belongs to, up to some that outweigh all others.
std::vector<AttentionShape> RuledShapes(DType dtype) {
  const AttentionShape plain{.dtype = dtype, .head_dim = HeadDimOf(dtype)};
  return WithEachRule(plain, {1u, 5u, 64u, 255u, 256u, 300u, 2000u});
}

TEST(OpsAttention, AgreesWithTheReferenceUnderEveryRule) {
  Random random(27);
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kQ8_0}) {
    for (const AttentionShape& shape : RuledShapes(dtype)) {
      constexpr uint32_t kLengths[] = {1, 40, 257, 600};
      std::vector<SequenceInput> sequences;
      std::vector<Piece> most;
      std::vector<Piece> last;
      std::vector<double> tolerances;
      for (uint32_t i = 0; i < std::size(kLengths); ++i) {
        const uint32_t rows = i % 2 == 0 ? 1 : 9;
        sequences.push_back(MakeSequence(random, shape, kLengths[i]));
        most.push_back({i, 0, kLengths[i] - rows});
        last.push_back({i, kLengths[i] - rows, rows});
        tolerances.insert(tolerances.end(), rows * shape.query_width(),
                          Tolerance(shape, sequences.back()));
      }
      PagedSequences paged(random, shape, std::move(sequences));
      for (const Ops* ops : SupportedOps()) {
        paged.Step(*ops, most);
        const std::vector<float> actual = paged.Step(*ops, last);
        ExpectClose(paged.Step(ReferenceOps(), last), actual, tolerances,
                    Describe(*ops, shape) + ", window " + std::to_string(shape.window_tokens));
      }
    }
  }
}

// The rules matter: each changes what the reference computes, where it should and nowhere else.
TEST(OpsAttention, AWindowHidesWhatIsBeforeIt) {
  Random random(28);
  AttentionShape shape{.dtype = DType::kF32};
  const SequenceInput sequence = MakeSequence(random, shape, 20);
  const std::vector<float> all = PagedSequences(random, shape, {sequence}).Whole(ReferenceOps())[0];
  shape.window_tokens = 8;
  const std::vector<float> near =
      PagedSequences(random, shape, {sequence}).Whole(ReferenceOps())[0];
  const size_t width = shape.query_width();
  ExpectSameBits(std::span(all).first(8 * width), std::span(near).first(8 * width), "first 8");
  for (size_t row = 8; row < 20; ++row) EXPECT_NE(all[row * width], near[row * width]);
  // The last token sees what it would see if the sequence began 7 tokens before it.
  SequenceInput end{8, {}, {}, {}};
  end.query.assign(sequence.query.end() - static_cast<ptrdiff_t>(8 * width), sequence.query.end());
  const auto kv = static_cast<ptrdiff_t>(8 * shape.kv_width());
  end.key.assign(sequence.key.end() - kv, sequence.key.end());
  end.value.assign(sequence.value.end() - kv, sequence.value.end());
  const std::vector<float> cut = PagedSequences(random, shape, {end}).Whole(ReferenceOps())[0];
  ExpectSameBits(std::span(cut).last(width), std::span(near).last(width), "last token");
}

TEST(OpsAttention, NoSlicesAndEmptySlicesDoNothing) {
  Random random(25);
  const AttentionShape shape;
  PagedSequences paged(random, shape, {MakeSequence(random, shape, 3)});
  const Piece empty{0, 0, 0};
  for (const Ops* ops : SupportedOps()) {
    EXPECT_EQ(paged.Step(*ops, {}).size(), 0u);
    EXPECT_EQ(paged.Step(*ops, {&empty, 1}).size(), 0u);
  }
}

}  // namespace
}  // namespace infercept::test
