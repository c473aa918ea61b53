// A file mapped read-only. Pages are read by the system when they are first touched.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/status.h"

namespace infercept {

class MappedFile {
 public:
  // kModelFormat when the file cannot be opened, is not a regular file, or is empty.
  static Result<MappedFile> Open(const std::string& path);

  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::span<const std::byte> bytes_;
};

}  // namespace infercept
