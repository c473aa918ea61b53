#include "device/arena_writer.h"

#include <algorithm>
#include <cstring>

namespace infercept {

Result<ArenaWriter> ArenaWriter::Create(Device& device, Stream& stream, size_t bytes,
                                        size_t piece_bytes, std::string_view purpose) {
  Result<Arena> arena = device.Allocate(bytes, purpose);
  if (!arena.ok()) return arena.status();
  if (device.properties().is_host) {
    return ArenaWriter(stream, std::move(arena).Take(), piece_bytes, std::nullopt);
  }
  Result<Uploader> uploader = Uploader::Create(device, stream, piece_bytes, purpose);
  if (!uploader.ok()) return uploader.status();
  return ArenaWriter(stream, std::move(arena).Take(), piece_bytes, std::move(uploader).Take());
}

Result<std::span<std::byte>> ArenaWriter::Stage(size_t bytes) {
  IC_CHECK(bytes <= arena_.size() - written_ && bytes <= piece_bytes_);
  staged_ = bytes;
  if (uploader_.has_value()) return uploader_->Stage(bytes);
  return std::span(next(), bytes);
}

void ArenaWriter::Send() {
  if (uploader_.has_value()) uploader_->Send(next());
  written_ += std::exchange(staged_, 0);
}

Status ArenaWriter::Write(std::span<const std::byte> source) {
  for (size_t done = 0; done < source.size();) {
    const size_t bytes = std::min(piece_bytes_, source.size() - done);
    const Result<std::span<std::byte>> room = Stage(bytes);
    if (!room.ok()) return room.status();
    std::memcpy(room.value().data(), source.data() + done, bytes);
    Send();
    done += bytes;
  }
  return Status();
}

void ArenaWriter::Skip(size_t bytes) {
  written_ += bytes;
  IC_CHECK(written_ <= arena_.size());
}

void ArenaWriter::Align(size_t alignment) {
  written_ = DivCeil(written_, alignment) * alignment;
  IC_CHECK(written_ <= arena_.size());
}

Result<Arena> ArenaWriter::Finish() {
  if (Status status = stream_->Synchronize(); !status.ok()) return status;
  return std::move(arena_);
}

}  // namespace infercept
