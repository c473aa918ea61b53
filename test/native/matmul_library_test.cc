// Goal: cuBLASLt is asked for the right products, and what it cannot do or where it is not there is
// found out. Method: a library of our own behind the same functions, which multiplies column-major
// matrices in double, over the kernels in emulation.
#include "kernels/cuda/matmul_library.h"

#include "cuda_matmul_support.h"
#include "fake_cublaslt.h"
#include "test.h"

namespace infercept::test {
namespace {

struct Library {
  explicit Library(bool knows_a_way = true) {
    fake_cublaslt = {.knows_a_way = knows_a_way};
    library = cuda::CublasLt::Create(FakeCublasLtFunctions());
  }
  ~Library() {
    library.reset();
    EXPECT_EQ(fake_cublaslt.objects, 0);
  }
  std::unique_ptr<cuda::CublasLt> library;
};

// Of two matrices, 37 and 5 rows, whose outputs lie side by side. A panel has 16 rows.
std::vector<float> Multiply(cuda::CublasLt& library, std::span<const Matrix> matrices,
                            const std::vector<float>& x, uint32_t tokens) {
  const uint32_t columns = matrices[0].columns;
  const Inputs inputs(x, tokens, columns);
  DeviceArray<float> out(tokens * 45, 7.0f);
  DeviceArray<std::byte> scratch(
      cuda::CublasLt::kWorkspaceBytes + 20 * cuda::PaddedColumns(columns) * 2, std::byte{0xFF});
  std::vector<DeviceArray<std::byte>> packed;
  std::vector<cuda::Product> products;
  uint32_t first = 0;
  for (const Matrix& matrix : matrices) {
    packed.push_back(PackOnDevice(matrix));
    products.push_back(
        {{matrix.dtype, packed.back().data(), matrix.rows, columns}, out.data() + first, 45});
    first += matrix.rows;
  }
  EXPECT_TRUE(cuda::MatMulByLibrary(library, products, inputs.rows(), tokens,
                                    {scratch.data(), scratch.size()}, kNullStream));
  return out.Read();
}

TEST(CublasLt, MultipliesWhatItIsGiven) {
  Random random(71);
  for (const auto& [dtype, columns] :
       {std::pair{DType::kBF16, 70u}, {DType::kF16, 45u}, {DType::kQ4_K, 256u}}) {
    const Library with;
    const Matrix matrices[] = {MakeMatrix(random, dtype, 37, columns),
                               MakeMatrix(random, dtype, 5, columns)};
    const std::vector<float> x = random.Activations(size_t{3} * columns);
    const std::vector<float> found = Multiply(*with.library, matrices, x, 3);
    const std::vector<float> seen = Rounded(x);
    for (size_t t = 0; t < 3; ++t) {
      for (size_t i = 0; i < 42; ++i) {
        const Matrix& matrix = matrices[i < 37 ? 0 : 1];
        const std::vector<float> row = matrix.Row(static_cast<uint32_t>(i < 37 ? i : i - 37));
        double sum = 0;
        double magnitude = 0;
        for (size_t c = 0; c < columns; ++c) {
          sum += double{row[c]} * double{seen[t * columns + c]};
          magnitude += std::abs(double{row[c]} * double{seen[t * columns + c]});
        }
        // Weights are rounded to BF16, half a unit of 2^-8; BF16 ones are not.
        const double tolerance = (dtype == DType::kBF16 ? 2 * kEpsilon : 0x1p-9) * magnitude;
        EXPECT_NEAR(found[t * 45 + i], sum, tolerance) << DTypeName(dtype) << " row " << i;
      }
      for (size_t i = 42; i < 45; ++i) EXPECT_EQ(found[t * 45 + i], 7.0f);
    }
  }
}

TEST(CublasLt, ChoosesOncePerShape) {
  Random random(72);
  const Library with;
  const Matrix matrices[] = {MakeMatrix(random, DType::kBF16, 8, 32)};
  const std::vector<float> x = random.Activations(2 * 32);
  Multiply(*with.library, matrices, x, 2);
  Multiply(*with.library, matrices, x, 2);
  EXPECT_EQ(fake_cublaslt.choices, 1);
  Multiply(*with.library, matrices, x, 1);
  EXPECT_EQ(fake_cublaslt.choices, 2);
}

TEST(CublasLt, SaysWhatItCannotDo) {
  const Library with(false);
  EXPECT_FALSE(with.library->Multiply({.weight_stride = 32, .x_stride = 32, .out_stride = 1},
                                      nullptr, kNullStream));
  cuda::CublasLtFunctions broken = FakeCublasLtFunctions();
  broken.create = [](void**) { return 1; };
  EXPECT_TRUE(cuda::CublasLt::Create(broken) == nullptr);
}

TEST(CublasLt, IsNotFoundWhereItIsNot) {
  const char* const missing[] = {"libthere_is_no_such_library.so.1"};
  EXPECT_FALSE(cuda::FindCublasLt(missing).has_value());
  const char* const another[] = {"libm.so.6"};
  EXPECT_FALSE(cuda::FindCublasLt(another).has_value());
  EXPECT_EQ(cuda::DescribeCublasLt(FakeCublasLtFunctions()), "cuBLASLt 13.0.2");
}

}  // namespace
}  // namespace infercept::test
