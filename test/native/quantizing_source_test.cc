// Goal: quantizing while loading gives QuantizeRow's rows, falls back where blocks do not fit, and
// keeps what is still needed. Method: a source in memory that notes what is read and
// forgotten.
#include "model/quantizing_source.h"

#include <algorithm>
#include <map>

#include "kernels/quantize.h"
#include "ops_support.h"
#include "test.h"

namespace infercept::test {
namespace {

// Matrices by name.
class FakeSource final : public TensorSource {
 public:
  explicit FakeSource(std::map<std::string, Matrix> matrices) : matrices_(std::move(matrices)) {}
  Result<std::span<const std::byte>> Read(const TensorSpec& tensor) override {
    ++reads;
    const auto found = matrices_.find(tensor.name);
    if (found == matrices_.end()) return Status(StatusCode::kModelFormat, "no " + tensor.name);
    return std::span<const std::byte>(found->second.bytes);
  }
  void Forget(std::span<const std::byte> bytes) override { forgotten_bytes += bytes.size(); }

  int reads = 0;
  size_t forgotten_bytes = 0;

 private:
  std::map<std::string, Matrix> matrices_;
};

struct Fixture {
  explicit Fixture(std::map<std::string, Matrix> matrices, DType wanted) : pool(3) {
    for (const auto& [name, matrix] : matrices) {
      spec.tensors.push_back(
          {name, matrix.dtype, matrix.rows, matrix.columns, 0, 0, matrix.bytes.size()});
    }
    auto fake = std::make_unique<FakeSource>(std::move(matrices));
    inner = fake.get();
    source = QuantizeTensors(std::move(fake), wanted, pool, spec);
  }
  const TensorSpec& Tensor(const std::string& name) const {
    return *std::find_if(spec.tensors.begin(), spec.tensors.end(),
                         [&](const TensorSpec& tensor) { return tensor.name == name; });
  }

  ThreadPool pool;
  ModelSpec spec;
  FakeSource* inner;
  std::unique_ptr<TensorSource> source;
};

std::vector<std::byte> RowsOf(const Matrix& matrix, DType dtype) {
  const size_t row_bytes = RowBytes(dtype, matrix.columns);
  std::vector<std::byte> bytes(matrix.rows * row_bytes);
  for (uint32_t r = 0; r < matrix.rows; ++r) {
    QuantizeRow(dtype, matrix.Row(r).data(), matrix.columns, bytes.data() + r * row_bytes);
  }
  return bytes;
}

bool SameBytes(std::span<const std::byte> left, std::span<const std::byte> right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end());
}

TEST(QuantizingSource, QuantizesRowByRow) {
  Random random(1);
  for (const DType from : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const DType to : kWeightDTypes) {
      if (!IsQuantized(to)) continue;
      const Matrix matrix = MakeMatrix(random, from, 37, 512);
      Fixture fixture({{"output", matrix}}, to);
      const TensorSpec& tensor = fixture.spec.tensors[0];
      EXPECT_EQ(tensor.dtype, to);
      EXPECT_EQ(tensor.byte_length, 37 * RowBytes(to, 512));
      const auto bytes = fixture.source->Read(tensor);
      ASSERT_TRUE(bytes.ok());
      EXPECT_TRUE(SameBytes(bytes.value(), RowsOf(matrix, to))) << DTypeName(to);
      EXPECT_EQ(fixture.inner->forgotten_bytes, matrix.bytes.size());
    }
  }
}

TEST(QuantizingSource, FallsBackWhereBlocksDoNotFit) {
  Random random(2);
  Fixture fixture({{"k_blocks", MakeMatrix(random, DType::kF32, 2, 512)},
                   {"small_blocks", MakeMatrix(random, DType::kF32, 2, 96)},
                   {"no_blocks", MakeMatrix(random, DType::kF16, 2, 80)},
                   {"norm", MakeMatrix(random, DType::kF32, 1, 512)},
                   {"quantized", MakeMatrix(random, DType::kQ8_0, 2, 512)}},
                  DType::kQ4_K);
  EXPECT_EQ(fixture.Tensor("k_blocks").dtype, DType::kQ4_K);
  EXPECT_EQ(fixture.Tensor("small_blocks").dtype, DType::kQ8_0);
  EXPECT_EQ(fixture.Tensor("no_blocks").dtype, DType::kF16);
  EXPECT_EQ(fixture.Tensor("norm").dtype, DType::kF32);
  EXPECT_EQ(fixture.Tensor("quantized").dtype, DType::kQ8_0);
  for (const TensorSpec& tensor : fixture.spec.tensors) {
    const auto bytes = fixture.source->Read(tensor);
    ASSERT_TRUE(bytes.ok());
    EXPECT_EQ(bytes.value().size(), tensor.byte_length) << tensor.name;
  }
}

TEST(QuantizingSource, ForgetsAllButTheEmbedding) {
  Random random(3);
  // Several pages each, so that whole ones can be given back.
  const Matrix matrix = MakeMatrix(random, DType::kF32, 64, 512);
  Fixture fixture({{"embedding", matrix}, {"output", matrix}}, DType::kQ8_0);
  const std::vector<std::byte> expected = RowsOf(matrix, DType::kQ8_0);
  for (const char* name : {"embedding", "output"}) {
    const auto bytes = fixture.source->Read(fixture.Tensor(name));
    ASSERT_TRUE(bytes.ok());
    fixture.source->Forget(bytes.value());
    EXPECT_EQ(SameBytes(bytes.value(), expected), std::string(name) == "embedding") << name;
  }
  // Tied embeddings are read twice and quantized once.
  const int reads = fixture.inner->reads;
  EXPECT_TRUE(SameBytes(fixture.source->Read(fixture.Tensor("embedding")).value(), expected));
  EXPECT_EQ(fixture.inner->reads, reads);
}

TEST(QuantizingSource, PassesErrorsOn) {
  Random random(4);
  Fixture fixture({{"output", MakeMatrix(random, DType::kF32, 2, 64)}}, DType::kQ8_0);
  TensorSpec missing = fixture.spec.tensors[0];
  missing.name = "elsewhere";
  EXPECT_EQ(fixture.source->Read(missing).status().code(), StatusCode::kModelFormat);
}

}  // namespace
}  // namespace infercept::test
