#include "device/arena.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

namespace infercept {
namespace {

// Below this size huge pages would waste more memory than they save in page-table walks.
constexpr size_t kHugePageBytesMin = size_t{16} << 20;

void Unmap(void*, std::byte* data, size_t size) { munmap(data, size); }

}  // namespace

Result<Arena> Arena::Create(size_t bytes, std::string_view purpose) {
  if (bytes == 0) return Arena();
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) {
    return Status(StatusCode::kOutOfMemory, "cannot reserve " + std::to_string(bytes) +
                                                " bytes for " + std::string(purpose) + ": " +
                                                std::strerror(errno));
  }
  if (bytes >= kHugePageBytesMin) madvise(data, bytes, MADV_HUGEPAGE);  // Only advice.
  return Arena(static_cast<std::byte*>(data), bytes, Unmap, nullptr);
}

Arena::~Arena() {
  if (release_ != nullptr) release_(owner_, data_, size_);
}

Arena::Arena(Arena&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      release_(std::exchange(other.release_, nullptr)),
      owner_(std::exchange(other.owner_, nullptr)) {}

Arena& Arena::operator=(Arena&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(release_, other.release_);
  std::swap(owner_, other.owner_);
  return *this;
}

}  // namespace infercept
