#include "io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace infercept {
namespace {

Status FileError(const std::string& path, const std::string& what) {
  return Status(StatusCode::kModelFormat, "cannot map " + path + ": " + what);
}

Result<std::span<const std::byte>> Map(int descriptor, const std::string& path) {
  struct stat info;
  if (fstat(descriptor, &info) != 0) return FileError(path, std::strerror(errno));
  if (!S_ISREG(info.st_mode)) return FileError(path, "not a regular file");
  if (info.st_size <= 0) return FileError(path, "the file is empty");
  const auto size = static_cast<size_t>(info.st_size);
  void* data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  if (data == MAP_FAILED) return FileError(path, std::strerror(errno));
  return std::span(static_cast<const std::byte*>(data), size);
}

}  // namespace

Result<MappedFile> MappedFile::Open(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return FileError(path, std::strerror(errno));
  const Result<std::span<const std::byte>> bytes = Map(descriptor, path);
  close(descriptor);  // The mapping keeps the file.
  if (!bytes.ok()) return bytes.status();
  return MappedFile(bytes.value());
}

MappedFile::~MappedFile() {
  // munmap wants a pointer to mutable memory; nothing is written.
  if (!bytes_.empty()) munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

}  // namespace infercept
