#include "ops_support.h"

#include <algorithm>
#include <cstring>

#include "kernels/dequantize.h"
#include "kernels/half.h"
#include "kernels/random_blocks.h"
#include "test.h"

namespace infercept::test {
namespace {

void Append(std::vector<std::byte>& bytes, const auto& value) {
  const auto* from = reinterpret_cast<const std::byte*>(&value);
  bytes.insert(bytes.end(), from, from + sizeof(value));
}

// All 256 bytes: files of others may have -128 in Q8_0.
void AppendBlocks(Random& random, DType dtype, uint32_t columns, float deviation,
                  std::vector<std::byte>& bytes) {
  constexpr uint8_t kExtremes[] = {0x00, 0xFF, 0x7F, 0x80};
  for (uint32_t b = 0; b < columns / BlockValues(dtype); ++b) {
    const size_t begin = bytes.size();
    const bool extreme = random.Below(8) == 0;
    const uint8_t same = kExtremes[random.Below(4)];
    for (size_t i = 0; i < BlockBytes(dtype); ++i) {
      Append(bytes, extreme ? same : static_cast<uint8_t>(random.Below(256)));
    }
    SetBlockScales(dtype, deviation * (0.5f + std::abs(random.Bell())), bytes.data() + begin);
  }
}

}  // namespace

uint64_t Random::Next() {
  uint64_t z = state_ += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

float Random::Bell() {
  float sum = 0;  // of 12 uniform values: deviation 1, mean 6
  for (int i = 0; i < 12; ++i) sum += static_cast<float>(Next() >> 40) * 0x1p-24f;
  return sum - 6.0f;
}

std::vector<float> Random::Activations(size_t count) {
  std::vector<float> values(count);
  for (float& value : values) value = Bell() * (Below(50) == 0 ? 10.0f : 1.0f);
  return values;
}

std::vector<float> Matrix::Row(uint32_t row) const {
  std::vector<float> values(columns);
  DequantizeRow(dtype, RowOf(view(), row), columns, values.data());
  return values;
}

Matrix MakeMatrix(Random& random, DType dtype, uint32_t rows, uint32_t columns) {
  Matrix matrix{dtype, rows, columns, {}};
  const float deviation = 1.0f / std::sqrt(static_cast<float>(columns));
  for (uint32_t r = 0; r < rows; ++r) {
    if (IsQuantized(dtype)) {
      AppendBlocks(random, dtype, columns, deviation, matrix.bytes);
      continue;
    }
    for (uint32_t c = 0; c < columns; ++c) {
      const float value = random.Bell() * deviation;
      if (dtype == DType::kF32) Append(matrix.bytes, value);
      if (dtype == DType::kF16) Append(matrix.bytes, ToF16(value));
      if (dtype == DType::kBF16) Append(matrix.bytes, ToBF16(value));
    }
  }
  return matrix;
}

ThreadPool& TestPool() {
  static ThreadPool pool(3);
  return pool;
}

PackedMatrix::PackedMatrix(const Ops& ops, const Matrix& matrix)
    : ops_(ops),
      matrix_(matrix),
      bytes_(ops.PackedBytes(matrix.dtype, matrix.rows, matrix.columns)) {
  ops.Pack(matrix.view(), bytes_.span(), TestPool());
}

std::vector<float> PackedMatrix::Times(const std::vector<float>& x, uint32_t tokens) {
  AlignedBytes scratch(ops_.MatMulScratchBytes(matrix_.dtype, tokens, matrix_.columns));
  std::vector<float> out(size_t{tokens} * matrix_.rows, -1.0f);
  ops_.MatMul({{matrix_.dtype, bytes_.span().data(), matrix_.rows, matrix_.columns},
               out.data(),
               matrix_.rows},
              x.data(), tokens, scratch.span(), TestPool());
  return out;
}

std::vector<float> MatMul(const Ops& ops, const Matrix& matrix, const std::vector<float>& x,
                          uint32_t tokens) {
  return PackedMatrix(ops, matrix).Times(x, tokens);
}

std::vector<float> SeenInputs(const Ops& ops, DType dtype, const std::vector<float>& x) {
  std::vector<float> out = x;
  if (dtype == DType::kBF16 && ops.isa() == "avx512bf16") {
    for (float& value : out) value = ToFloat(ToBF16(value));
  }
  const uint32_t block = InputBlock(dtype);
  for (size_t b = 0; block > 1 && b < x.size(); b += block) {
    float largest = 0;
    for (size_t i = b; i < b + block; ++i) largest = std::max(largest, std::abs(x[i]));
    const float inverse = largest > 0 ? 127.0f / largest : 0.0f;
    for (size_t i = b; i < b + block; ++i) {
      out[i] = std::nearbyint(x[i] * inverse) * (largest / 127.0f);
    }
  }
  return out;
}

void ExpectClose(const std::vector<float>& expected, const std::vector<float>& actual,
                 const std::vector<double>& tolerance, const std::string& what) {
  ASSERT_EQ(expected.size(), actual.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const double difference = std::abs(double{expected[i]} - double{actual[i]});
    EXPECT_TRUE(difference <= tolerance[i])
        << what << ": at " << i << " expected " << expected[i] << ", actual " << actual[i]
        << ", difference " << difference << ", tolerance " << tolerance[i];
    if (!(difference <= tolerance[i])) return;
  }
}

void ExpectSameBits(std::span<const float> expected, std::span<const float> actual,
                    const std::string& what) {
  ASSERT_EQ(expected.size(), actual.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const bool same = std::memcmp(&expected[i], &actual[i], sizeof(float)) == 0;
    EXPECT_TRUE(same) << what << ": at " << i << " expected " << Show(expected[i]) << ", actual "
                      << Show(actual[i]) << ", tolerance 0";
    if (!same) return;
  }
}

}  // namespace infercept::test
