// Goal: packed weights of every dtype times few tokens are right, whatever the shape. Method: in
// emulation, in every order of threads, against the reference in double with the same BF16 inputs;
// the tolerance counts the roundings of float sums.
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "cuda_matmul_support.h"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/weight_pack.h"
#include "test.h"

namespace infercept::test {
namespace {

struct Shape {
  uint32_t rows;
  uint32_t columns;
  uint32_t tokens;
};

// Rows around tiles of 16, columns around units of 32, chunks of 256 and rounds of 4 chunks; tokens
// around tiles of 8 and groups of 32.
constexpr Shape kShapes[] = {{1, 32, 1},    {16, 64, 2},  {17, 256, 8},  {40, 288, 9},
                             {33, 1056, 3}, {8, 512, 17}, {50, 160, 33}, {31, 2304, 1}};

std::vector<float> Multiply(const Matrix& matrix, const std::vector<float>& x, uint32_t tokens) {
  const DeviceArray<std::byte> packed = PackOnDevice(matrix);
  const Inputs inputs(x, tokens, matrix.columns);
  DeviceArray<float> out(size_t{tokens} * matrix.rows, NAN);
  const cuda::Product product{
      {matrix.dtype, packed.data(), matrix.rows, matrix.columns}, out.data(), matrix.rows};
  cuda::MatMulFew({&product, 1}, inputs.rows(), tokens, kNullStream);
  return out.Read();
}

TEST(CudaConvertToBF16, RoundsAndFillsWithZeros) {
  Random random(51);
  const std::vector<float> x = random.Activations(3 * 37);
  const Inputs inputs(x, 3, 37);
  const std::vector<BF16> values = inputs.values.Read();
  for (size_t t = 0; t < 3; ++t) {
    for (size_t c = 0; c < inputs.stride; ++c) {
      const BF16 expected = c < 37 ? ToBF16(x[t * 37 + c]) : BF16{0};
      EXPECT_EQ(values[t * inputs.stride + c], expected) << "token " << t << " column " << c;
    }
  }
}

TEST(CudaMatMulFew, AgreesWithTheReference) {
  ForEachOrder([](const std::string& order) {
    Random random(52);
    for (const DType dtype : kWeightDTypes) {
      for (const Shape& shape : kShapes) {
        const uint32_t columns = WholeBlocks(dtype, shape.columns);
        const Matrix matrix = MakeMatrix(random, dtype, shape.rows, columns);
        const std::vector<float> x = random.Activations(size_t{shape.tokens} * columns);
        const std::vector<float> seen = Rounded(x);
        ExpectClose(MatMul(ReferenceOps(), matrix, seen, shape.tokens),
                    Multiply(matrix, x, shape.tokens), Tolerance(matrix, seen, shape.tokens),
                    order + " " + std::string(DTypeName(dtype)) + " " + std::to_string(shape.rows) +
                        "x" + std::to_string(columns) + ", " + std::to_string(shape.tokens) +
                        " tokens");
      }
    }
  });
}

// Floats need no whole units of 32 columns.
TEST(CudaMatMulFew, TakesAnyNumberOfFloatColumns) {
  Random random(53);
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const uint32_t columns : {1u, 7u, 33u, 130u}) {
      const Matrix matrix = MakeMatrix(random, dtype, 19, columns);
      const std::vector<float> x = random.Activations(2 * columns);
      const std::vector<float> seen = Rounded(x);
      ExpectClose(MatMul(ReferenceOps(), matrix, seen, 2), Multiply(matrix, x, 2),
                  Tolerance(matrix, seen, 2), std::string(DTypeName(dtype)));
    }
  }
}

// What is computed for a token does not depend on the others.
TEST(CudaMatMulFew, TokensDoNotSeeEachOther) {
  Random random(54);
  for (const DType dtype : {DType::kBF16, DType::kQ4_K, DType::kQ6_K, DType::kQ8_0}) {
    const Matrix matrix = MakeMatrix(random, dtype, 24, 1280);
    const std::vector<float> x = random.Activations(35 * 1280);
    const std::vector<float> all = Multiply(matrix, x, 35);
    for (const uint32_t token : {0u, 5u, 34u}) {
      const std::vector<float> alone(x.begin() + token * 1280, x.begin() + (token + 1) * 1280);
      ExpectSameBits(std::span(all).subspan(token * 24, 24), Multiply(matrix, alone, 1),
                     std::string(DTypeName(dtype)));
    }
  }
}

