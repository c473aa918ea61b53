// Goal: products of many tokens are right, and have the bits of the products of few, whatever the
// dtype, the shape, and the cut into parts. Method: in emulation; one dtype of each kind in every
// order of threads against the reference in double, and all dtypes against MatMulFew.
#include "base/check.h"
#include "cuda_matmul_support.h"
#include "test.h"

namespace infercept::test {
namespace {

// Something that nobody may write, after each token's outputs.
constexpr float kUntouched = 7.0f;
constexpr uint32_t kMargin = 3;

// A matrix and its inputs on the device.
struct Problem {
  Problem(const Matrix& matrix, const std::vector<float>& x, uint32_t token_count)
      : packed(PackOnDevice(matrix)),
        inputs(x, token_count, matrix.columns),
        weight{matrix.dtype, packed.data(), matrix.rows, matrix.columns},
        tokens(token_count) {}

  template <typename Run>
  std::vector<float> Outputs(Run run) const {
    const size_t stride = weight.rows + kMargin;
    DeviceArray<float> out(tokens * stride, kUntouched);
    run(cuda::Product{weight, out.data(), stride});
    const std::vector<float> values = out.Read();
    std::vector<float> outputs;
    for (size_t t = 0; t < tokens; ++t) {
      const auto row = values.begin() + static_cast<ptrdiff_t>(t * stride);
      outputs.insert(outputs.end(), row, row + weight.rows);
      for (size_t i = 0; i < kMargin; ++i) EXPECT_EQ(row[weight.rows + i], kUntouched);
    }
    return outputs;
  }
  std::vector<float> Few() const {
    return Outputs([&](const cuda::Product& product) {
      cuda::MatMulFew({&product, 1}, inputs.rows(), tokens, kNullStream);
    });
  }
  std::vector<float> Many() const {
    return Outputs([&](const cuda::Product& product) {
      cuda::MatMulMany({&product, 1}, inputs.rows(), tokens, nullptr, kNullStream);
    });
  }
  std::vector<float> ManyInParts() const {
    return Outputs([&](const cuda::Product& product) {
      const size_t bytes = cuda::MatMulManyBytes({&product, 1}, tokens);
      EXPECT_GT(bytes, 0u);
      DeviceArray<float> parts(bytes / sizeof(float), NAN);
      cuda::MatMulMany({&product, 1}, inputs.rows(), tokens, parts.data(), kNullStream);
    });
  }

