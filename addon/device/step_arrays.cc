#include "device/step_arrays.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace infercept {
namespace {

// The part of `there` that stands where `part` stands in `all`.
template <typename T>
std::span<const T> SamePart(std::span<const T> part, std::span<const T> all, const void* there) {
  IC_CHECK(part.data() >= all.data() && part.data() + part.size() <= all.data() + all.size());
  return {static_cast<const T*>(there) + (part.data() - all.data()), part.size()};
}

size_t TableBlocks(const AttentionSlice& slice, uint32_t block_tokens) {
  return DivCeil(slice.first_position + slice.rows, block_tokens);
}

}  // namespace

Result<StepArrays> StepArrays::Create(Device& device, Stream& stream, uint32_t rows_max,
                                      size_t block_ids_max, uint32_t block_tokens) {
  IC_CHECK(rows_max > 0 && block_tokens > 0);
  const size_t row_bytes = sizeof(TokenId) + sizeof(uint32_t) + sizeof(AttentionSlice);
  const size_t bytes =
      rows_max * row_bytes + alignof(AttentionSlice) + block_ids_max * sizeof(BlockId);
  constexpr std::string_view kPurpose = "the arrays of a step";
  Result<Uploader> uploader = Uploader::Create(device, stream, bytes, kPurpose);
  if (!uploader.ok()) return uploader.status();
  Result<Arena> memory = device.Allocate(bytes, kPurpose);
  if (!memory.ok()) return memory.status();
  return StepArrays(std::move(uploader).Take(), std::move(memory).Take(), rows_max, block_ids_max,
                    block_tokens);
}

StepArrays::StepArrays(Uploader uploader, Arena memory, uint32_t rows_max, size_t block_ids_max,
                       uint32_t block_tokens)
    : uploader_(std::move(uploader)),
      memory_(std::move(memory)),
      rows_max_(rows_max),
      block_ids_max_(block_ids_max),
      block_tokens_(block_tokens) {}

size_t StepArrays::slices_offset() const {
  const size_t end = positions_offset() + rows_max_ * sizeof(uint32_t);
  return DivCeil(end, alignof(AttentionSlice)) * alignof(AttentionSlice);
}

Status StepArrays::Bind(std::span<const TokenId> tokens, std::span<const uint32_t> positions,
                        std::span<const AttentionSlice> slices) {
  IC_CHECK(tokens.size() <= rows_max_ && positions.size() <= rows_max_);
  IC_CHECK(slices.size() <= rows_max_);
  size_t ids = 0;
  for (const AttentionSlice& slice : slices) ids += TableBlocks(slice, block_tokens_);
  IC_CHECK(ids <= block_ids_max_);
  const Result<std::span<std::byte>> room =
      uploader_.Stage(tables_offset() + ids * sizeof(BlockId));
  if (!room.ok()) return room.status();
  std::byte* staged = room.value().data();
  // Not memcpy: a step may have neither, and then there is no address.
  std::ranges::copy(std::as_bytes(tokens), staged);
  std::ranges::copy(std::as_bytes(positions), staged + positions_offset());
  CopySlices(staged, slices);
  uploader_.Send(memory_.data());
  tokens_ = tokens;
  positions_ = positions;
  slices_ = slices;
  return Status();
}

void StepArrays::CopySlices(std::byte* staged, std::span<const AttentionSlice> slices) const {
  size_t offset = tables_offset();
  for (size_t i = 0; i < slices.size(); ++i) {
    AttentionSlice slice = slices[i];
    const size_t bytes = TableBlocks(slice, block_tokens_) * sizeof(BlockId);
    std::memcpy(staged + offset, slice.block_table, bytes);
    slice.block_table = reinterpret_cast<const BlockId*>(memory_.data() + offset);
    std::memcpy(staged + slices_offset() + i * sizeof(slice), &slice, sizeof(slice));
    offset += bytes;
  }
}

std::span<const TokenId> StepArrays::OnDevice(std::span<const TokenId> tokens) const {
  return SamePart(tokens, tokens_, memory_.data());
}

std::span<const uint32_t> StepArrays::OnDevice(std::span<const uint32_t> positions) const {
  return SamePart(positions, positions_, memory_.data() + positions_offset());
}

std::span<const AttentionSlice> StepArrays::OnDevice(std::span<const AttentionSlice> slices) const {
  return SamePart(slices, slices_, memory_.data() + slices_offset());
}

}  // namespace infercept
