// One large region of memory: page-aligned, zero at first, committed by the system where it is
// touched.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/status.h"

namespace infercept {

class Arena {
 public:
  // kOutOfMemory, naming `purpose` and the bytes, when the system refuses.
  static Result<Arena> Create(size_t bytes, std::string_view purpose);

  Arena() = default;  // of size zero
  ~Arena();
  Arena(Arena&& other) noexcept;
  Arena& operator=(Arena&& other) noexcept;

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  Arena(std::byte* data, size_t size) : data_(data), size_(size) {}

  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace infercept
