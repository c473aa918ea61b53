// Goal: rows are gathered from where they lie, codes of MXFP4 land beside their scales in the order
// of GGUF's blocks, and nothing is read that the file does not have. Method: codes that say where
// they are; numbers that are wrong by one.
#include "model/repacked_tensor.h"

#include <numeric>
#include <vector>

#include "base/dtype.h"
#include "temporary_file.h"
#include "test.h"

namespace infercept {
namespace {

// Two rows of a block each, alternating with two others: 16 bytes of codes, of which byte i of row
// r holds elements 2i and 2i + 1 as their low and high half; then a scale for each row.
constexpr uint32_t kRows = 4;
constexpr uint32_t kCodeBytes = 16;

// Of the 32 elements of a row; no two that share a byte, in the file or in a block, are the same.
uint32_t Code(uint32_t row, uint32_t element) { return (element + element / 16 + row) % 16; }

std::vector<std::byte> Bytes() {
  std::vector<std::byte> bytes;
  for (uint32_t row = 0; row < kRows; ++row) {
    for (uint32_t i = 0; i < kCodeBytes; ++i) {
      bytes.push_back(static_cast<std::byte>(Code(row, 2 * i) | Code(row, 2 * i + 1) << 4));
    }
  }
  for (uint32_t row = 0; row < kRows; ++row) bytes.push_back(static_cast<std::byte>(100 + row));
  return bytes;
}

// The second and the fourth row.
TensorSpec Packed() {
  return {.name = "packed",
          .dtype = DType::kMXFP4,
          .rows = 2,
          .columns = 32,
          .offset = kCodeBytes,
          .byte_length = 2 * (kCodeBytes + 1),
          .row_step = 2,
          .scales = ScalesPlace{.file = 0, .offset = kRows * kCodeBytes + 1}};
}

StatusCode CodeOf(const TensorSpec& tensor) {
  const test::TemporaryFile file(Bytes());
  const Result<WeightFiles> files = WeightFiles::Open(std::vector{file.path()});
  return RepackTensor(tensor, files.value()).status().code();
}

TEST(RepackTensor, PutsCodesAndScalesIntoBlocks) {
  const test::TemporaryFile file(Bytes());
  const Result<WeightFiles> files = WeightFiles::Open(std::vector{file.path()});
  ASSERT_TRUE(IsRepacked(Packed()));
  const Result<Arena> packed = RepackTensor(Packed(), files.value());
  ASSERT_TRUE(packed.ok()) << packed.status().message();
  for (uint32_t row = 0; row < 2; ++row) {
    const std::byte* block = packed.value().data() + row * (kCodeBytes + 1);
    const uint32_t file_row = 2 * row + 1;
    EXPECT_EQ(std::to_integer<uint32_t>(block[0]), 100 + file_row);
    for (uint32_t i = 0; i < kCodeBytes; ++i) {
      const auto byte = std::to_integer<uint32_t>(block[1 + i]);
      EXPECT_EQ(byte % 16, Code(file_row, i));
      EXPECT_EQ(byte / 16, Code(file_row, i + 16));
    }
  }
}

TEST(RepackTensor, GathersElementsOfAVector) {
  std::vector<float> values(9);
  std::iota(values.begin(), values.end(), 0.0f);
  const test::TemporaryFile file(std::as_bytes(std::span(values)));
  const Result<WeightFiles> files = WeightFiles::Open(std::vector{file.path()});
  const TensorSpec vector = {.name = "vector",
                             .dtype = DType::kF32,
                             .rows = 1,
                             .columns = 4,
                             .offset = 2 * sizeof(float),
                             .byte_length = 4 * sizeof(float),
                             .row_step = 2};
  const Result<Arena> gathered = RepackTensor(vector, files.value());
  ASSERT_TRUE(gathered.ok());
  const auto* found = reinterpret_cast<const float*>(gathered.value().data());
  for (uint32_t i = 0; i < 4; ++i) EXPECT_EQ(found[i], static_cast<float>(2 + 2 * i));
}

TEST(RepackTensor, RefusesWhatTheFileDoesNotHave) {
  EXPECT_EQ(CodeOf(Packed()), StatusCode::kOk);
  TensorSpec tensor = Packed();
  tensor.scales->offset += 1;
  EXPECT_EQ(CodeOf(tensor), StatusCode::kModelFormat);
  tensor = Packed();
  tensor.offset += 2 * kCodeBytes;
  EXPECT_EQ(CodeOf(tensor), StatusCode::kModelFormat);
  tensor = Packed();
  tensor.row_step = UINT32_MAX;
  EXPECT_EQ(CodeOf(tensor), StatusCode::kModelFormat);
  tensor = Packed();
  tensor.byte_length += 1;
  EXPECT_EQ(CodeOf(tensor), StatusCode::kModelFormat);
  tensor = Packed();
  tensor.columns = 16;
  EXPECT_EQ(CodeOf(tensor), StatusCode::kModelFormat);
  tensor = Packed();
  tensor.dtype = DType::kQ8_0;
  tensor.byte_length = RowBytes(DType::kQ8_0, 2 * tensor.columns);
  EXPECT_EQ(CodeOf(tensor), StatusCode::kModelFormat);
  tensor = Packed();
  tensor.scales->file = 1;
  EXPECT_EQ(CodeOf(tensor), StatusCode::kModelFormat);
}

}  // namespace
}  // namespace infercept
