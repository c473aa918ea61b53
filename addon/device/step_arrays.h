// The arrays that kernels read about a step (tokens, positions, slices, block tables), in memory of
// the device, always at the same addresses: graphs that were captured with them can be launched
// again with other content.
//
//   [rows_max] tokens | [rows_max] positions | [rows_max] slices | [block_ids_max] block tables
//
// The slices on the device point to the block tables on the device.
// Owner and thread: whoever computes on the stream.
#pragma once

#include <cstdint>
#include <span>

#include "device/device.h"
#include "device/uploader.h"
#include "kernels/tensor_view.h"

namespace infercept {

class StepArrays {
 public:
  // kOutOfMemory, kDevice. The stream outlives them.
  static Result<StepArrays> Create(Device& device, Stream& stream, uint32_t rows_max,
                                   size_t block_ids_max, uint32_t block_tokens);

  // Replaces the content for all work enqueued from now on. The arrays passed in may change when
  // the call is over; while OnDevice is asked, they stay where they are. kDevice. REQUIRES: as many
  // rows, slices and block ids as there is room for.
  Status Bind(std::span<const TokenId> tokens, std::span<const uint32_t> positions,
              std::span<const AttentionSlice> slices);

  // What was bound last.
  std::span<const uint32_t> positions() const { return positions_; }
  std::span<const AttentionSlice> slices() const { return slices_; }

  // Where on the device a part of what was bound lies. REQUIRES: it is a part.
  std::span<const TokenId> OnDevice(std::span<const TokenId> tokens) const;
  std::span<const uint32_t> OnDevice(std::span<const uint32_t> positions) const;
  std::span<const AttentionSlice> OnDevice(std::span<const AttentionSlice> slices) const;

 private:
  StepArrays(Uploader uploader, Arena memory, uint32_t rows_max, size_t block_ids_max,
             uint32_t block_tokens);

  size_t positions_offset() const { return rows_max_ * sizeof(TokenId); }
  size_t slices_offset() const;
  size_t tables_offset() const { return slices_offset() + rows_max_ * sizeof(AttentionSlice); }
  void CopySlices(std::byte* staged, std::span<const AttentionSlice> slices) const;

  // Constant after construction.
  Uploader uploader_;
  Arena memory_;
  uint32_t rows_max_;
  size_t block_ids_max_;
  uint32_t block_tokens_;

  // What was bound: the caller's.
  std::span<const TokenId> tokens_;
  std::span<const uint32_t> positions_;
  std::span<const AttentionSlice> slices_;
};

}  // namespace infercept
