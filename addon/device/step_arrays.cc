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

size_t TableBlocks(const AttentionSlice& slice, const StepArrayLimits& limits) {
  return size_t{DivCeil(slice.first_position + slice.rows, limits.block_tokens)} * limits.groups;
}

}  // namespace

Result<StepArrays> StepArrays::Create(Device& device, Stream& stream,
                                      const StepArrayLimits& limits) {
  IC_CHECK(limits.rows > 0 && limits.block_tokens > 0);
  const size_t row_bytes = sizeof(TokenId) + sizeof(uint32_t) + sizeof(AttentionSlice);
  const size_t bytes = limits.rows * row_bytes + alignof(AttentionSlice) + limits.list_bytes +
                       limits.block_ids * sizeof(BlockId);
  constexpr std::string_view kPurpose = "the arrays of a step";
  Result<Uploader> uploader = Uploader::Create(device, stream, bytes, kPurpose);
  if (!uploader.ok()) return uploader.status();
  Result<Arena> memory = device.Allocate(bytes, kPurpose);
  if (!memory.ok()) return memory.status();
  return StepArrays(std::move(uploader).Take(), std::move(memory).Take(), limits);
}

StepArrays::StepArrays(Uploader uploader, Arena memory, const StepArrayLimits& limits)
    : uploader_(std::move(uploader)), memory_(std::move(memory)), limits_(limits) {}

size_t StepArrays::slices_offset() const {
  const size_t end = positions_offset() + limits_.rows * sizeof(uint32_t);
  return DivCeil(end, alignof(AttentionSlice)) * alignof(AttentionSlice);
}

Status StepArrays::Bind(std::span<const TokenId> tokens, std::span<const uint32_t> positions,
                        std::span<const AttentionSlice> slices, std::span<const List> lists) {
  IC_CHECK(tokens.size() <= limits_.rows && positions.size() <= limits_.rows);
  IC_CHECK(slices.size() <= limits_.rows);
  size_t ids = 0;
  for (const AttentionSlice& slice : slices) ids += TableBlocks(slice, limits_);
  IC_CHECK(ids <= limits_.block_ids);
  tokens_ = tokens;
  positions_ = positions;
  slices_ = slices;
  const size_t tables = PlaceLists(lists);
  const Result<std::span<std::byte>> room = uploader_.Stage(tables + ids * sizeof(BlockId));
  if (!room.ok()) return room.status();
  std::byte* staged = room.value().data();
  // Not memcpy: a step may have none of them, and then there is no address.
  std::ranges::copy(std::as_bytes(tokens), staged);
  std::ranges::copy(std::as_bytes(positions), staged + positions_offset());
  CopySlices(staged, tables, slices);
  for (size_t i = 0; i < lists.size(); ++i) std::ranges::copy(lists[i], staged + list_offsets_[i]);
  uploader_.Send(memory_.data());
  return Status();
}

size_t StepArrays::PlaceLists(std::span<const List> lists) {
  size_t offset = lists_offset();
  list_offsets_.clear();
  for (const List& list : lists) {
    IC_CHECK(list.size() % sizeof(uint32_t) == 0);
    list_offsets_.push_back(offset);
    offset += list.size();
  }
  IC_CHECK(offset - lists_offset() <= limits_.list_bytes);
  return offset;
}

void StepArrays::CopySlices(std::byte* staged, size_t offset,
                            std::span<const AttentionSlice> slices) const {
  for (size_t i = 0; i < slices.size(); ++i) {
    AttentionSlice slice = slices[i];
    const size_t bytes = TableBlocks(slice, limits_) * sizeof(BlockId);
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
