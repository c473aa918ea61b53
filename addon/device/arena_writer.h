// Fills memory of a device from front to back, piece by piece, with what the host prepares. Where
// the device's memory is the host's own, pieces are prepared in place; else they go through pinned
// memory, and one is copied while the next is prepared.
// Owner and thread: whoever loads. The stream outlives it.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "device/device.h"
#include "device/uploader.h"

namespace infercept {

class ArenaWriter {
 public:
  // kOutOfMemory, naming `purpose`; kDevice.
  static Result<ArenaWriter> Create(Device& device, Stream& stream, size_t bytes,
                                    size_t piece_bytes, std::string_view purpose);

  // Where the next piece lies on the device.
  std::byte* next() const { return arena_.data() + written_; }
  // Room to prepare it in. kDevice. REQUIRES: bytes <= piece_bytes, and no more than was reserved.
  Result<std::span<std::byte>> Stage(size_t bytes);
  // It is prepared: the next piece begins behind it.
  void Send();
  // All of it: Stage and Send as often as it takes.
  Status Write(std::span<const std::byte> source);
  // Somebody else fills so many bytes, in the same stream.
  void Skip(size_t bytes);
  // The next piece begins at a multiple of this. REQUIRES: the arena has room up to there.
  void Align(size_t alignment);

  // Returns when everything is there. kDevice. Last call.
  Result<Arena> Finish();

 private:
  ArenaWriter(Stream& stream, Arena arena, size_t piece_bytes, std::optional<Uploader> uploader)
      : stream_(&stream),
        arena_(std::move(arena)),
        piece_bytes_(piece_bytes),
        uploader_(std::move(uploader)) {}

  Stream* stream_;
  Arena arena_;
  size_t piece_bytes_;
  std::optional<Uploader> uploader_;  // Unless pieces are prepared in place.
  size_t written_ = 0;
  size_t staged_ = 0;  // bytes of the piece under preparation
};

}  // namespace infercept