TEST(CudaMatMulFew, ProductsInOneCallAreThoseOfSeveral) {
  Random random(55);
  const uint32_t rows[] = {20, 16, 33, 1};
  std::vector<Matrix> matrices;
  std::vector<DeviceArray<std::byte>> packed;
  for (const uint32_t count : rows) {
    matrices.push_back(MakeMatrix(random, DType::kQ4_K, count, 512));
    packed.push_back(PackOnDevice(matrices.back()));
  }
  const std::vector<float> x = random.Activations(3 * 512);
  const Inputs inputs(x, 3, 512);
  DeviceArray<float> out(3 * 80, 7.0f);  // 70 rows, and ten that nobody writes
  std::vector<cuda::Product> products;
  uint32_t first = 0;
  for (size_t i = 0; i < 4; ++i) {
    products.push_back({{DType::kQ4_K, packed[i].data(), rows[i], 512}, out.data() + first, 80});
    first += rows[i];
  }
  cuda::MatMulFew(products, inputs.rows(), 3, kNullStream);
  const std::vector<float> together = out.Read();
  first = 0;
  for (size_t i = 0; i < 4; ++i) {
    const std::vector<float> alone = Multiply(matrices[i], x, 3);
    for (size_t t = 0; t < 3; ++t) {
      ExpectSameBits(std::span(alone).subspan(t * rows[i], rows[i]),
                     std::span(together).subspan(t * 80 + first, rows[i]), "product");
    }
    first += rows[i];
  }
  for (size_t t = 0; t < 3; ++t) {
    for (size_t i = 70; i < 80; ++i) EXPECT_EQ(together[t * 80 + i], 7.0f);
  }
}

TEST(CudaPack, PiecesPackToWhatTheWholePacksTo) {
  Random random(56);
  for (const DType dtype : kWeightDTypes) {
    const Matrix matrix = MakeMatrix(random, dtype, 70, 512);
    std::vector<std::byte> whole(cuda::PackedBytes(dtype, 70, 512));
    cuda::Pack(matrix.view(), whole);
    std::vector<std::byte> pieces(whole.size());
    size_t packed = 0;
    for (uint32_t row = 0; row < 70; row += 32) {
      const uint32_t rows = std::min(32u, 70 - row);
      cuda::Pack({dtype, matrix.bytes.data() + row * RowBytes(dtype, 512), rows, 512},
                 std::span(pieces).subspan(packed));
      packed += cuda::PackedBytes(dtype, rows, 512);
    }
    EXPECT_EQ(packed, whole.size());
    EXPECT_TRUE(std::ranges::equal(whole, pieces)) << DTypeName(dtype);
  }
}

TEST(CudaMatMulFew, WrongShapesThrow) {
  DeviceArray<std::byte> weights(4096, std::byte{0});
  DeviceArray<float> out(64, 0.0f);
  const cuda::BF16Rows x{weights.data(), 64};
  const auto multiply = [&](const cuda::Product& product, const cuda::BF16Rows& rows) {
    cuda::MatMulFew({&product, 1}, rows, 1, kNullStream);
  };
  const PackedWeight weight{DType::kQ8_0, weights.data(), 1, 64};
  EXPECT_THROW(multiply({{DType::kQ8_0, weights.data(), 1, 33}, out.data(), 1}, x), InternalError);
  EXPECT_THROW(multiply({weight, out.data(), 0}, x), InternalError);
  EXPECT_THROW(multiply({weight, out.data(), 1}, {weights.data(), 32}), InternalError);
  EXPECT_THROW(multiply({weight, out.data(), 1}, {weights.data() + 2, 64}), InternalError);
  EXPECT_THROW(cuda::MatMulFew({}, x, 1, kNullStream), InternalError);
  const cuda::Product unequal[] = {{weight, out.data(), 1},
                                   {{DType::kQ4_0, weights.data(), 1, 64}, out.data(), 1}};
  EXPECT_THROW(cuda::MatMulFew(unequal, x, 1, kNullStream), InternalError);
}

}  // namespace
}  // namespace infercept::test
