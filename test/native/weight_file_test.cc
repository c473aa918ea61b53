// Tensor windows: what lies in the file is found, every way to be outside of it is refused with the
// numbers.
#include "io/weight_file.h"

#include "temporary_file.h"
#include "test.h"

namespace infercept {
namespace {

std::vector<std::byte> Counting(size_t count) {
  std::vector<std::byte> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i);
  return bytes;
}

TensorSpec Tensor(DType dtype, uint32_t rows, uint32_t columns, uint64_t offset,
                  uint64_t byte_length) {
  return {"weights", dtype, rows, columns, 0, offset, byte_length};
}

}  // namespace

TEST(WeightFiles, GivesTheWindowOfATensor) {
  const test::TemporaryFile file(Counting(200));
  const Result<WeightFiles> files = WeightFiles::Open(std::vector{file.path()});
  ASSERT_TRUE(files.ok());
  const auto window = files.value().Window(Tensor(DType::kF32, 2, 3, 8, 24));
  ASSERT_TRUE(window.ok());
  EXPECT_EQ(window.value().size(), 24u);
  EXPECT_EQ(static_cast<int>(window.value()[0]), 8);
  EXPECT_TRUE(
      files.value().Window(Tensor(DType::kQ8_0, 1, 160, 30, 170)).ok());  // to the last byte
}

TEST(WeightFiles, RefusesWindowsThatAreWrong) {
  const test::TemporaryFile file(Counting(200));
  const Result<WeightFiles> files = WeightFiles::Open(std::vector{file.path()});
  ASSERT_TRUE(files.ok());
  TensorSpec elsewhere = Tensor(DType::kF32, 2, 3, 0, 24);
  elsewhere.file = 1;
  const TensorSpec wrong[] = {
      elsewhere,
      Tensor(DType::kF32, 2, 3, 180, 24),             // beyond the end
      Tensor(DType::kF32, 2, 3, UINT64_MAX - 3, 24),  // offset + length overflows
      Tensor(DType::kF32, 2, 3, 0, 20),               // too short for its shape
      Tensor(DType::kF32, 2, 3, 0, 28),               // too long for its shape
      Tensor(DType::kF32, 0, 3, 0, 0),                // empty
      Tensor(DType::kF32, 1u << 31, 1u << 31, 0, 0),  // the product overflows
      Tensor(DType::kQ8_0, 1, 33, 0, 34),             // not whole blocks
      Tensor(DType::kF32, 2, 3, 2, 24),               // misaligned
  };
  for (const TensorSpec& tensor : wrong) {
    const auto window = files.value().Window(tensor);
    EXPECT_FALSE(window.ok()) << tensor.offset << " +" << tensor.byte_length;
    EXPECT_EQ(window.status().code(), StatusCode::kModelFormat);
  }
  EXPECT_NE(files.value().Window(wrong[1]).status().message().find("200"), std::string::npos);
}

TEST(WeightFiles, RefusesFilesThatCannotBeMapped) {
  const test::TemporaryFile empty({});
  for (const std::string& path :
       {empty.path(), std::string("/nonexistent/model"), std::string("/")}) {
    const Result<WeightFiles> files = WeightFiles::Open(std::vector{path});
    EXPECT_FALSE(files.ok()) << path;
    EXPECT_EQ(files.status().code(), StatusCode::kModelFormat);
  }
}

}  // namespace infercept
