#include "io/weight_file.h"

#include <sys/mman.h>
#include <unistd.h>

#include <utility>

namespace infercept {
namespace {

std::string TensorName(const TensorSpec& tensor) {
  return "tensor " + tensor.name + " (" + std::string(DTypeName(tensor.dtype)) + ", " +
         std::to_string(tensor.rows) + " x " + std::to_string(tensor.columns) + ")";
}

Status TensorError(const TensorSpec& tensor, const std::string& what) {
  return Status(StatusCode::kModelFormat, TensorName(tensor) + ": " + what);
}

// Elements are read at their natural alignment, blocks at any address.
size_t AlignmentOf(DType dtype) { return IsQuantized(dtype) ? 1 : BlockBytes(dtype); }

Status CheckShape(const TensorSpec& tensor) {
  if (tensor.rows == 0 || tensor.columns == 0) return TensorError(tensor, "the shape is empty");
  const uint32_t block_values = BlockValues(tensor.dtype);
  if (tensor.columns % block_values != 0) {
    return TensorError(tensor, "columns must be a multiple of " + std::to_string(block_values));
  }
  // 2^32 rows of 2^34 bytes would not overflow 2^66, but no file is that long: divide instead of
  // multiplying.
  const uint64_t row_bytes = RowBytes(tensor.dtype, tensor.columns);
  if (tensor.byte_length / row_bytes != tensor.rows || tensor.byte_length % row_bytes != 0) {
    return TensorError(tensor, "has " + std::to_string(tensor.byte_length) +
                                   " bytes, its shape needs " + std::to_string(tensor.rows) +
                                   " rows of " + std::to_string(row_bytes));
  }
  if (tensor.offset % AlignmentOf(tensor.dtype) != 0) {
    return TensorError(tensor, "offset " + std::to_string(tensor.offset) + " is not aligned to " +
                                   std::to_string(AlignmentOf(tensor.dtype)) + " bytes");
  }
  return Status();
}

}  // namespace

Result<WeightFiles> WeightFiles::Open(std::span<const std::string> paths) {
  std::vector<MappedFile> files;
  for (const std::string& path : paths) {
    Result<MappedFile> file = MappedFile::Open(path);
    if (!file.ok()) return file.status();
    files.push_back(std::move(file).Take());
  }
  return WeightFiles(std::vector<std::string>(paths.begin(), paths.end()), std::move(files));
}

Result<std::span<const std::byte>> WeightFiles::Window(const TensorSpec& tensor) const {
  if (Status status = CheckShape(tensor); !status.ok()) return status;
  return Bytes(tensor, tensor.file, tensor.offset, tensor.byte_length);
}

Result<std::span<const std::byte>> WeightFiles::Bytes(const TensorSpec& tensor, uint32_t file,
                                                      uint64_t offset, uint64_t length) const {
  if (file >= files_.size()) {
    return TensorError(
        tensor, "lies in file " + std::to_string(file) + " of " + std::to_string(files_.size()));
  }
  const std::span<const std::byte> bytes = files_[file].bytes();
  if (offset > bytes.size() || length > bytes.size() - offset) {
    return TensorError(tensor, "bytes [" + std::to_string(offset) + ", +" + std::to_string(length) +
                                   ") are beyond the end of " + paths_[file] + " (" +
                                   std::to_string(bytes.size()) +
                                   " bytes); the file may be truncated");
  }
  return bytes.subspan(offset, length);
}

void WeightFiles::Forget(std::span<const std::byte> window) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = (reinterpret_cast<uintptr_t>(window.data()) + page - 1) / page * page;
  const auto end = reinterpret_cast<uintptr_t>(window.data() + window.size()) / page * page;
  // Only advice, and only for whole pages: neighbours on the border pages stay. A failure costs
  // memory, not correctness.
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace infercept
