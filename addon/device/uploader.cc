#include "device/uploader.h"

#include <utility>

namespace infercept {
namespace {

// One is copied while one is prepared; with a third, neither waits for the other's hiccups.
constexpr size_t kBuffers = 3;

}  // namespace

Result<Uploader> Uploader::Create(Device& device, Stream& stream, size_t piece_bytes,
                                  std::string_view purpose) {
  IC_CHECK(piece_bytes > 0);
  std::vector<Buffer> buffers(kBuffers);
  for (Buffer& buffer : buffers) {
    Result<Arena> memory = device.AllocatePinned(piece_bytes, purpose);
    if (!memory.ok()) return memory.status();
    Result<std::unique_ptr<StreamEvent>> copied = device.CreateEvent();
    if (!copied.ok()) return copied.status();
    buffer.memory = std::move(memory).Take();
    buffer.copied = std::move(copied).Take();
  }
  return Uploader(stream, piece_bytes, std::move(buffers));
}

Result<std::span<std::byte>> Uploader::Stage(size_t bytes) {
  IC_CHECK(bytes <= piece_bytes_);
  Buffer& buffer = buffers_[next_];
  if (buffer.used) {
    if (Status status = buffer.copied->Synchronize(); !status.ok()) return status;
  }
  staged_bytes_ = bytes;
  return std::span(buffer.memory.data(), bytes);
}

void Uploader::Send(void* target) {
  Buffer& buffer = buffers_[next_];
  stream_->Copy(target, buffer.memory.data(), std::exchange(staged_bytes_, 0));
  stream_->Record(*buffer.copied);
  buffer.used = true;
  next_ = (next_ + 1) % buffers_.size();
}

}  // namespace infercept
