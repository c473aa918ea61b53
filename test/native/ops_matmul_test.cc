// Goal: matrix products, packing and embedding are right for every dtype, ISA and odd shape.
// Method: against the reference in double; the tolerance follows from the norm of the inputs and
// the number of roundings.
#include <algorithm>
#include <cmath>
#include <map>

#include "base/check.h"
#include "kernels/dequantize.h"
#include "kernels/half.h"
#include "ops_support.h"
#include "test.h"

namespace infercept::test {
namespace {

struct Shape {
  uint32_t rows;
  uint32_t columns;
  uint32_t tokens;
};

// Every count of groups in the last tile, rows that fill no vector, tokens around the tile sizes.
constexpr Shape kShapes[] = {{1, 32, 1},   {3, 64, 2},    {16, 32, 3},   {17, 96, 4},
                             {40, 160, 5}, {64, 256, 7},  {100, 64, 1},  {130, 320, 6},
                             {200, 96, 9}, {64, 2048, 1}, {256, 64, 33}, {70, 1024, 3}};

std::string Describe(const Ops& ops, const Matrix& matrix, uint32_t tokens) {
  return std::string(ops.isa()) + " " + std::string(DTypeName(matrix.dtype)) + " " +
         std::to_string(matrix.rows) + "x" + std::to_string(matrix.columns) + ", " +
         std::to_string(tokens) + " tokens";
}

// [tokens][rows]: sum over columns of |weight| * magnitude.
std::vector<double> Norms(const Matrix& matrix, const std::vector<float>& magnitudes) {
  std::vector<double> norms(magnitudes.size() / matrix.columns * matrix.rows);
  for (uint32_t r = 0; r < matrix.rows; ++r) {
    const std::vector<float> row = matrix.Row(r);
    for (size_t t = 0; t < magnitudes.size() / matrix.columns; ++t) {
      for (uint32_t c = 0; c < matrix.columns; ++c) {
        norms[t * matrix.rows + r] +=
            std::abs(double{row[c]} * double{magnitudes[t * matrix.columns + c]});
      }
    }
  }
  return norms;
}

// A chain of n roundings of partial sums that are at most the norm: a random walk, and four times
// its deviation.
std::vector<double> RoundingTolerance(const Matrix& matrix, const std::vector<float>& x) {
  std::vector<double> tolerance = Norms(matrix, x);
  const double growth = 4 * std::sqrt(matrix.columns) + 4;
  for (double& bound : tolerance) bound *= growth * kEpsilon;
  return tolerance;
}

// Half a quantization step of each value's block.
std::vector<float> HalfSteps(DType dtype, const std::vector<float>& x) {
  const uint32_t block = InputBlock(dtype);
  std::vector<float> steps(x.size());
  for (size_t b = 0; b < x.size(); b += block) {
    float largest = 0;
    for (size_t i = b; i < b + block; ++i) largest = std::max(largest, std::abs(x[i]));
    std::fill_n(steps.begin() + static_cast<ptrdiff_t>(b), block, largest / 254.0f);
  }
  return steps;
}

size_t RowsOf(std::span<const Matrix> matrices) {
  size_t rows = 0;
  for (const Matrix& matrix : matrices) rows += matrix.rows;
  return rows;
}

// Both: [tokens][rows of all matrices].
std::vector<float> MatMulOneByOne(const Ops& ops, std::span<const Matrix> matrices,
                                  const std::vector<float>& x, uint32_t tokens) {
  const size_t stride = RowsOf(matrices);
  std::vector<float> out(tokens * stride);
  size_t first = 0;
  for (const Matrix& matrix : matrices) {
    const std::vector<float> part = MatMul(ops, matrix, x, tokens);
    for (size_t t = 0; t < tokens; ++t) {
      std::copy_n(part.data() + t * matrix.rows, matrix.rows, out.data() + t * stride + first);
    }
    first += matrix.rows;
  }
  return out;
}

std::vector<float> MatMulTogether(const Ops& ops, std::span<const Matrix> matrices,
                                  const std::vector<float>& x, uint32_t tokens) {
  const size_t stride = RowsOf(matrices);
  std::vector<float> out(tokens * stride, -1.0f);
  std::vector<AlignedBytes> packed;
  std::vector<MatMulProduct> products;
  std::map<DType, size_t> scratch_bytes;
  float* next = out.data();
  for (const auto& [dtype, rows, columns, bytes] : matrices) {
    packed.emplace_back(ops.PackedBytes(dtype, rows, columns));
    ops.Pack({dtype, bytes.data(), rows, columns}, packed.back().span(), TestPool());
    products.push_back({{dtype, packed.back().span().data(), rows, columns}, next, stride});
    scratch_bytes[dtype] = ops.MatMulScratchBytes(dtype, tokens, columns);
    next += rows;
  }
  size_t sum = 0;
  for (const auto& [dtype, bytes] : scratch_bytes) sum += bytes;
  AlignedBytes scratch(sum);
  ops.MatMul(products, x.data(), tokens, scratch.span(), TestPool());
  return out;
}

TEST(OpsMatMul, AgreesWithTheReference) {
  Random random(1);
  for (const DType dtype : kWeightDTypes) {
    for (const Shape& shape : kShapes) {
      const uint32_t columns = WholeBlocks(dtype, shape.columns);
      const Matrix matrix = MakeMatrix(random, dtype, shape.rows, columns);
      const std::vector<float> x = random.Activations(size_t{shape.tokens} * columns);
      for (const Ops* ops : SupportedOps()) {
        const std::vector<float> seen = SeenInputs(*ops, dtype, x);
        const std::vector<float> expected = MatMul(ReferenceOps(), matrix, seen, shape.tokens);
        const std::vector<double> tolerance = RoundingTolerance(matrix, seen);
        ExpectClose(expected, MatMul(*ops, matrix, x, shape.tokens), tolerance,
                    Describe(*ops, matrix, shape.tokens));
      }
    }
  }
}

TEST(OpsMatMul, QuantizedActivationsCostAtMostHalfAStep) {
  Random random(2);
  const std::vector<float> x = random.Activations(4 * 512);
  for (const DType dtype : {DType::kQ8_0, DType::kQ4_1, DType::kQ4_K, DType::kQ6_K}) {
    const Matrix matrix = MakeMatrix(random, dtype, 48, 512);
    const std::vector<float> expected = MatMul(ReferenceOps(), matrix, x, 4);
    std::vector<double> tolerance = Norms(matrix, HalfSteps(dtype, x));
    const std::vector<double> rounding = RoundingTolerance(matrix, x);
    for (size_t i = 0; i < tolerance.size(); ++i) tolerance[i] += rounding[i];
    for (const Ops* ops : SupportedOps()) {
      ExpectClose(expected, MatMul(*ops, matrix, x, 4), tolerance, Describe(*ops, matrix, 4));
    }
  }
}

// The largest products that int16 intermediates meet: 128 * 127 * 2 in one pair.
TEST(OpsMatMul, ExtremeBytesDoNotSaturate) {
  Random random(3);
  Matrix matrix = MakeMatrix(random, DType::kQ8_0, 2, 64);
  for (size_t i = 0; i < matrix.bytes.size(); ++i) {
    const bool first_row = i < matrix.bytes.size() / 2;
    if (i % kQ8BlockBytes >= 2) matrix.bytes[i] = first_row ? std::byte{0x80} : std::byte{0x7F};
  }
  for (const float sign : {1.0f, -1.0f}) {
    const std::vector<float> x(64, sign * 3.0f);
    const std::vector<float> expected = MatMul(ReferenceOps(), matrix, x, 1);
    const std::vector<double> tolerance = RoundingTolerance(matrix, x);
    for (const Ops* ops : SupportedOps()) {
      ExpectClose(expected, MatMul(*ops, matrix, x, 1), tolerance, Describe(*ops, matrix, 1));
    }
  }
}

TEST(OpsMatMul, ZeroTokensAndZeroActivations) {
  Random random(4);
  for (const DType dtype : kWeightDTypes) {
    const Matrix matrix = MakeMatrix(random, dtype, 20, WholeBlocks(dtype, 64));
    for (const Ops* ops : SupportedOps()) {
      EXPECT_EQ(MatMul(*ops, matrix, {}, 0).size(), 0u);
      const std::vector<float> out = MatMul(*ops, matrix, std::vector<float>(matrix.columns), 1);
      for (const float value : out) EXPECT_EQ(value, 0.0f) << Describe(*ops, matrix, 1);
    }
  }
}

TEST(OpsMatMul, LeavesWhatLiesBetweenOutputRows) {
  Random random(5);
  const Matrix matrix = MakeMatrix(random, DType::kF32, 21, 32);
  const std::vector<float> x = random.Activations(5 * 32);
  for (const Ops* ops : SupportedOps()) {
    AlignedBytes packed(ops->PackedBytes(DType::kF32, 21, 32));
    ops->Pack(matrix.view(), packed.span(), TestPool());
    AlignedBytes scratch(ops->MatMulScratchBytes(DType::kF32, 5, 32));
    std::vector<float> out(5 * 30, 7.0f);
    ops->MatMul({{DType::kF32, packed.span().data(), 21, 32}, out.data(), 30}, x.data(), 5,
                scratch.span(), TestPool());
    for (size_t i = 0; i < out.size(); ++i) EXPECT_EQ(out[i] == 7.0f, i % 30 >= 21) << ops->isa();
  }
}

TEST(OpsMatMul, WrongShapesThrow) {
  const Matrix odd{DType::kQ8_0, 1, 33, std::vector<std::byte>(64)};
  for (const Ops* ops : SupportedOps()) {
    AlignedBytes packed(4096);
    EXPECT_THROW(ops->Pack(odd.view(), packed.span(), TestPool()), InternalError);
    const PackedWeight weight{DType::kQ8_0, packed.span().data(), 1, 32};
    float x[32] = {};
    float out[1];
    EXPECT_THROW(ops->MatMul({weight, out, 1}, x, 1, {}, TestPool()), InternalError);
    const PackedWeight wider{DType::kF32, packed.span().data(), 1, 64};
    const PackedWeight narrow{DType::kF32, packed.span().data(), 1, 32};
    const MatMulProduct unequal[] = {{narrow, out, 1}, {wider, out, 1}};
    EXPECT_THROW(ops->MatMul(unequal, x, 1, {}, TestPool()), InternalError);
    const std::vector<MatMulProduct> many(kMatMulProductsMax + 1, {narrow, out, 1});
    EXPECT_THROW(ops->MatMul(many, x, 1, {}, TestPool()), InternalError);
  }
}

TEST(OpsMatMul, PiecesPackToWhatTheWholePacksTo) {
  Random random(8);
  std::vector<const Ops*> all = SupportedOps();
  all.push_back(&ReferenceOps());
  for (const DType dtype : kWeightDTypes) {
    const Matrix matrix = MakeMatrix(random, dtype, 200, 512);
    for (const Ops* ops : all) {
      AlignedBytes whole(ops->PackedBytes(dtype, 200, 512));
      ops->Pack(matrix.view(), whole.span(), TestPool());
      AlignedBytes pieces(whole.span().size());
      size_t packed = 0;
      const uint32_t piece_rows = ops->PackRows(dtype);
      ASSERT_TRUE(piece_rows < 200);
      for (uint32_t row = 0; row < 200; row += piece_rows) {
        const uint32_t rows = std::min(piece_rows, 200 - row);
        const WeightView piece{dtype, RowOf(matrix.view(), row), rows, 512};
        ops->Pack(piece, pieces.span().subspan(packed), TestPool());
        packed += ops->PackedBytes(dtype, rows, 512);
      }
      EXPECT_EQ(packed, whole.span().size());
      EXPECT_TRUE(std::ranges::equal(whole.span(), pieces.span())) << Describe(*ops, matrix, 0);
    }
  }
}

// As queries, keys and values in a file of mixed dtypes: side by side in the same rows of outputs.
TEST(OpsMatMul, ProductsInOneCallAreThoseOfSeveral) {
  Random random(7);
  const Matrix matrices[] = {
      MakeMatrix(random, DType::kQ8_0, 130, 96), MakeMatrix(random, DType::kBF16, 20, 96),
      MakeMatrix(random, DType::kQ8_0, 7, 96), MakeMatrix(random, DType::kF32, 64, 96)};
  for (const Ops* ops : SupportedOps()) {
    for (const uint32_t tokens : {1u, 2u, 9u, 40u}) {
      const std::vector<float> x = random.Activations(size_t{tokens} * 96);
      ExpectSameBits(MatMulOneByOne(*ops, matrices, x, tokens),
                     MatMulTogether(*ops, matrices, x, tokens),
                     std::string(ops->isa()) + ", " + std::to_string(tokens) + " tokens");
    }
  }
}

TEST(OpsEmbed, ReadsRows) {
  Random random(6);
  const TokenId tokens[] = {4, 0, 8, 4};
  for (const DType dtype : kWeightDTypes) {
    const Matrix table = MakeMatrix(random, dtype, 9, WholeBlocks(dtype, 96));
    const uint32_t columns = table.columns;
    for (const Ops* ops : SupportedOps()) {
      std::vector<float> out(size_t{4} * columns);
      ops->Embed(table.view(), tokens, out.data());
      for (size_t i = 0; i < 4; ++i) {
        ExpectSameBits(table.Row(static_cast<uint32_t>(tokens[i])),
                       std::span(out).subspan(i * columns, columns), std::string(ops->isa()));
      }
      const TokenId outside[] = {9};
      EXPECT_THROW(ops->Embed(table.view(), outside, out.data()), InternalError);
    }
  }
}

// All 65,536 F16 values: to float by the definition of binary16, and back to the same bits.
TEST(Half, ConvertsEveryF16) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = ToFloat(static_cast<F16>(bits));
    const uint32_t exponent = (bits >> 10) & 31;
    const double fraction = bits & 1023;
    if (exponent == 31) {
      EXPECT_EQ(std::isnan(value), fraction != 0);
      if (fraction != 0) continue;
    } else {
      const double magnitude = exponent == 0
                                   ? std::ldexp(fraction, -24)
                                   : std::ldexp(1024 + fraction, static_cast<int>(exponent) - 25);
      EXPECT_EQ(double{value}, bits & 0x8000 ? -magnitude : magnitude) << "bits " << bits;
    }
    EXPECT_EQ(static_cast<uint32_t>(ToF16(value)), bits);
  }
}

