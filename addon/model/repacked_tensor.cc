#include "model/repacked_tensor.h"

#include <cstring>
#include <span>
#include <string>
#include <utility>

#include "base/dtype.h"

namespace infercept {
namespace {

constexpr size_t kCodeBytes = 16;  // of the 32 elements of a block
// Of one tensor, and between two of its rows: far beyond any file, and products of them are exact.
constexpr uint64_t kBytesMax = uint64_t{1} << 40;
constexpr uint32_t kStepMax = 1u << 12;

Status FormatError(const TensorSpec& tensor, const std::string& what) {
  return Status(StatusCode::kModelFormat, "tensor " + tensor.name + ": " + what);
}

// As many rows, or elements of a vector, as lie behind one another in the file.
struct Rows {
  uint32_t count = 0;
  uint32_t step = 1;
  size_t bytes = 0;  // of each

  // From the first to the last.
  uint64_t span() const { return (uint64_t{count - 1} * step + 1) * bytes; }
};

Result<Rows> RowsOf(const TensorSpec& tensor) {
  const bool is_vector = tensor.rows == 1;
  if (tensor.rows == 0 || tensor.columns == 0) return FormatError(tensor, "the shape is empty");
  if (tensor.row_step == 0 || tensor.row_step > kStepMax || tensor.byte_length > kBytesMax) {
    return FormatError(tensor, "the rows lie too far apart, or are too many");
  }
  if (tensor.columns % BlockValues(tensor.dtype) != 0 || (is_vector && IsQuantized(tensor.dtype))) {
    return FormatError(tensor, "rows are no whole number of blocks");
  }
  const Rows rows = {.count = is_vector ? tensor.columns : tensor.rows,
                     .step = tensor.row_step,
                     .bytes = RowBytes(tensor.dtype, is_vector ? 1 : tensor.columns)};
  if (tensor.byte_length / rows.bytes == rows.count && tensor.byte_length % rows.bytes == 0) {
    return rows;
  }
  return FormatError(tensor, "has " + std::to_string(tensor.byte_length) + " bytes, not " +
                                 std::to_string(rows.count) + " rows of " +
                                 std::to_string(rows.bytes));
}

void GatherRows(const Rows& rows, const std::byte* source, std::byte* target) {
  for (uint32_t row = 0; row < rows.count; ++row) {
    std::memcpy(target + row * rows.bytes, source + size_t{row} * rows.step * rows.bytes,
                rows.bytes);
  }
}

// Codes of 4 bits, the lower half of a byte first: byte i holds elements 2i and 2i + 1 in the file,
// i and i + 16 in the block.
void PackBlock(std::byte scale, const std::byte* codes, std::byte* block) {
  constexpr std::byte kLower{0x0F};
  constexpr std::byte kUpper{0xF0};
  block[0] = scale;
  for (size_t i = 0; i < kCodeBytes / 2; ++i) {
    const std::byte first = codes[i];
    const std::byte second = codes[i + kCodeBytes / 2];
    block[1 + 2 * i] = (first & kLower) | (second << 4);
    block[2 + 2 * i] = (first >> 4) | (second & kUpper);
  }
}

Status PackBlocks(const TensorSpec& tensor, const Rows& rows, const WeightFiles& files,
                  std::byte* target) {
  if (tensor.dtype != DType::kMXFP4) return FormatError(tensor, "only MXFP4 has scales apart");
  const uint32_t blocks = tensor.columns / BlockValues(tensor.dtype);
  const Rows code_rows = {rows.count, rows.step, blocks * kCodeBytes};
  const Rows scale_rows = {rows.count, rows.step, blocks};
  const auto codes = files.Bytes(tensor, tensor.file, tensor.offset, code_rows.span());
  if (!codes.ok()) return codes.status();
  const auto scales =
      files.Bytes(tensor, tensor.scales->file, tensor.scales->offset, scale_rows.span());
  if (!scales.ok()) return scales.status();
  for (uint32_t row = 0; row < rows.count; ++row) {
    const std::byte* row_codes = codes.value().data() + size_t{row} * rows.step * code_rows.bytes;
    const std::byte* row_scales = scales.value().data() + size_t{row} * rows.step * blocks;
    for (uint32_t block = 0; block < blocks; ++block, target += 1 + kCodeBytes) {
      PackBlock(row_scales[block], row_codes + block * kCodeBytes, target);
    }
  }
  WeightFiles::Forget(codes.value());
  return Status();
}

}  // namespace

bool IsRepacked(const TensorSpec& tensor) {
  return tensor.row_step != 1 || tensor.scales.has_value();
}

Result<Arena> RepackTensor(const TensorSpec& tensor, const WeightFiles& files) {
  const Result<Rows> rows = RowsOf(tensor);
  if (!rows.ok()) return rows.status();
  Result<Arena> target = Arena::Create(tensor.byte_length, "the repacked " + tensor.name);
  if (!target.ok()) return target;
  if (tensor.scales.has_value()) {
    const Status status = PackBlocks(tensor, rows.value(), files, target.value().data());
    return status.ok() ? std::move(target) : Result<Arena>(status);
  }
  const auto source = files.Bytes(tensor, tensor.file, tensor.offset, rows.value().span());
  if (!source.ok()) return source.status();
  GatherRows(rows.value(), source.value().data(), target.value().data());
  return target;
}

}  // namespace infercept
