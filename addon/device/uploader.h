// Brings data of the host into memory of a device piece by piece, through a few buffers of pinned
// memory: while one piece is copied, the next is prepared.
// Owner and thread: whoever uses the stream. The stream outlives it.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "device/device.h"

namespace infercept {

class Uploader {
 public:
  // kOutOfMemory, naming `purpose`; kDevice.
  static Result<Uploader> Create(Device& device, Stream& stream, size_t piece_bytes,
                                 std::string_view purpose);

  // Room for the next piece; waits for the copy that used it last. kDevice. REQUIRES: bytes <=
  // piece_bytes.
  Result<std::span<std::byte>> Stage(size_t bytes);
  // Enqueues the copy of the piece that was staged last.
  void Send(void* target);

 private:
  struct Buffer {
    Arena memory;
    std::unique_ptr<StreamEvent> copied;
    bool used = false;
  };

  Uploader(Stream& stream, size_t piece_bytes, std::vector<Buffer> buffers)
      : stream_(&stream), piece_bytes_(piece_bytes), buffers_(std::move(buffers)) {}

  Stream* stream_;
  size_t piece_bytes_;
  std::vector<Buffer> buffers_;
  size_t next_ = 0;          // the buffer that is staged next
  size_t staged_bytes_ = 0;  // of the piece that was staged and not sent
};

}  // namespace infercept