  const DeviceArray<std::byte> packed;
  const Inputs inputs;
  const PackedWeight weight;
  const uint32_t tokens;
};

// Without minimums and with them, with scales of 16 columns, and floats: a kernel of each kind.
// Rows are beyond a block, tokens beyond a warp and a block; the last chunk has half a stage.
TEST(CudaMatMulMany, AgreesWithTheReference) {
  ForEachOrder([](const std::string& order) {
    Random random(61);
    for (const DType dtype : {DType::kBF16, DType::kQ8_0, DType::kQ5_1, DType::kQ6_K}) {
      const uint32_t columns = WholeBlocks(dtype, 352);
      const Matrix matrix = MakeMatrix(random, dtype, 133, columns);
      const std::vector<float> x = random.Activations(size_t{67} * columns);
      const std::vector<float> seen = Rounded(x);
      ExpectClose(MatMul(ReferenceOps(), matrix, seen, 67), Problem(matrix, x, 67).Many(),
                  Tolerance(matrix, seen, 67), order + " " + std::string(DTypeName(dtype)));
    }
  });
}

// All four parts of the columns, some with two chunks; one block of tokens, and two.
TEST(CudaMatMulMany, HasTheBitsOfFewTokens) {
  Random random(62);
  for (const DType dtype : kWeightDTypes) {
    const uint32_t columns = WholeBlocks(dtype, IsQuantized(dtype) ? 1312 : 650);
    const Matrix matrix = MakeMatrix(random, dtype, 20, columns);
    const Problem problem(matrix, random.Activations(size_t{18} * columns), 18);
    ExpectSameBits(problem.Few(), problem.Many(), std::string(DTypeName(dtype)));
  }
  const Matrix matrix = MakeMatrix(random, DType::kQ4_K, 50, 256);
  const Problem problem(matrix, random.Activations(size_t{130} * 256), 130);
  ExpectSameBits(problem.Few(), problem.Many(), "130 tokens");
}

TEST(CudaMatMulMany, PartsMakeTheSameWhole) {
  ForEachOrder([](const std::string& order) {
    Random random(63);
    for (const auto& [dtype, columns] :
         {std::pair{DType::kF16, 700u}, {DType::kQ4_K, 1280u}, {DType::kQ4_0, 288u}}) {
      const Matrix matrix = MakeMatrix(random, dtype, 35, columns);
      const Problem problem(matrix, random.Activations(size_t{9} * columns), 9);
      ExpectSameBits(problem.Few(), problem.ManyInParts(),
                     order + " " + std::string(DTypeName(dtype)));
    }
  });
}

TEST(CudaMatMulMany, ProductsInOneCallAreThoseOfSeveral) {
  Random random(64);
  const uint32_t rows[] = {20, 130, 5};
  const std::vector<float> x = random.Activations(5 * 256);
  const Inputs inputs(x, 5, 256);
  std::vector<DeviceArray<std::byte>> packed;
  std::vector<DeviceArray<float>> together;
  std::vector<DeviceArray<float>> alone;
  std::vector<cuda::Product> products;
  for (const uint32_t count : rows) {
    packed.push_back(PackOnDevice(MakeMatrix(random, DType::kQ4_0, count, 256)));
    together.emplace_back(size_t{5} * count, NAN);
    alone.emplace_back(size_t{5} * count, NAN);
    const PackedWeight weight{DType::kQ4_0, packed.back().data(), count, 256};
    products.push_back({weight, together.back().data(), count});
    const cuda::Product product{weight, alone.back().data(), count};
    cuda::MatMulMany({&product, 1}, inputs.rows(), 5, nullptr, kNullStream);
  }
  DeviceArray<float> parts(cuda::MatMulManyBytes(products, 5) / sizeof(float), NAN);
  cuda::MatMulMany(products, inputs.rows(), 5, parts.data(), kNullStream);
  for (size_t i = 0; i < products.size(); ++i) {
    ExpectSameBits(alone[i].Read(), together[i].Read(), "product " + std::to_string(i));
  }
}

TEST(CudaMatMulMany, CutsWhatWouldNotFillADevice) {
  const auto bytes = [](uint32_t rows, uint32_t tokens) {
    const cuda::Product product{{DType::kBF16, nullptr, rows, 4096}, nullptr, rows};
    return cuda::MatMulManyBytes({&product, 1}, tokens);
  };
  EXPECT_EQ(bytes(4096, 64), size_t{4} * 64 * 4096 * sizeof(float));
  EXPECT_EQ(bytes(100, 17), size_t{4} * 17 * 128 * sizeof(float));
  EXPECT_EQ(bytes(4096, 512), 0u);
  EXPECT_EQ(bytes(128256, 17), 0u);
  for (const uint32_t tokens : {17u, 64u, 65u, 128u, 129u, 1000u, 2048u}) {
    for (uint32_t blocks = 1; blocks < 200; ++blocks) {
      EXPECT_LE(bytes(blocks * 128, tokens), cuda::MatMulManyBytesMax(tokens));
    }
  }
}

TEST(CudaMatMulMany, WrongShapesThrow) {
  DeviceArray<std::byte> weights(4096, std::byte{0});
  DeviceArray<float> out(64, 0.0f);
  const cuda::BF16Rows x{weights.data(), 64};
  const auto multiply = [&](const cuda::Product& product, const cuda::BF16Rows& rows,
                            float* parts) {
    cuda::MatMulMany({&product, 1}, rows, 1, parts, kNullStream);
  };
  const PackedWeight weight{DType::kQ8_0, weights.data(), 1, 64};
  EXPECT_THROW(multiply({{DType::kQ8_0, weights.data(), 1, 33}, out.data(), 1}, x, nullptr),
               InternalError);
  EXPECT_THROW(multiply({weight, out.data(), 0}, x, nullptr), InternalError);
  EXPECT_THROW(multiply({weight, out.data(), 1}, {weights.data(), 32}, nullptr), InternalError);
  EXPECT_THROW(multiply({weight, out.data(), 1}, x, out.data() + 1), InternalError);
}

}  // namespace
}  // namespace infercept::test
