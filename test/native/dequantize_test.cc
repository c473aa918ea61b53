// Goal: blocks of every dtype mean what the gguf package says they mean. Method: its values, bit
// for bit (test/fixtures/make_quantized.py); the reference's products and rows come from them.
#include "kernels/dequantize.h"

#include "base/check.h"
#include "golden_file.h"
#include "ops_support.h"
#include "test.h"

namespace infercept::test {
namespace {

TEST(Dequantize, GivesTheBitsOfTheGgufPackage) {
  for (const DType dtype : kWeightDTypes) {
    if (!IsQuantized(dtype)) continue;
    const std::string name = "quantized/" + std::string(DTypeName(dtype));
    const auto blocks = ReadGolden<std::byte>(name + ".blocks");
    const auto expected = ReadGolden<float>(name + ".values");
    ASSERT_EQ(RowBytes(dtype, expected.size()), blocks.size());
    // One byte further: rows of a mapped file need not be aligned.
    std::vector<std::byte> moved(1 + blocks.size());
    std::copy(blocks.begin(), blocks.end(), moved.begin() + 1);
    std::vector<float> values(expected.size());
    DequantizeRow(dtype, moved.data() + 1, static_cast<uint32_t>(values.size()), values.data());
    ExpectSameBits(expected, values, name);
  }
}

TEST(Dequantize, RandomMatricesHaveTheWantedDeviation) {
  Random random(7);
  for (const DType dtype : kWeightDTypes) {
    const Matrix matrix = MakeMatrix(random, dtype, 64, 1024);
    double squares = 0;
    for (uint32_t r = 0; r < matrix.rows; ++r) {
      for (const float value : matrix.Row(r)) squares += double{value} * value;
    }
    // Scales vary, extreme blocks are larger, and powers of two are up to sqrt(2) off.
    const double ratio = std::sqrt(squares / matrix.rows);
    EXPECT_TRUE(ratio > 0.6 && ratio < 2.5) << DTypeName(dtype) << ": " << ratio;
  }
}

TEST(Dequantize, TheReferenceMultipliesEveryDType) {
  Random random(8);
  const std::vector<float> x = random.Activations(3 * 512);
  for (const DType dtype : kWeightDTypes) {
    const Matrix matrix = MakeMatrix(random, dtype, 5, 512);
    const std::vector<float> out = MatMul(ReferenceOps(), matrix, x, 3);
    for (uint32_t t = 0; t < 3; ++t) {
      for (uint32_t r = 0; r < 5; ++r) {
        double sum = 0;
        const std::vector<float> row = matrix.Row(r);
        for (uint32_t c = 0; c < 512; ++c) sum += double{row[c]} * double{x[t * 512 + c]};
        EXPECT_EQ(out[t * 5 + r], static_cast<float>(sum)) << DTypeName(dtype);
      }
    }
  }
}

TEST(Dequantize, ColumnsThatFillNoBlockAreRefused) {
  std::vector<std::byte> bytes(4096);
  AlignedBytes packed(4096);
  for (const DType dtype : kWeightDTypes) {
    if (!IsQuantized(dtype)) continue;
    const WeightView odd = {dtype, bytes.data(), 1, BlockValues(dtype) + BlockValues(dtype) / 2};
    EXPECT_THROW(ReferenceOps().Pack(odd, packed.span(), TestPool()), InternalError);
  }
}

}  // namespace
}  // namespace infercept::test
