// One large region of memory of one purpose, given back when its owner goes. On the host it is
// page-aligned, zero at first, and committed by the system where it is touched; what a device gives
// out (device.h) is aligned for every kernel and holds anything at first.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/status.h"

namespace infercept {

class Arena {
 public:
  // Gives the memory back; `owner` is who reserved it.
  using Release = void (*)(void* owner, std::byte* data, size_t size);

  // Of the host. kOutOfMemory, naming `purpose` and the bytes, when the system refuses.
  static Result<Arena> Create(size_t bytes, std::string_view purpose);

  Arena() = default;  // of size zero
  // Memory that somebody else reserved. Without `release` it belongs to another arena, which
  // outlives this one.
  Arena(std::byte* data, size_t size, Release release, void* owner)
      : data_(data), size_(size), release_(release), owner_(owner) {}
  ~Arena();
  Arena(Arena&& other) noexcept;
  Arena& operator=(Arena&& other) noexcept;

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  Release release_ = nullptr;
  void* owner_ = nullptr;
};

}  // namespace infercept
