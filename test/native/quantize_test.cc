// Goal: what QuantizeRow writes is what others write, or as good as its dtype allows. Method: the
// gguf package's bytes where it writes the dtype; else bell-shaped rows: every code is the nearest,
// and the error is below that of plain rounding.
#include "kernels/quantize.h"

#include <algorithm>

#include "golden_file.h"
#include "kernels/blocks.h"
#include "kernels/dequantize.h"
#include "ops_support.h"
#include "test.h"

namespace infercept::test {
namespace {

constexpr uint32_t kGoldenColumns = 64;
constexpr uint32_t kRows = 40;
constexpr uint32_t kColumns = 1024;

std::vector<std::byte> Quantized(DType dtype, const std::vector<float>& values) {
  std::vector<std::byte> bytes(RowBytes(dtype, values.size()));
  QuantizeRow(dtype, values.data(), static_cast<uint32_t>(values.size()), bytes.data());
  return bytes;
}

std::vector<float> ThereAndBack(DType dtype, const std::vector<float>& values) {
  std::vector<float> back(values.size());
  DequantizeRow(dtype, Quantized(dtype, values).data(), static_cast<uint32_t>(values.size()),
                back.data());
  return back;
}

std::vector<float> BellShaped(uint64_t seed, float mean = 0) {
  Random random(seed);
  std::vector<float> values(size_t{kRows} * kColumns);
  for (float& value : values) value = mean + random.Bell() * 0.02f;
  return values;
}

// Root mean square of the difference, in units of that of the values.
double RelativeError(const std::vector<float>& values, const std::vector<float>& back) {
  double errors = 0;
  double squares = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double error = double{values[i]} - double{back[i]};
    errors += error * error;
    squares += double{values[i]} * double{values[i]};
  }
  return std::sqrt(errors / squares);
}

TEST(Quantize, GivesTheBytesOfTheGgufPackage) {
  const auto rows = ReadGolden<float>("quantized/rows.values");
  ASSERT_TRUE(!rows.empty());
  for (const DType dtype : {DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0, DType::kQ4_1,
                            DType::kQ5_0, DType::kQ5_1, DType::kMXFP4}) {
    const std::string name = "quantized/" + std::string(DTypeName(dtype)) + ".written";
    const auto expected = ReadGolden<std::byte>(name);
    const size_t row_bytes = RowBytes(dtype, kGoldenColumns);
    ASSERT_EQ(expected.size(), rows.size() / kGoldenColumns * row_bytes);
    std::vector<std::byte> bytes(row_bytes);
    for (size_t row = 0; row < rows.size() / kGoldenColumns; ++row) {
      QuantizeRow(dtype, rows.data() + row * kGoldenColumns, kGoldenColumns, bytes.data());
      const auto differs = std::mismatch(
          bytes.begin(), bytes.end(), expected.begin() + static_cast<ptrdiff_t>(row * row_bytes));
      EXPECT_TRUE(differs.first == bytes.end())
          << name << ", row " << row << ", byte " << differs.first - bytes.begin() << " is "
          << static_cast<int>(*differs.first) << ", not " << static_cast<int>(*differs.second);
    }
  }
}

TEST(Quantize, KeepsFloats) {
  const std::vector<float> values = BellShaped(1);
  ExpectSameBits(values, ThereAndBack(DType::kF32, values), "f32");
}

struct Expectation {
  DType dtype;
  double error;  // observed for this input, and 2 % more
  // Codes of one run, and how many values share a scale: what plain rounding would have.
  uint32_t codes;
  uint32_t run;
  bool has_minimum;
};

constexpr Expectation kFitted[] = {
    {DType::kQ2_K, 0.27, 4, 16, true},      {DType::kQ3_K, 0.147, 8, 16, false},
    {DType::kQ4_K, 0.0720, 16, 32, true},   {DType::kQ5_K, 0.0356, 32, 32, true},
    {DType::kQ6_K, 0.0176, 64, 16, false},  {DType::kIQ4_NL, 0.0755, 16, 32, false},
    {DType::kIQ4_XS, 0.0758, 16, 32, false}};

// Each run from its lowest to its highest value (or to its largest magnitude on both sides) in
// equal steps, and scales that need not be stored.
std::vector<float> PlainlyRounded(const Expectation& like, const std::vector<float>& values) {
  std::vector<float> back(values.size());
  for (size_t begin = 0; begin < values.size(); begin += like.run) {
    float low = 0;
    float high = 0;
    for (size_t i = begin; i < begin + like.run; ++i) {
      low = std::min(low, values[i]);
      high = std::max(high, values[i]);
    }
    if (!like.has_minimum) high = std::max(high, -low);
    const float steps = static_cast<float>(like.codes - (like.has_minimum ? 1 : 2));
    const float step = (like.has_minimum ? high - low : 2 * high) / steps;
    for (size_t i = begin; i < begin + like.run; ++i) {
      back[i] = like.has_minimum ? low + std::nearbyint((values[i] - low) / step) * step
                                 : std::nearbyint(values[i] / step) * step;
    }
  }
  return back;
}

TEST(Quantize, FittedScalesBeatPlainRounding) {
  const std::vector<float> values = BellShaped(2);
  for (const Expectation& expectation : kFitted) {
    const double error = RelativeError(values, ThereAndBack(expectation.dtype, values));
    const double plain = RelativeError(values, PlainlyRounded(expectation, values));
    EXPECT_LT(error, expectation.error) << DTypeName(expectation.dtype);
    EXPECT_LT(error, plain) << DTypeName(expectation.dtype);
  }
}

// With a mean of three deviations a scale alone wastes codes; a minimum must make up for it.
TEST(Quantize, MinimumsTakeUpAMean) {
  const std::vector<float> values = BellShaped(3, -0.06f);
  const auto error = [&](DType dtype) {
    return RelativeError(values, ThereAndBack(dtype, values));
  };
  EXPECT_LT(error(DType::kQ4_K), 0.8 * error(DType::kIQ4_XS));
  EXPECT_LT(error(DType::kQ5_K), 0.025);
}

// What any value of a run became, every other value of the run could have become.
TEST(Quantize, FittedCodesAreTheNearest) {
  const std::vector<float> values = BellShaped(6, 0.003f);
  for (const Expectation& expectation : kFitted) {
    const std::vector<float> back = ThereAndBack(expectation.dtype, values);
    for (size_t i = 0; i < values.size(); ++i) {
      const size_t begin = i / expectation.run * expectation.run;
      const double distance = std::abs(double{values[i]} - double{back[i]});
      for (size_t other = begin; other < begin + expectation.run; ++other) {
        // Between two equally near ones the roundings of the division decide.
        const double closer = std::abs(double{values[i]} - double{back[other]}) + 1e-8;
        EXPECT_LE(distance, closer) << DTypeName(expectation.dtype) << " at " << i;
        if (!(distance <= closer)) return;
      }
    }
  }
}

TEST(Quantize, ZerosAndConstants) {
  for (const DType dtype : kWeightDTypes) {
    const std::vector<float> zeros(256);
    EXPECT_TRUE(ThereAndBack(dtype, zeros) == zeros) << DTypeName(dtype);
    for (const float constant : {0.5f, -0.5f}) {
      for (const float value : ThereAndBack(dtype, std::vector<float>(256, constant))) {
        // A scale in 16 bits, and at most one step of a 6-bit inner scale.
        EXPECT_TRUE(std::abs(value - constant) < 0.5 / 60)
            << DTypeName(dtype) << ": " << value << " for " << constant;
      }
    }
  }
}

TEST(Quantize, AnyBitsAreSafe) {
  Random random(5);
  std::vector<float> values(kColumns);
  for (float& value : values) value = std::bit_cast<float>(static_cast<uint32_t>(random.Next()));
  values[3] = NAN;
  values[300] = HUGE_VALF;
  values[600] = -HUGE_VALF;
  for (const DType dtype : kWeightDTypes) EXPECT_EQ(ThereAndBack(dtype, values).size(), kColumns);
}

}  // namespace
}  // namespace infercept::test
