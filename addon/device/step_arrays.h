// The arrays that kernels read about a step (tokens, positions, slices, block tables, and lists
// that ops make of them), in memory of the device. Steps with lists of the same lengths have all of
// it at the same addresses: graphs that were captured with them can be launched again with other
// content.
//
//   [rows_max] tokens | [rows_max] positions | [rows_max] slices | lists | block tables
//
// The slices on the device point to the block tables on the device.
// Owner and thread: whoever computes on the stream.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "device/device.h"
#include "device/uploader.h"
#include "kernels/tensor_view.h"

namespace infercept {

// The largest step.
struct StepArrayLimits {
  uint32_t rows = 0;
  size_t block_ids = 0;  // of all slices
  uint32_t block_tokens = 0;
  size_t list_bytes = 0;  // of all lists
  uint32_t groups = 1;    // PagedKv::groups
};

class StepArrays {
 public:
  // Numbers of 32 bits, as all lists have them.
  using List = std::span<const std::byte>;

  // kOutOfMemory, kDevice. The stream outlives them.
  static Result<StepArrays> Create(Device& device, Stream& stream, const StepArrayLimits& limits);

  // Replaces the content for all work enqueued from now on. The arrays passed in may change when
  // the call is over; while OnDevice is asked, they stay where they are. kDevice: the content is
  // lost then, and so is the stream. REQUIRES: it fits; lists are whole words.
  Status Bind(std::span<const TokenId> tokens, std::span<const uint32_t> positions,
              std::span<const AttentionSlice> slices, std::span<const List> lists = {});

  // What was bound last.
  std::span<const uint32_t> positions() const { return positions_; }
  std::span<const AttentionSlice> slices() const { return slices_; }

  // Where on the device a part of what was bound lies. REQUIRES: it is a part.
  std::span<const TokenId> OnDevice(std::span<const TokenId> tokens) const;
  std::span<const uint32_t> OnDevice(std::span<const uint32_t> positions) const;
  std::span<const AttentionSlice> OnDevice(std::span<const AttentionSlice> slices) const;
  // The tokens there: work that is enqueued may change them.
  std::span<TokenId> TokensOnDevice() const {
    return {reinterpret_cast<TokenId*>(memory_.data()), tokens_.size()};
  }
  // Where the list of this number begins there.
  const std::byte* list(size_t number) const { return memory_.data() + list_offsets_[number]; }

 private:
  StepArrays(Uploader uploader, Arena memory, const StepArrayLimits& limits);

  size_t positions_offset() const { return limits_.rows * sizeof(TokenId); }
  size_t slices_offset() const;
  size_t lists_offset() const { return slices_offset() + limits_.rows * sizeof(AttentionSlice); }
  // Returns where the block tables begin.
  size_t PlaceLists(std::span<const List> lists);
  void CopySlices(std::byte* staged, size_t offset, std::span<const AttentionSlice> slices) const;

  // Constant after construction.
  Uploader uploader_;
  Arena memory_;
  StepArrayLimits limits_;

  // What was bound: the caller's.
  std::span<const TokenId> tokens_;
  std::span<const uint32_t> positions_;
  std::span<const AttentionSlice> slices_;
  std::vector<size_t> list_offsets_;  // [lists]
};

}  // namespace infercept