TEST(Half, RoundsToNearestEven) {
  EXPECT_EQ(static_cast<int>(ToF16(1.0f + 0x1p-11f)), 0x3C00);             // tie, down to even
  EXPECT_EQ(static_cast<int>(ToF16(1.0f + 0x1p-11f + 0x1p-20f)), 0x3C01);  // above the tie
  EXPECT_EQ(static_cast<int>(ToF16(1.0f + 3 * 0x1p-11f)), 0x3C02);         // tie, up to even
  EXPECT_EQ(static_cast<int>(ToF16(65519.0f)), 0x7BFF);                    // largest finite
  EXPECT_EQ(static_cast<int>(ToF16(65520.0f)), 0x7C00);                    // infinity
  EXPECT_EQ(static_cast<int>(ToF16(0x1p-25f)), 0);                         // tie, down to zero
  EXPECT_EQ(static_cast<int>(ToF16(-0x1.8p-25f)), 0x8001);
  EXPECT_EQ(static_cast<int>(ToBF16(1.0f + 0x1p-8f)), 0x3F80);
  EXPECT_EQ(static_cast<int>(ToBF16(1.0f + 3 * 0x1p-8f)), 0x3F82);
  EXPECT_TRUE(std::isnan(ToFloat(ToBF16(NAN))));
  EXPECT_TRUE(std::isnan(ToFloat(ToF16(NAN))));
}

}  // namespace
}  // namespace infercept::test
